package httppeer_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
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

// fakeServer takes connections for forwarded commands and answers in its own
// way.
type fakeServer struct {
	refusal string // in place of the upgrade, if set
	// answer writes to a connection for each batch, whose number on it counts from
	// 1, and may close it.
	answer  func(conn net.Conn, id uint64)
	batches atomic.Int64
}

func say(format string) func(net.Conn, uint64) {
	return func(conn net.Conn, id uint64) {
		_, _ = io.WriteString(conn, strings.ReplaceAll(format, "ID", string(byte(id))))
		conn.Close()
	}
}

func (s *fakeServer) serve(t *testing.T, l net.Listener) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serveConn(conn)
		}
	}()
}

func (s *fakeServer) serveConn(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	switch {
	case err != nil:
		return
	case req.URL.Path != "/raft/v1/forward":
		_, _ = io.Copy(io.Discard, r)
		return
	case s.refusal != "":
		_, _ = io.WriteString(conn, s.refusal)
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: strake-raft/1\r\nX-Raft-Storage: b00\r\n\r\n")
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		payload := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(r, payload); err != nil {
			return
		}
		if len(payload) > 0 && payload[0] == 1 {
			s.batches.Add(1)
			id, _ := binary.Uvarint(payload[1:])
			s.answer(conn, id)
		}
	}
}

// outcome is the answer to a batch of one command, whose id goes in place of ID.
var outcome = "\x01ID\x01\x00\x09\x00"

// framed is frame for a payload with an ID in it.
func framed(payload string) func(net.Conn, uint64) {
	return func(conn net.Conn, id uint64) {
		say(frame(strings.ReplaceAll(payload, "ID", string(byte(id)))))(conn, id)
	}
}

func TestForwardTellsWhetherCommandsMayHaveBeenExecuted(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(net.Conn, uint64)
		want   error
	}{
		{"dies before it answers", say(""), raftstore.ErrOutcomeUnknown},
		{"dies in a head", say(frame("")[:3]), raftstore.ErrOutcomeUnknown},
		{"dies while it works", say(frame("") + frame("")), raftstore.ErrOutcomeUnknown},
		{"dies in the outcomes", say(frame(outcome)[:12]), raftstore.ErrOutcomeUnknown},
		{"dies after some of the outcomes", framed("\x02ID\x00"), raftstore.ErrOutcomeUnknown},
		{"answers nonsense", framed("\x07nonsense"), raftstore.ErrOutcomeUnknown},
		{"answers half", framed(outcome[:5]), raftstore.ErrOutcomeUnknown},
		{"answers garbage", say("HTTP/1.1 200 OK\r\n\r\n"), raftstore.ErrOutcomeUnknown},
		{"answers for two", framed("\x01ID\x02\x00\x01\x00\x00\x01\x00"), raftstore.ErrOutcomeUnknown},
		{"answers for none", framed("\x01ID\x00"), raftstore.ErrOutcomeUnknown},
		{"answers another batch", framed("\x01\x7f\x01\x00\x09\x00"), raftstore.ErrOutcomeUnknown},
		{"never answers", func(net.Conn, uint64) {}, raftstore.ErrOutcomeUnknown},
		{"falls silent", func(c net.Conn, _ uint64) { _, _ = io.WriteString(c, frame("")) }, raftstore.ErrOutcomeUnknown},
		{"leaves and dies", framed("\x03ID"), raftstore.ErrOutcomeUnknown},
		{"leaves before the batch", framed("\x03\x00"), raftstore.ErrDropped},
		{"answers", framed(outcome), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := newSimNet()
				server := &fakeServer{answer: c.answer}
				server.serve(t, sim.listen("m:1"))
				a := sim.host(t, 0xa, httppeer.Config{})
				a.start(t, raftstore.Member{ID: 0xb, PeerURLs: []string{"http://m:1"}})
				start := time.Now()
				outs, err := a.Forward(t.Context(), 0xb, [][]byte{[]byte("x")})
				if !errors.Is(err, c.want) {
					t.Errorf("forward: %v, %v, want %v", outs, err, c.want)
				}
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
				if got := server.batches.Load(); got != 1 {
					t.Errorf("the commands were sent %d times", got)
				}
			})
		})
	}
}

