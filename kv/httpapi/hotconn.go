package httpapi

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"
)

// A hotConn is a connection that asks for keys, with its loop. It is also the
// answer to the request under way. But for state and ear, and that anybody may
// cancel, all of it belongs to the loop's goroutine.
type hotConn struct {
	conn   net.Conn
	front  *front
	api    *API
	ctx    context.Context // that of its requests
	cancel context.CancelFunc
	state  atomic.Int32

	input *[maxHotHead]byte // a pool's; nil while a watch waits
	in    []byte            // read and not used yet; part of input unless too large for it
	skip  int               // how many line breaks the next request may begin with
	begun time.Time         // when the request, or the wait for it, did
	first bool              // whether it is the connection's first

	read, write deadline

	out     *[]byte // not sent yet; nil if there is nothing
	chunked bool    // whether the answer comes in parts
	broken  bool    // whether it cannot be completed
	ear     *ear    // while a watch waits that ears does not listen to
	heard   uint64  // in ears, while it does; else 0
}

// A deadline is one of a connection. To set it for each request would take longer
// than to read the request, so the connection may have an earlier one, of a request
// before, until that has passed. An error of setting it shows when the connection
// is used.
type deadline struct{ is, set time.Time }

func (d *deadline) put(t time.Time, set func(time.Time) error) {
	if d.is = t; d.set.IsZero() || t.Before(d.set) {
		d.set = t
		_ = set(t)
	}
}

func (d *deadline) clear(set func(time.Time) error) {
	*d = deadline{}
	_ = set(time.Time{})
}

// early reports whether err says that an earlier deadline has passed, and sets the
// one that counts.
func (d *deadline) early(err error, set func(time.Time) error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || !d.set.Before(d.is) {
		return false
	}
	d.set = d.is
	_ = set(d.is)
	return true
}

// States of a connection.
const (
	idle   int32 = iota // between requests, or before the first
	busy                // in one
	closed              // ended while idle
)

// closeIdle ends a connection that has no request.
func (c *hotConn) closeIdle() {
	if c.state.CompareAndSwap(idle, closed) {
		_ = c.conn.Close()
	}
}

// run serves requests until the connection ends or is handed over.
func (c *hotConn) run() {
	defer c.front.leave(c)
	defer c.cancel()
	defer c.release()
	defer func() {
		if err := recover(); err != nil { // of a store; net/http would not let it end the process either
			c.api.cfg.Logger.Error("key request panicked", "client", c.conn.RemoteAddr(), "err", err, "stack", string(debug.Stack()))
			c.front.drop(c.conn)
		}
	}()
	for c.begun, c.first = time.Now(), true; c.await(); c.begun, c.first = time.Now(), false {
		head, rest := c.takeHead()
		if rest != nil {
			c.front.handOver(rest)
			return
		}
		if c.front.closing.Load() || !c.serve(head) {
			break
		}
	}
	c.front.drop(c.conn)
}

// await waits for a request to begin, the first of which begins with the
// connection.
func (c *hotConn) await() bool {
	least, most := 4, c.api.cfg.IdleTimeout // bytes, as many as net/http waits for
	if c.first {
		least, most = 1, c.api.cfg.HeaderTimeout
	}
	if len(c.in) < least {
		c.read.put(c.begun.Add(most), c.conn.SetReadDeadline)
		for len(c.in) < least {
			if c.fill(maxHotHead) != nil {
				return false
			}
		}
		if !c.first {
			c.begun = time.Now()
		}
	}
	return c.state.CompareAndSwap(idle, busy)
}

// takeHead reads until a whole request is there, and takes its head. If it turns
// out cold, or does not come, it returns what net/http is to make of it.
func (c *hotConn) takeHead() (hotHead, *coldConn) {
	cfg := &c.api.cfg
	headBy := c.begun.Add(cfg.HeaderTimeout)
	for {
		for c.skip > 0 && len(c.in) > 0 && (c.in[0] == '\r' || c.in[0] == '\n') {
			c.in = c.in[1:]
			c.skip--
		}
		h, v := parseHead(c.in)
		need, by := maxHotHead, headBy
		switch {
		case v == hot && h.size <= maxHotHead && int64(h.body) <= cfg.MaxBodyBytes:
			if need = h.size + h.body; len(c.in) >= need {
				c.in = c.in[h.size:]
				return h, nil
			}
			by = c.begun.Add(cfg.ReadTimeout)
		case v != more, len(c.in) >= maxHotHead:
			return hotHead{}, c.handOver(nil, headBy)
		}
		c.read.put(by, c.conn.SetReadDeadline)
		if err := c.fill(need); err != nil {
			return hotHead{}, c.handOver(err, headBy)
		}
	}
}

func (c *hotConn) handOver(err error, headBy time.Time) *coldConn {
	return &coldConn{Conn: c.conn, unread: bytes.Clone(c.in), err: err, by: headBy}
}

// serve answers a request and reports whether there may be another one.
func (c *hotConn) serve(h hotHead) bool {
	r := keyRequest{method: h.method, path: h.path}
	r.params, r.err = decode(h.method, h.query, string(c.in[:h.body]))
	if c.in = c.in[h.body:]; len(c.in) == 0 {
		c.in = nil // so that what was too large for input goes
	}
	if c.skip = 0; h.method == http.MethodPost {
		c.skip = 4 // as many as net/http forgives old clients
	}
	c.api.serveKey(c.ctx, c.front.stop, c, &r)
	there := c.unpark()
	return there && c.finish() && c.state.CompareAndSwap(busy, idle) && !c.front.closing.Load()
}

