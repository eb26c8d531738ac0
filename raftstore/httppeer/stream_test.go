package httppeer_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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

// stats returns what h knows of its only peer.
func (h *host) stats(t *testing.T) httppeer.PeerStats {
	t.Helper()
	all := h.Peers()
	if len(all) != 1 {
		t.Fatalf("%d peers, want 1", len(all))
	}
	return all[0]
}

func TestPeersTellsHowConnectionsDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimNet()
		a, b := net.host(t, 0xa, httppeer.Config{}), net.host(t, 0xb, httppeer.Config{})
		a.start(t, b.member)
		if got := a.stats(t); got.Active || !got.Heard.IsZero() || got.Streams != 0 {
			t.Errorf("before anything was heard: %+v", got)
		}
		b.start(t, a.member)
		time.Sleep(5 * time.Second)
		a.Send(raftstore.Message{To: 0xb, Data: []byte("hello")})
		synctest.Wait()
		s, r := a.stats(t), b.stats(t)
		if s.ID != 0xb || s.Name != "mb" || !s.Active || s.Streams != 2 || s.Reconnects != 0 || s.Queued != 0 {
			t.Errorf("a says of b %+v", s)
		}
		if s.Sent != r.Received || s.Received != r.Sent || s.Sent < 13 {
			t.Errorf("a sent %d and received %d, b received %d and sent %d", s.Sent, s.Received, r.Received, r.Sent)
		}
		if time.Since(s.Heard) > time.Second {
			t.Errorf("a heard of b %v ago, want a second at most", time.Since(s.Heard))
		}
		b.Stop()
		time.Sleep(3*time.Second + time.Millisecond)
		if s := a.stats(t); s.Active || s.Streams != 0 {
			t.Errorf("3 s after b stopped a says of it %+v", s)
		}
	})
}

func TestRTTIsHowLongAPingTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		sim.wrap = func(addr string, c net.Conn) net.Conn { return lateConn{c, 40 * time.Millisecond} }
		a, b := sim.pair(t)
		time.Sleep(3 * time.Second)
		if got := a.stats(t).RTT; got != 40*time.Millisecond {
			t.Errorf("RTT = %v, want 40ms", got)
		}
		if got := b.stats(t).Reconnects; got != 0 {
			t.Errorf("%d reconnects", got)
		}
	})
}

// lateConn takes its time to write.
type lateConn struct {
	net.Conn
	delay time.Duration
}

func (c lateConn) Write(b []byte) (int, error) {
	time.Sleep(c.delay)
	return c.Conn.Write(b)
}

func TestASilentStreamIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		b := sim.host(t, 0xb, httppeer.Config{})
		b.start(t)
		conn, r, _ := openStream(t, sim, "mb", "strake-raft/1")
		time.Sleep(2 * time.Second)
		if _, err := io.WriteString(conn, frame("")); err != nil { // a ping
			t.Fatal(err)
		}
		start := time.Now()
		if rest, err := io.ReadAll(r); err != nil || string(rest) != "\x06" {
			t.Errorf("got %q, %v, want one echo and the end", rest, err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("the connection ended after %v of silence, want 3s", took)
		}
	})
}

func TestAHalfOpenConnectionIsReplaced(t *testing.T) {
	for _, c := range []struct {
		kind  string
		bulk  bool
		after time.Duration
	}{
		{"control", false, 3 * time.Second},
		{"bulk", true, 10 * time.Second},
	} {
		t.Run(c.kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hole atomic.Bool
				sim := newSimNet()
				// Only the first connection of the kind falls into the hole.
				var seen int
				sim.wrap = func(_ string, conn net.Conn) net.Conn {
					if seen++; seen > 2 {
						return conn
					}
					return holeConn{conn, &hole}
				}
				a, b := sim.host(t, 0xa, httppeer.Config{}), sim.host(t, 0xb, httppeer.Config{})
				b.start(t)
				a.start(t, b.member)
				time.Sleep(1500 * time.Millisecond)
				hole.Store(true)
				start := time.Now()
				time.Sleep(c.after + time.Second + 200*time.Millisecond)
				a.Send(raftstore.Message{To: 0xb, Bulk: c.bulk, Data: []byte("again")})
				synctest.Wait()
				if got := b.rec.all(); got != "a:again" {
					t.Errorf("%v after the connection died, b received %q", time.Since(start), got)
				}
			})
		})
	}
}

func TestASlowPeerHoldsUpNothingButItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimNet()
		a, slow, quick := net.host(t, 0xa, httppeer.Config{}), net.host(t, 0xb, httppeer.Config{}), net.host(t, 0xc, httppeer.Config{})
		release := make(chan struct{})
		slow.rec.hold = release
		slow.start(t)
		quick.start(t)
		a.start(t, slow.member, quick.member)
		synctest.Wait()
		start := time.Now()
		message := make([]byte, 1<<20)
		for range 100 {
			a.Send(raftstore.Message{To: 0xb, Bulk: true, Data: message})
		}
		a.Send(raftstore.Message{To: 0xc, Data: []byte("quick")})
		await(t, quick.rec.arrived, "message to the quick peer")
		synctest.Wait()
		if time.Since(start) != 0 {
			t.Errorf("Send waited for %v", time.Since(start))
		}
		s := a.Peers()[0]
		if s.Queued > 32<<20 || s.Dropped < 100-33 {
			t.Errorf("%d bytes are queued and %d messages dropped, want 32 MiB at most and the rest", s.Queued, s.Dropped)
		}
		if n := len(slow.rec.arrived); n != 0 {
			t.Fatalf("%d messages arrived", n)
		}
		if n := len(a.rec.lost); n != 1 {
			t.Errorf("the overflow was reported %d times, want once", n)
		}
		close(release)
		synctest.Wait()
		if got := len(slow.rec.arrived); got != 100-int(s.Dropped) {
			t.Errorf("%d messages arrived, want all but %d", got, s.Dropped)
		}
		if got := a.Peers()[0].Queued; got != 0 {
			t.Errorf("%d bytes are still queued", got)
		}
	})
}

func TestManySmallMessagesAreBoundedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newSimNet().host(t, 0xa, httppeer.Config{})
		a.start(t, raftstore.Member{ID: 0xb, PeerURLs: []string{"http://nobody:1"}})
		synctest.Wait()
		for len(a.rec.lost) > 0 {
			<-a.rec.lost
		}
		for range 100_000 {
			a.Send(raftstore.Message{To: 0xb, Data: []byte("x")})
		}
		s := a.stats(t)
		if s.Queued > 1<<20 || s.Dropped < 100_000-1<<20/65 {
			t.Errorf("%d bytes are queued and %d messages dropped, want 1 MiB at most and the rest", s.Queued, s.Dropped)
		}
		if n := len(a.rec.lost); n != 1 {
			t.Errorf("the overflow was reported %d times, want once", n)
		}
	})
}

func TestAPeerThatNeverAnswersHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		mute := sim.listen("mute:1")
		defer mute.Close()
		conns := make(chan net.Conn, 10)
		go func() {
			for {
				c, err := mute.Accept()
				if err != nil {
					close(conns)
					return
				}
				conns <- c
				go func() { _, _ = io.Copy(io.Discard, c) }()
			}
		}()
		a, b := sim.host(t, 0xa, httppeer.Config{}), sim.host(t, 0xb, httppeer.Config{})
		b.start(t)
		a.start(t, b.member, raftstore.Member{ID: 0xd, PeerURLs: []string{"http://mute:1"}})
		synctest.Wait()
		start := time.Now()
		a.Send(raftstore.Message{To: 0xb, Data: []byte("x")})
		await(t, b.rec.arrived, "message to the peer that answers")
		if time.Since(start) != 0 {
			t.Errorf("it took %v", time.Since(start))
		}
		if id := await(t, a.rec.lost, "report of the mute peer"); id != 0xd || time.Since(start) != 5*time.Second {
			t.Errorf("peer %x was reported after %v, want d after 5s", id, time.Since(start))
		}
		// Nor does it hold up the end.
		time.Sleep(3 * time.Second)
		stopping := time.Now()
		a.Stop()
		if time.Since(stopping) != 0 {
			t.Errorf("Stop took %v", time.Since(stopping))
		}
		for len(conns) > 0 {
			(<-conns).Close()
		}
	})
}

// openStream connects like member a would.
func openStream(t *testing.T, sim *simNet, to, upgrade string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	return openUpgraded(t, sim, to, "/raft/v1/stream?kind=control", upgrade)
}

func openUpgraded(t *testing.T, sim *simNet, to, path, upgrade string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn, err := sim.dial(t.Context(), "tcp", to+":2380")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n"+
		"X-Raft-Cluster: c1\r\nX-Raft-From: a\r\nX-Raft-To: b\r\nX-Raft-Storage: a00\r\n\r\n", path, upgrade)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, r, resp
}

func frame(payload string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum([]byte(payload), crc32.MakeTable(crc32.Castagnoli)))
	return string(b) + payload
}

