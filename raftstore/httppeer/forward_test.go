package httppeer_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
)

// echo serves commands with themselves, and counts them.
func (h *host) echo() (executed *atomic.Int64) {
	executed = new(atomic.Int64)
	h.rec.serve = func(_ context.Context, cmds [][]byte) (outs []raftstore.Outcome) {
		for _, c := range cmds {
			outs = append(outs, raftstore.Outcome{Index: uint64(executed.Add(1)), Result: c})
		}
		return outs
	}
	return executed
}

func TestForwardSplitsWhatIsTooLargeForOneRequest(t *testing.T) {
	a, b := pair(t)
	var batches []int
	executed := b.echo()
	serve := b.rec.serve
	b.rec.serve = func(ctx context.Context, cmds [][]byte) []raftstore.Outcome {
		batches = append(batches, len(cmds))
		outs := serve(ctx, cmds)
		for i := range outs {
			outs[i].Result = fmt.Append(nil, len(cmds[i]))
		}
		return outs
	}
	large, huge := make([]byte, 25<<20), make([]byte, 64<<20)
	outs, err := a.Forward(context.Background(), 0xb, [][]byte{large, large, large, huge, []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range outs {
		got = append(got, fmt.Sprintf("%s %v", o.Result, o.Err))
	}
	want := fmt.Sprintf("26214400 <nil>,26214400 <nil>,26214400 <nil>, %v,1 <nil>", raftstore.ErrTooLarge)
	if strings.Join(got, ",") != want {
		t.Errorf("outcomes %q, want %s", got, want)
	}
	if fmt.Sprint(batches) != "[2 1 1]" || executed.Load() != 4 {
		t.Errorf("batches of %v, %d commands executed, want [2 1 1] and 4", batches, executed.Load())
	}
}

// A server of HTTP that answers in its own way.
type answer func(conn net.Conn, body string)

func TestForwardTellsWhetherCommandsMayHaveBeenExecuted(t *testing.T) {
	say := func(text string) answer {
		return func(conn net.Conn, _ string) {
			_, _ = io.WriteString(conn, text)
			conn.Close()
		}
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"
	for _, c := range []struct {
		name   string
		answer answer
		want   error
	}{
		{"dies before it answers", say(""), raftstore.ErrOutcomeUnknown},
		{"dies in the head", say("HTTP/1.1 20"), raftstore.ErrOutcomeUnknown},
		{"dies after the head", say(head), raftstore.ErrOutcomeUnknown},
		{"dies while it works", say(head + "\x00\x00"), raftstore.ErrOutcomeUnknown},
		{"dies in the outcomes", say(head + "\x01\x01\x00"), raftstore.ErrOutcomeUnknown},
		{"answers nonsense", say(head + "\x07nonsense"), raftstore.ErrOutcomeUnknown},
		{"answers for two", say("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n\x01\x02\x00\x01\x00\x00\x01\x00"), raftstore.ErrOutcomeUnknown},
		{"never answers", func(net.Conn, string) {}, raftstore.ErrOutcomeUnknown},
		{"falls silent", func(c net.Conn, _ string) { _, _ = io.WriteString(c, head+"\x00") }, raftstore.ErrOutcomeUnknown},
		{"is a proxy that lost its server", say("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"), raftstore.ErrOutcomeUnknown},
		{"does not serve", say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), raftstore.ErrDropped},
		{"refuses", say("HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n"), raftstore.ErrDropped},
		{"is elsewhere", say("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://m:1/\r\nContent-Length: 0\r\n\r\n"), raftstore.ErrDropped},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := newSimNet()
				requests := serveForwards(t, sim.listen("m:1"), c.answer)
				a := sim.host(t, 0xa, httppeer.Config{})
				a.start(t, raftstore.Member{ID: 0xb, PeerURLs: []string{"http://m:1"}})
				start := time.Now()
				_, err := a.Forward(t.Context(), 0xb, [][]byte{[]byte("x")})
				if !errors.Is(err, c.want) {
					t.Errorf("forward: %v, want %v", err, c.want)
				}
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
				if got := requests.Load(); got != 1 {
					t.Errorf("the commands were sent %d times", got)
				}
			})
		})
	}
}

// serveForwards answers posts, and counts them.
func serveForwards(t *testing.T, l *simListener, f answer) *atomic.Int64 {
	var requests atomic.Int64
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				r := bufio.NewReader(conn)
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						conn.Close()
						return
					}
					body, _ := io.ReadAll(req.Body)
					if req.Method == http.MethodPost {
						requests.Add(1)
						f(conn, string(body))
					}
				}
			}()
		}
	}()
	return &requests
}

