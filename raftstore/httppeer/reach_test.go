package httppeer_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
)

func TestTheLogHasOneLineForEachLossOfAPeerAndNoneForItsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text lockedBuffer
		lines := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			got := strings.Split(strings.TrimSpace(text.take()), "\n")
			if got[0] == "" {
				got = nil
			}
			ok := len(got) == len(want)
			for i := range min(len(got), len(want)) {
				ok = ok && strings.Contains(got[i], want[i])
			}
			if !ok {
				t.Errorf("%s the log has\n%s\nwant %q", when, strings.Join(got, "\n"), want)
			}
		}
		sim := newSimNet()
		var hole atomic.Bool
		sim.wrap = func(_ string, c net.Conn) net.Conn { return holeConn{c, &hole} }
		a := sim.host(t, 0xa, httppeer.Config{Logger: slog.New(slog.NewTextHandler(&text, nil))})
		b := sim.host(t, 0xb, httppeer.Config{})
		a.start(t, b.member)
		time.Sleep(3 * time.Second)
		b.start(t, a.member)
		time.Sleep(5 * time.Second)
		lines("when b has started after a")

		hole.Store(true)
		time.Sleep(20 * time.Second)
		lines("when b is lost", `level=WARN msg="httppeer: peer lost" peer=mb`)
		hole.Store(false)
		time.Sleep(20 * time.Second)
		lines("when b is back", `level=INFO msg="httppeer: peer reachable" peer=mb`)

		a.SetPeer(raftstore.Member{ID: 0xc, Name: "mc", PeerURLs: []string{"http://nowhere:1"}})
		time.Sleep(8 * time.Second)
		lines("when c may be about to start")
		time.Sleep(5 * time.Second)
		lines("when c has not started", `level=WARN msg="httppeer: peer lost" peer=mc`)
	})
}

// lockedBuffer is a bytes.Buffer for concurrent use.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}
