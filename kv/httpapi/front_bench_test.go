package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/httpapi"
)

// parked is a store in which nothing ever happens.
type parked struct{ still }

func (*parked) Watch(ctx context.Context, _ string, _ kv.WatchOptions) (*kv.Watch, error) {
	return &kv.Watch{Events: func(func(kv.Event, error) bool) { <-ctx.Done() }}, nil
}

// serveTCP serves a store on loopback until the benchmark ends.
func serveTCP(b *testing.B, f front) (api *httpapi.API, dial func() net.Conn) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	api = f.api(httpapi.Config{Store: &parked{}})
	ctx, stop := context.WithCancel(b.Context())
	var served sync.WaitGroup
	served.Go(func() { _ = api.Serve(ctx, l) })
	b.Cleanup(func() { stop(); served.Wait() })
	return api, func() net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		return conn
	}
}

// BenchmarkFronts measures requests through a connection, both ends of it and
// the system between them included. The client does the same for both fronts.
func BenchmarkFronts(b *testing.B) {
	form := "value=" + strings.Repeat("v", 256)
	for name, wire := range map[string]string{
		"get": "GET /v2/keys/some/key HTTP/1.1\r\nHost: a\r\n\r\n",
		"put": fmt.Sprintf("PUT /v2/keys/some/key HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
			"Content-Length: %d\r\n\r\n%s", len(form), form),
	} {
		for _, f := range fronts {
			b.Run(name+"/"+f.name, func(b *testing.B) {
				_, dial := serveTCP(b, f)
				conn := dial()
				defer conn.Close()
				r := bufio.NewReader(conn)
				b.ReportAllocs()
				begun := cpuTime(b)
				for b.Loop() {
					if _, err := io.WriteString(conn, wire); err != nil {
						b.Fatal(err)
					}
					resp, err := http.ReadResponse(r, nil)
					if err != nil {
						b.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, resp.Body)
				}
				b.ReportMetric(float64(cpuTime(b)-begun)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// BenchmarkParkedWatches measures the memory of a watch that waits, and of its
// connection, without the client's end.
func BenchmarkParkedWatches(b *testing.B) {
	const n = 2000
	for _, f := range fronts {
		b.Run(f.name, func(b *testing.B) {
			api, dial := serveTCP(b, f)
			conns := make([]net.Conn, n)
			before := memory()
			for i := range conns {
				conns[i] = dial()
				defer conns[i].Close()
			}
			idle := memory() // with both ends, and nothing asked
			for _, c := range conns {
				_, _ = io.WriteString(c, watchA)
			}
			for api.Counts().Watches < n {
				time.Sleep(time.Millisecond)
			}
			watching := memory()
			for b.Loop() { // there is nothing to repeat
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(watching-before)/n, "B/watch")
			b.ReportMetric(float64(idle-before)/n, "B/idle")
		})
	}
}

// memory is what the heap and the stacks take.
func memory() uint64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