func TestAPeerThatTakesNoConnectionIsSentNoCommands(t *testing.T) {
	for _, refusal := range []string{
		"x", "HTTP/1.1 10",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: strake-raft/1\r\n\r\n",
		"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://m:1/\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(refusal, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := newSimNet()
				server := &fakeServer{refusal: refusal}
				server.serve(t, sim.listen("m:1"))
				a := sim.host(t, 0xa, httppeer.Config{})
				a.start(t, raftstore.Member{ID: 0xb, PeerURLs: []string{"http://m:1"}})
				if _, err := a.Forward(t.Context(), 0xb, [][]byte{[]byte("x")}); !errors.Is(err, raftstore.ErrDropped) {
					t.Errorf("forward: %v, want ErrDropped", err)
				}
				if got := server.batches.Load(); got != 0 {
					t.Errorf("the commands were sent %d times", got)
				}
			})
		})
	}
}

func TestForwardIsNotRepeatedWhenTheConnectionDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		server := &fakeServer{answer: func(conn net.Conn, id uint64) {
			if id > 1 {
				conn.Close()
				return
			}
			_, _ = io.WriteString(conn, frame(strings.ReplaceAll(outcome, "ID", "\x01")))
		}}
		server.serve(t, sim.listen("m:1"))
		a := sim.host(t, 0xa, httppeer.Config{})
		a.start(t, raftstore.Member{ID: 0xb, PeerURLs: []string{"http://m:1"}})
		outs, err := a.Forward(t.Context(), 0xb, [][]byte{[]byte("x")})
		if err != nil || outs[0].Index != 9 {
			t.Fatalf("forward: %v, %v", outs, err)
		}
		if _, err := a.Forward(t.Context(), 0xb, [][]byte{[]byte("y")}); !errors.Is(err, raftstore.ErrOutcomeUnknown) {
			t.Errorf("forward over the same connection: %v, want ErrOutcomeUnknown", err)
		}
		if got := server.batches.Load(); got != 2 {
			t.Errorf("%d batches, want 2", got)
		}
		if outs, err := a.Forward(t.Context(), 0xb, [][]byte{[]byte("z")}); err != nil {
			t.Errorf("forward over a new connection: %v, %v", outs, err)
		}
	})
}

// The fate of a caller is that of its own batch.
func TestForwardsShareAConnectionAndAreAnsweredInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		var dials atomic.Int64
		sim.wrap = func(_ string, c net.Conn) net.Conn {
			dials.Add(1)
			return c
		}
		b, a := sim.host(t, 0xb, httppeer.Config{}), sim.host(t, 0xa, httppeer.Config{})
		b.rec.serve = func(ctx context.Context, cmds [][]byte) []raftstore.Outcome {
			for _, c := range cmds {
				d, err := time.ParseDuration(string(c))
				if err != nil {
					t.Error(err)
				}
				select {
				case <-time.After(d):
				case <-ctx.Done():
					return failed(len(cmds), raftstore.ErrDropped)
				}
			}
			return []raftstore.Outcome{{Result: cmds[0]}}
		}
		b.start(t)
		a.start(t, b.member)
		time.Sleep(time.Second)
		standing := dials.Load()
		start := time.Now()
		var done sync.WaitGroup
		for i := range 10 {
			d := time.Duration(10-i) * time.Second
			done.Go(func() {
				outs, err := a.Forward(t.Context(), 0xb, [][]byte{fmt.Append(nil, d)})
				if err != nil || string(outs[0].Result) != d.String() || time.Since(start) != d {
					t.Errorf("forward of %v: %v, %v after %v", d, outs, err, time.Since(start))
				}
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		outs, err := a.Forward(ctx, 0xb, [][]byte{[]byte("1h")})
		if err != nil || !errors.Is(outs[0].Err, raftstore.ErrDropped) || time.Since(start) != 1500*time.Millisecond {
			t.Errorf("forward that is given up: %v, %v after %v, want ErrDropped after 1.5s", outs, err, time.Since(start))
		}
		done.Wait()
		if got := dials.Load() - standing; got != 1 {
			t.Errorf("%d connections were opened, want 1", got)
		}
		time.Sleep(5 * time.Minute)
		if _, err := a.Forward(t.Context(), 0xb, [][]byte{[]byte("1s")}); err != nil {
			t.Errorf("forward after a while: %v", err)
		}
		if got := dials.Load() - standing; got != 2 {
			t.Errorf("after a while of silence %d connections were opened, want a second one", got)
		}
	})
}

func TestForwardsUnderWayAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSimNet().pair(t)
		var under atomic.Int64
		release := make(chan struct{})
		b.rec.serve = func(_ context.Context, cmds [][]byte) []raftstore.Outcome {
			under.Add(1)
			<-release
			return make([]raftstore.Outcome, len(cmds))
		}
		var done sync.WaitGroup
		for range 10 {
			done.Go(func() {
				if _, err := a.Forward(t.Context(), 0xb, [][]byte{make([]byte, 5<<20)}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if got := under.Load(); got != 3 {
			t.Errorf("%d batches of 5 MiB are under way, want 3", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Forward(ctx, 0xb, [][]byte{make([]byte, 5<<20)}); !errors.Is(err, raftstore.ErrDropped) {
			t.Errorf("forward that has to wait for too long: %v, want ErrDropped", err)
		}
		close(release)
		done.Wait()
	})
}

func TestOutcomesMayBeLargerThanOneFrame(t *testing.T) {
	a, b := pair(t)
	b.rec.serve = func(_ context.Context, cmds [][]byte) (outs []raftstore.Outcome) {
		for i := range cmds {
			outs = append(outs, raftstore.Outcome{Index: uint64(i), Result: make([]byte, 30<<20)})
		}
		outs[3].Result = make([]byte, 64<<20)
		return outs
	}
	outs, err := a.Forward(t.Context(), 0xb, make([][]byte, 5))
	if err != nil || len(outs) != 5 {
		t.Fatalf("forward: %d outcomes, %v", len(outs), err)
	}
	for i, o := range outs {
		if i == 3 {
			if !errors.Is(o.Err, raftstore.ErrOutcomeUnknown) {
				t.Errorf("outcome that no frame has room for: %d bytes, %v, want ErrOutcomeUnknown", len(o.Result), o.Err)
			}
		} else if o.Err != nil || o.Index != uint64(i) || len(o.Result) != 30<<20 {
			t.Errorf("outcome %d: index %d, %d bytes, %v", i, o.Index, len(o.Result), o.Err)
		}
	}
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
		conn, r := openForward(t, sim, "mb")
		defer conn.Close()
		if _, err := io.WriteString(conn, frame("\x01\x01\x01\x05hello")[:12]); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if rest, err := io.ReadAll(r); err != nil || strings.Trim(string(rest), "\x00") != "" || time.Since(start) != 10*time.Second {
			t.Errorf("answer %q, %v after %v, want the end after 10s", rest, err, time.Since(start))
		}
		if executed.Load() != 0 {
			t.Error("half a batch was executed")
		}
	})
}

func openForward(t *testing.T, sim *simNet, to string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, r, resp := openUpgraded(t, sim, to, "/raft/v1/forward", "strake-raft/1")
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	return conn, r
}

func TestAFaultyRequesterIsHungUpOn(t *testing.T) {
	batch := frame("\x01\x05\x01\x03one")
	for _, c := range []struct {
		name, sent string
		executed   int64
	}{
		{"no kind of frame", batch + frame("\x09"), 1},
		{"half a batch", frame("\x01\x01\x02\x03one"), 0},
		{"a batch with something after it", frame("\x01\x01\x01\x03onetwo"), 0},
		{"the same id again", batch + batch, 1},
		{"an earlier id", batch + frame("\x01\x04\x01\x03two"), 1},
		{"half a cancel", batch + frame("\x02"), 1},
		{"a wrong checksum", strings.Replace(batch, "one", "two", 1), 0},
		{"a frame that is too large", batch + "\xff\xff\xff\xff\x00\x00\x00\x00", 1},
		{"garbage", "GET / HTTP/1.1\r\n\r\n", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := newSimNet()
				b := sim.host(t, 0xb, httppeer.Config{})
				executed := b.echo()
				b.start(t)
				conn, r := openForward(t, sim, "mb")
				defer conn.Close()
				go func() { _, _ = io.WriteString(conn, c.sent) }()
				start := time.Now()
				if _, err := io.Copy(io.Discard, r); err != nil || time.Since(start) != 0 {
					t.Errorf("the connection gave %v after %v, want its end at once", err, time.Since(start))
				}
				synctest.Wait()
				if got := executed.Load(); got != c.executed {
					t.Errorf("%d commands were executed, want %d", got, c.executed)
				}
			})
		})
	}
}