// A connection that is kept and used again is where HTTP clients send twice.
func TestForwardIsNotRepeatedWhenAKeptConnectionDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		answered := false
		requests := serveForwards(t, sim.listen("m:1"), func(conn net.Conn, _ string) {
			if answered {
				conn.Close()
				return
			}
			answered = true
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\x01\x01\x00\x09\x00")
		})
		a := sim.host(t, 0xa, httppeer.Config{})
		a.start(t, raftstore.Member{ID: 0xb, PeerURLs: []string{"http://m:1"}})
		outs, err := a.Forward(t.Context(), 0xb, [][]byte{[]byte("x")})
		if err != nil || outs[0].Index != 9 {
			t.Fatalf("forward: %v, %v", outs, err)
		}
		if _, err := a.Forward(t.Context(), 0xb, [][]byte{[]byte("y")}); !errors.Is(err, raftstore.ErrOutcomeUnknown) {
			t.Errorf("forward over the kept connection: %v, want ErrOutcomeUnknown", err)
		}
		if got := requests.Load(); got != 2 {
			t.Errorf("%d requests, want 2", got)
		}
	})
}

func TestForwardWaitsForAsLongAsThePeerWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSimNet().pair(t)
		b.rec.serve = func(ctx context.Context, cmds [][]byte) []raftstore.Outcome {
			select {
			case <-time.After(time.Minute):
			case <-ctx.Done():
			}
			return make([]raftstore.Outcome, len(cmds))
		}
		start := time.Now()
		outs, err := a.Forward(t.Context(), 0xb, [][]byte{[]byte("x")})
		if err != nil || len(outs) != 1 || time.Since(start) != time.Minute {
			t.Errorf("forward: %v, %v after %v, want an outcome after a minute", outs, err, time.Since(start))
		}
		// The end of either side ends it.
		for _, end := range []*host{a, b} {
			x, y := newSimNet().pair(t)
			y.rec.serve = b.rec.serve
			if end == a {
				end = x
			} else {
				end = y
			}
			time.AfterFunc(time.Second, end.Stop)
			start := time.Now()
			_, err := x.Forward(t.Context(), 0xb, [][]byte{[]byte("x")})
			if end == x && !errors.Is(err, raftstore.ErrOutcomeUnknown) {
				t.Errorf("forward of a transport that stops: %v, want ErrOutcomeUnknown", err)
			}
			if time.Since(start) > time.Second {
				t.Errorf("%s stopped, and the forward took %v", end.member.Name, time.Since(start))
			}
		}
	})
}

func TestABatchThatStopsArrivingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		b := sim.host(t, 0xb, httppeer.Config{})
		executed := b.echo()
		b.start(t)
		conn, err := sim.dial(t.Context(), "tcp", "mb:2380")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /raft/v1/forward HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"+
			"X-Raft-Cluster: c1\r\nX-Raft-From: a\r\nX-Raft-To: b\r\nX-Raft-Storage: a00\r\n\r\n\x01\x05")
		start := time.Now()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusBadRequest || time.Since(start) != 10*time.Second {
			t.Errorf("answer %v, %v after %v, want 400 after 10s", resp, err, time.Since(start))
		}
		if executed.Load() != 0 {
			t.Error("half a batch was executed")
		}
	})
}

// A peer that stops closes the connections that are kept to it. What is forwarded
// after that must not be written to them.
func TestForwardTakesNoConnectionThatThePeerHasClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed := make(chan struct{}, 1)
	go serveOnce(l, closed)
	a := newHost(t, 0xa)
	a.start(t, raftstore.Member{ID: 0xb, PeerURLs: []string{"http://" + l.Addr().String()}})
	forwarded := 0
	for range 200 {
		_, err := a.Forward(context.Background(), 0xb, [][]byte{[]byte("x")})
		switch {
		case err == nil:
			forwarded++
			<-closed
		case !errors.Is(err, raftstore.ErrDropped):
			t.Fatalf("forward %d: %v, want none or ErrDropped", forwarded, err)
		}
	}
	if forwarded == 0 {
		t.Error("nothing was forwarded")
	}
	l.Close()
	if _, err := a.Forward(context.Background(), 0xb, [][]byte{[]byte("x")}); err != nil && !errors.Is(err, raftstore.ErrDropped) {
		t.Errorf("forward when there is nobody left: %v, want none or ErrDropped", err)
	}
}

// serveOnce answers the first post on each connection, and closes it.
func serveOnce(l net.Listener, closed chan<- struct{}) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			req, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil || req.Method != http.MethodPost {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\x01\x01\x00\x09\x00")
			conn.Close()
			closed <- struct{}{}
		}()
	}
}