// fill reads more, into room for need bytes, which have to be more than there are.
func (c *hotConn) fill(need int) error {
	room := c.room(need)
	n, err := c.conn.Read(room[len(c.in):])
	for n == 0 && c.read.early(err, c.conn.SetReadDeadline) {
		n, err = c.conn.Read(room[len(c.in):])
	}
	if c.in = room[:len(c.in)+n]; n > 0 {
		return nil
	}
	return err
}

// room returns memory that begins with what has been read.
func (c *hotConn) room(need int) []byte {
	if cap(c.in) >= need {
		return c.in[:cap(c.in)]
	}
	if need > maxHotHead {
		room := make([]byte, need)
		copy(room, c.in)
		c.release()
		return room
	}
	if c.input == nil {
		c.input = c.api.inputs.Get().(*[maxHotHead]byte)
	}
	copy(c.input[:], c.in)
	return c.input[:]
}

// release gives input back, of which in must not be part any more.
func (c *hotConn) release() {
	if c.input != nil {
		c.api.inputs.Put(c.input)
		c.input = nil
	}
}

func (c *hotConn) whole(h *head, body []byte) {
	c.allow(c.api.cfg.WriteTimeout - time.Since(c.begun))
	c.appendHead(h, len(body))
	*c.out = append(*c.out, body...)
	_ = c.flush() // a client that has gone needs no answer
}

func (c *hotConn) begin(h *head) error {
	c.appendHead(h, -1)
	c.chunked = true
	return nil
}

func (c *hotConn) part(b []byte) error {
	if len(b) == 0 {
		return nil // which would be the end
	}
	out := append(strconv.AppendUint(*c.unsent(), uint64(len(b)), 16), "\r\n"...)
	*c.out = append(append(out, b...), "\r\n"...)
	if len(*c.out) < listChunk {
		return nil
	}
	return c.flush()
}

// finish ends the answer and reports whether the client has all of it.
func (c *hotConn) finish() bool {
	if c.chunked && !c.broken {
		c.chunked = false
		out := c.unsent()
		*out = append(*out, "0\r\n\r\n"...)
		_ = c.flush() // which tells by broken
	}
	return !c.broken
}

func (c *hotConn) abort() { c.broken = true }

// allow gives the client d to take what is written next.
func (c *hotConn) allow(d time.Duration) { c.write.put(time.Now().Add(d), c.conn.SetWriteDeadline) }

// unsent returns what is not sent yet.
func (c *hotConn) unsent() *[]byte {
	if c.out == nil {
		c.out = c.api.buffers.Get().(*[]byte)
		*c.out = (*c.out)[:0]
	}
	return c.out
}

func (c *hotConn) flush() error {
	if c.out == nil {
		return nil
	}
	n, err := c.conn.Write(*c.out)
	for c.write.early(err, c.conn.SetWriteDeadline) {
		var more int
		more, err = c.conn.Write((*c.out)[n:])
		n += more
	}
	c.broken = c.broken || err != nil
	c.api.giveBack(c.out)
	c.out = nil
	return err
}

// appendHead appends a head in the order in which net/http writes it. A negative
// length is unknown.
func (c *hotConn) appendHead(h *head, length int) {
	b := append(*c.unsent(), "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(h.status), 10)
	b = append(append(b, ' '), http.StatusText(h.status)...)
	if length >= 0 {
		b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(length), 10)
	}
	b = append(append(b, "\r\nContent-Type: application/json\r\nX-Etcd-Cluster-Id: "...), c.api.clusterID[0]...)
	b = strconv.AppendUint(append(b, "\r\nX-Etcd-Index: "...), h.index, 10)
	if h.oldest != "" {
		b = append(append(b, "\r\nX-Etcd-Oldest-Index: "...), h.oldest...)
	}
	if h.raft {
		b = strconv.AppendUint(append(b, "\r\nX-Raft-Index: "...), h.raftIndex, 10)
		b = strconv.AppendUint(append(b, "\r\nX-Raft-Term: "...), h.raftTerm, 10)
	}
	b = append(append(b, "\r\nDate: "...), c.api.date()...)
	if c.front.closing.Load() {
		b = append(b, "\r\nConnection: close"...)
	}
	if length < 0 {
		b = append(b, "\r\nTransfer-Encoding: chunked"...)
	}
	*c.out = append(b, "\r\n\r\n"...)
}

// An ear is a goroutine that listens, while a watch waits, for the client to go.
type ear struct {
	b     [1]byte // of the next request, should the client send it already
	n     int
	quiet chan struct{} // closed when it listens no more
}

func (c *hotConn) park() {
	c.write.clear(c.conn.SetWriteDeadline)
	if c.ear != nil || c.heard != 0 {
		return
	}
	if c.in = bytes.Clone(c.in); len(c.in) == 0 {
		c.in = nil
	}
	c.release()
	if c.heard = c.front.ears.add(c); c.heard != 0 {
		return
	}
	c.read.clear(c.conn.SetReadDeadline)
	c.ear = &ear{quiet: make(chan struct{})}
	c.front.loops.Go(c.listen)
}

func (c *hotConn) listen() {
	e := c.ear
	defer close(e.quiet)
	var err error
	e.n, err = c.conn.Read(e.b[:])
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.cancel()
	}
}

// unpark ends listening, if it has begun, and reports whether the client is still
// there.
func (c *hotConn) unpark() bool {
	switch e := c.ear; {
	case c.heard != 0:
		c.front.ears.remove(c, c.heard)
		c.heard = 0
	case e != nil:
		c.read.put(time.Unix(1, 0), c.conn.SetReadDeadline)
		<-e.quiet
		c.ear = nil
		c.in = append(c.in, e.b[:e.n]...)
	default:
		return true
	}
	return c.ctx.Err() == nil
}
