package httppeer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"sync"
	"time"
)

// A stream is the sending side of one kind of stream to one peer, over all the
// connections it goes through.
//
// Messages go one way, from the side that dialled. The only thing that comes
// back is one byte, the echo, for each empty frame, the ping. A ping goes out
// when the connection stands and a beat after the one before, unless that one
// still awaits its echo. So each side hears of the other at least once a beat,
// and takes it for gone when it does not within the silence of the kind:
//
//	              ping, messages, ping, ...
//	writer  ----------------------------------->  reader
//	listener <----------------------------------  (the same goroutine)
//	              echo, echo, ...
type stream struct {
	kind    string
	queue   *sendQueue
	traffic *traffic
}

const (
	streamPath  = "/raft/v1/stream"
	kindParam   = "kind"
	controlKind = "control"
	bulkKind    = "bulk"
	echoByte    = 0x06
)

// silenceOf is how long the other side of a stream may be silent. On a bulk
// stream a ping waits behind all that is in flight.
func silenceOf(kind string) time.Duration {
	if kind == bulkKind {
		return 10 * beat
	}
	return 3 * beat
}

const (
	minPause = 50 * time.Millisecond
	maxPause = 2 * time.Second
)

// runStream keeps one stream to a peer open and writes the queue to it. While
// the peer cannot be reached what is queued is thrown away: raft sends again
// what still matters.
func (t *Transport) runStream(p *peer, s *stream) {
	query := url.Values{kindParam: {s.kind}}.Encode()
	opened := false
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		conn, u, err := t.dial(p.ctx, p, streamPath, query)
		if err == nil {
			if p.reach.open(s.kind) {
				t.log.Info("httppeer: peer reachable", "peer", p, "url", u)
			}
			s.traffic.opened(opened)
			opened = true
			pause = minPause
			err = t.writeStream(p.ctx, conn, s)
			s.traffic.closed()
			p.failed(u)
		}
		if p.ctx.Err() != nil {
			return
		}
		p.reach.lost(s.kind, err, func(level slog.Level) {
			t.log.Log(p.ctx, level, "httppeer: peer lost", "peer", p, "stream", s.kind, "url", u, "err", err)
		})
		s.traffic.drop(s.queue.drop())
		t.handler.Unreachable(p.id)
		if !sleep(p.ctx, pause) {
			return
		}
	}
}

// sleep waits for d, give or take half, so that members do not dial in step. It
// reports false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// writeStream writes what is queued, all of it with one flush, until the
// connection breaks or ctx ends.
func (t *Transport) writeStream(ctx context.Context, conn *patientConn, s *stream) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.onMotion = func(_, written int, _ time.Time) { s.traffic.sent(written) }
	pings := &pinger{conn: conn.Conn, silence: silenceOf(s.kind), traffic: s.traffic}
	ended := make(chan error, 1)
	t.tasks.Go(func() {
		ended <- pings.listen(conn.reader)
		conn.Close() // for a write that is stuck
	})
	w := bufio.NewWriterSize(conn, 64<<10)
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	var frames [][]byte
	for {
		if pings.due(time.Now()) {
			writeFrame(w, nil)
		}
		frames = s.queue.take(frames)
		for _, f := range frames {
			writeFrame(w, f)
		}
		err := w.Flush()
		s.queue.release(frames)
		if err != nil {
			s.traffic.drop(len(frames)) // or at least some of them
			select {
			case err = <-ended: // which is why writing failed
			default:
			}
			return err
		}
		select {
		case <-s.queue.wake:
		case <-ticker.C:
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pinger keeps account of the pings of one connection.
type pinger struct {
	conn    net.Conn
	silence time.Duration
	traffic *traffic

	mu   sync.Mutex
	sent time.Time // of the latest ping
	open bool      // it is not yet echoed
}

// due reports whether a ping is to be written now.
func (g *pinger) due(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open || now.Sub(g.sent) < beat {
		return false
	}
	g.sent, g.open = now, true
	// An error shows when the connection is used.
	_ = g.conn.SetReadDeadline(now.Add(g.silence))
	return true
}

// listen takes echoes until the connection ends or an echo stays away. It
// returns why.
func (g *pinger) listen(r io.ByteReader) error {
	for {
		b, err := r.ReadByte()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("peer does not answer for %v", g.silence)
		case err == io.EOF:
			return errors.New("peer closed the connection")
		case err != nil:
			return err
		case !g.echoed(b, time.Now()):
			return fmt.Errorf("peer sent %#x out of turn", b)
		}
	}
}

func (g *pinger) echoed(b byte, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open || b != echoByte {
		return false
	}
	g.open = false
	_ = g.conn.SetReadDeadline(time.Time{})
	g.traffic.received(1, now)
	g.traffic.echoed(now.Sub(g.sent))
	return true
}
