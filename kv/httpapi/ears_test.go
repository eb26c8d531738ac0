package httpapi_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/httpapi"
)

// told is a store that tells when its watches wait, and that has an event when it
// is to.
type told struct {
	still
	waits, ended chan struct{}
	events       chan struct{}
}

func (s *told) Watch(ctx context.Context, key string, _ kv.WatchOptions) (*kv.Watch, error) {
	return &kv.Watch{Index: 1, Events: func(yield func(kv.Event, error) bool) {
		s.waits <- struct{}{}
		select {
		case <-s.events:
			yield(kv.Event{Action: kv.ActionSet, Node: kv.Node{Key: key, ModifiedIndex: 2, CreatedIndex: 2}, Index: 2}, nil)
		case <-ctx.Done():
			s.ended <- struct{}{}
		}
	}}, nil
}

// tellWatches serves such a store on loopback, where the system tells of clients.
func tellWatches(t *testing.T, f front) (s *told, watch func() net.Conn, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = &told{waits: make(chan struct{}, 100), ended: make(chan struct{}, 100), events: make(chan struct{})}
	api := f.api(httpapi.Config{Store: s})
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { _ = api.Serve(ctx, l) })
	stop = func() { cancel(); served.Wait() }
	t.Cleanup(stop)
	return s, func() net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_, _ = io.WriteString(conn, watchA)
		<-s.waits
		return conn
	}, stop
}

func TestAWatchEndsWhenItsClientGoes(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			s, watch, _ := tellWatches(t, f)
			for _, conn := range []net.Conn{watch(), watch(), watch()} {
				conn.Close()
				<-s.ended
			}
		})
	}
}

func TestTheNextRequestMayComeWhileAWatchWaits(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			s, watch, _ := tellWatches(t, f)
			conn := watch()
			r := bufio.NewReader(conn)
			read := func() string {
				t.Helper()
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			}
			_, _ = io.WriteString(conn, watchA)
			const want = `{"action":"set","node":{"key":"/a","value":"","modifiedIndex":2,"createdIndex":2}}` + "\n"
			for range 2 {
				s.events <- struct{}{}
				if got := read(); got != want {
					t.Errorf("answer is %q, want %q", got, want)
				}
			}
			// And once more, where the client goes while the second of two waits.
			_, _ = io.WriteString(conn, watchA)
			<-s.waits
			<-s.waits
			conn.Close()
			<-s.ended
		})
	}
}

func TestWatchesEndWithTheServer(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			_, watch, stop := tellWatches(t, f)
			conns := []net.Conn{watch(), watch(), watch()}
			stop()
			for _, conn := range conns {
				_, _ = io.Copy(io.Discard, conn) // until it ends
			}
		})
	}
}