func TestAPeerThatIsRemovedHearsWhatBecameOfItsCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSimNet().pair(t)
		b.rec.serve = func(ctx context.Context, cmds [][]byte) []raftstore.Outcome {
			b.RemovePeer(0xa)
			b.rec.setContact(func(raftstore.Member) error { return raftstore.ErrRemoved })
			time.Sleep(time.Minute)
			return []raftstore.Outcome{{Result: fmt.Append(nil, ctx.Err())}}
		}
		outs, err := a.Forward(t.Context(), 0xb, [][]byte{[]byte("remove me")})
		if err != nil || string(outs[0].Result) != "<nil>" {
			t.Errorf("forward of the removal: %v, %v, want an outcome", outs, err)
		}
		if _, err := a.Forward(t.Context(), 0xb, [][]byte{[]byte("x")}); !errors.Is(err, raftstore.ErrDropped) {
			t.Errorf("forward after that: %v, want ErrDropped", err)
		}
	})
}

// A peer that stops answers what it has taken, and says what it has not.
func TestAPeerThatStopsLeavesNobodyInDoubt(t *testing.T) {
	for round := range 20 {
		a, b := newHost(t, 0xa), newHost(t, 0xb)
		var executed atomic.Int64
		b.rec.serve = func(ctx context.Context, cmds [][]byte) []raftstore.Outcome {
			if ctx.Err() != nil {
				return failed(len(cmds), raftstore.ErrDropped)
			}
			executed.Add(1)
			return make([]raftstore.Outcome, len(cmds))
		}
		b.start(t)
		a.start(t, b.member)
		var done sync.WaitGroup
		var succeeded atomic.Int64
		begun := make(chan struct{}, 1000)
		for range 4 {
			done.Go(func() {
				for {
					outs, err := a.Forward(context.Background(), 0xb, [][]byte{[]byte("x")})
					if err == nil {
						err = outs[0].Err
					}
					if err != nil {
						if !errors.Is(err, raftstore.ErrDropped) {
							t.Errorf("round %d: forward: %v, want none or ErrDropped", round, err)
						}
						return
					}
					succeeded.Add(1)
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 20 {
			await(t, begun, "forward")
		}
		b.Stop()
		done.Wait()
		if executed.Load() != succeeded.Load() {
			t.Errorf("round %d: %d forwards succeeded, %d were executed", round, succeeded.Load(), executed.Load())
		}
	}
}

func failed(n int, err error) []raftstore.Outcome {
	outs := make([]raftstore.Outcome, n)
	for i := range outs {
		outs[i].Err = err
	}
	return outs
}