func TestAFaultyStreamEndsAndNothingElse(t *testing.T) {
	for _, c := range []struct{ name, sent string }{
		{"half a frame", frame("one") + frame("never")[:10]},
		{"half a head", frame("one") + "\x00\x00"},
		{"garbage", frame("one") + "GET / HTTP/1.1\r\n\r\n"},
		{"a frame that is too large", frame("one") + "\xff\xff\xff\xff\x00\x00\x00\x00"},
		{"a wrong checksum", frame("one") + strings.Replace(frame("never"), "never", "nevel", 1)},
		{"a large frame that does not come", frame("one") + "\x03\xff\xff\xff\x00\x00\x00\x00abc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := newSimNet()
				b, other := sim.host(t, 0xb, httppeer.Config{}), sim.host(t, 0xc, httppeer.Config{})
				b.start(t)
				other.start(t, b.member)
				conn, r, _ := openStream(t, sim, "mb", "strake-raft/1")
				// The other side may hang up before it has read all.
				_, _ = io.WriteString(conn, c.sent)
				if strings.HasPrefix(c.name, "half") {
					conn.Close()
				} else if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
					t.Errorf("answer %q, %v, want the end of the connection", rest, err)
				}
				synctest.Wait()
				other.Send(raftstore.Message{To: 0xb, Data: []byte("two")})
				synctest.Wait()
				if got := b.rec.all(); got != "a:one c:two" {
					t.Errorf("received %q, want what was whole, and what others sent", got)
				}
				if s := other.stats(t); s.Reconnects != 0 {
					t.Errorf("another peer's streams broke %d times", s.Reconnects)
				}
			})
		})
	}
}

func TestAnotherVersionOfTheProtocolIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		b := sim.host(t, 0xb, httppeer.Config{})
		b.start(t)
		conn, _, resp := openStream(t, sim, "mb", "strake-raft/2")
		defer conn.Close()
		if resp.StatusCode != http.StatusUpgradeRequired || resp.Header.Get("Upgrade") != "strake-raft/1" {
			t.Errorf("status %d, Upgrade: %q, want 426 and strake-raft/1", resp.StatusCode, resp.Header.Get("Upgrade"))
		}

		// And the other way round.
		sim.serve(t, "new:1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Upgrade", "strake-raft/2")
			w.WriteHeader(http.StatusSwitchingProtocols)
		}))
		var log bytes.Buffer
		a := sim.host(t, 0xa, httppeer.Config{Logger: textLog(&log)})
		a.start(t, raftstore.Member{ID: 0xd, PeerURLs: []string{"http://new:1"}})
		await(t, a.rec.lost, "report")
		a.Stop()
		if !strings.Contains(log.String(), `peer talks \"strake-raft/2\"`) {
			t.Errorf("log says %q", log.String())
		}
	})
}

func TestALaterStreamTakesThePlaceOfTheEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		b := sim.host(t, 0xb, httppeer.Config{})
		b.start(t)
		first, r, _ := openStream(t, sim, "mb", "strake-raft/1")
		second, _, _ := openStream(t, sim, "mb", "strake-raft/1")
		defer second.Close()
		if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
			t.Errorf("the first connection gave %q, %v, want its end", rest, err)
		}
		first.Close()
		if _, err := io.WriteString(second, frame("x")); err != nil {
			t.Fatal(err)
		}
		await(t, b.rec.arrived, "message on the second connection")
	})
}

func TestARemovedPeerIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSimNet().pair(t)
		sendUntilArrived(t, a, b, raftstore.Message{To: 0xb, Data: []byte("x")})
		b.rec.setContact(func(raftstore.Member) error { return raftstore.ErrRemoved })
		b.RemovePeer(0xa)
		if got := b.Peers(); len(got) != 0 {
			t.Errorf("peers after the removal: %+v", got)
		}
		if err := await(t, a.rec.refused, "refusal"); !errors.Is(err, raftstore.ErrRemoved) {
			t.Errorf("a is told %v, want ErrRemoved", err)
		}
		time.Sleep(10 * time.Second)
		if got := a.stats(t); got.Streams != 0 || got.Active {
			t.Errorf("the removed one says %+v", got)
		}
	})
}

func TestAPeerIsTriedAtAllItsURLs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		a, b := sim.host(t, 0xa, httppeer.Config{}), sim.host(t, 0xb, httppeer.Config{})
		b.start(t)
		m := b.member
		m.PeerURLs = []string{"http://nobody:1", "ftp://mb:2380", b.member.PeerURLs[0]}
		a.start(t, m)
		sendUntilArrived(t, a, b, raftstore.Message{To: 0xb, Data: []byte("x")})
	})
}

func TestAPeerWithoutURLsIsReachedOnceItHasSome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		a, b := sim.host(t, 0xa, httppeer.Config{}), sim.host(t, 0xb, httppeer.Config{})
		b.start(t)
		a.start(t, raftstore.Member{ID: 0xb})
		await(t, a.rec.lost, "report of a peer that cannot be dialled")
		a.SetPeer(b.member)
		sendUntilArrived(t, a, b, raftstore.Message{To: 0xb, Data: []byte("x")})
	})
}
