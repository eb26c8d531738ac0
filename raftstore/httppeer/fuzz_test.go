package httppeer_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/raftstore/httppeer"
)

// Whatever a request looks like, it is answered or refused, and when the
// connection and the Transport are closed nothing runs any more, or the bubble
// would not end.
func FuzzServeHTTP(f *testing.F) {
	for _, path := range []string{
		"/raft/v1/stream?kind=control", "/raft/v1/stream?kind=bulk", "/raft/v1/stream", "/raft/v1/snapshot", "/raft/v1/forward",
		"/raft/v1/cluster", "/raft/v1/%zz", "*", "//raft/v1/stream?kind=%", "",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead, "CONNECT", "?"} {
			f.Add(method, path, "c1", "a", "b", "a00", "strake-raft/1", []byte("\x01\x01x"))
		}
	}
	f.Add("GET", "/raft/v1/stream?kind=bulk", "c1", "a", "b", "a00", "strake-raft/1", []byte(frame("one")+frame("")+frame("two")))
	f.Add("GET", "/raft/v1/snapshot", "c1", "a", "b", "a00", "strake-raft/1", []byte(frame(`{"head":"","files":[{"name":"../x","size":-1}]}`)))
	f.Add("GET", "/raft/v1/stream", "c1", "", "b", "-1", "websocket", []byte{0xff, 0xff, 0xff, 0xff})
	f.Add("GET", "/raft/v1/forward", "c1", "a", "b", "a00", "strake-raft/1", []byte(frame("")+frame("\x01\x01\x01\x01x")+frame("\x02\x01")))
	f.Add("GET", "/raft/v1/forward", "c1", "a", "b", "a00", "strake-raft/1", []byte(frame("\x01\x01\x01\x02x")))
	f.Fuzz(func(t *testing.T, method, path, cluster, from, to, storage, upgrade string, body []byte) {
		lines := strings.NewReplacer("\r", " ", "\n", " ")
		head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: %s\r\nContent-Length: %d\r\n"+
			"X-Raft-Cluster: %s\r\nX-Raft-From: %s\r\nX-Raft-To: %s\r\nX-Raft-Storage: %s\r\n\r\n",
			lines.Replace(method), lines.Replace(path), lines.Replace(upgrade), len(body),
			lines.Replace(cluster), lines.Replace(from), lines.Replace(to), lines.Replace(storage))
		synctest.Test(t, func(t *testing.T) {
			sim := newSimNet()
			b := sim.host(t, 0xb, httppeer.Config{})
			b.echo()
			b.start(t)
			conn, err := sim.dial(t.Context(), "tcp", "mb:2380")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
				t.Fatal(err)
			}
			go func() {
				_, _ = conn.Write(append([]byte(head), body...)) // which need not be read
			}()
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			switch code := resp.StatusCode; {
			case code >= 400 && code < 500:
			case code == http.StatusSwitchingProtocols && upgrade == "strake-raft/1":
				time.Sleep(time.Minute) // within which it ends
				if _, err := conn.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("the connection is open for ever: %v", err)
				}
			case code == http.StatusOK && strings.Contains(path, "cluster"):
			default:
				t.Errorf("status %s", resp.Status)
			}
		})
	})
}
