package httpapi

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A front is what Serve has before net/http: a listener that keeps connections
// for itself as long as they ask for keys the way most clients do, and each of
// which has a loop of its own (hotconn.go). That takes less processor time, and half
// of the memory for a watch.
//
//	                       +-- TLS; all, if CORS is on --------> net/http
//	listener --> Accept ---+                                         ^
//	                       +--> hotConn: read, parse, serveKey,      |
//	                              ^      answer ---+                 |
//	                              +----------------+-- cold: what parseHead does
//	                                                   not know, with unread bytes
//
// A connection that has gone to net/http stays there. Who holds a connection
// gives its slot back: its loop, or net/http's ConnState hook.
//
// Goroutines: one for each connection, and one that listens to all whose watches
// wait, for clients to go. Where the system has no such thing, each of these has a
// second goroutine for that. All end with the front.
type front struct {
	net.Listener
	api  *API
	stop context.Context // ends watches
	base context.Context // that of all connections
	cut  context.CancelFunc
	cold *coldListener
	ears ears

	closing atomic.Bool
	loops   sync.WaitGroup
	mu      sync.Mutex
	conns   map[*hotConn]struct{} // guarded by mu; nobody joins once closing is set
}

func newFront(ctx context.Context, a *API, l net.Listener) *front {
	f := &front{
		Listener: &boundedListener{Listener: l, slots: a.conns, closed: make(chan struct{})},
		api:      a,
		stop:     ctx,
		cold:     &coldListener{conns: make(chan net.Conn), closed: make(chan struct{}), addr: l.Addr()},
		conns:    map[*hotConn]struct{}{},
	}
	f.base, f.cut = context.WithCancel(context.WithoutCancel(ctx))
	return f
}

// Accept returns connections that are net/http's from the beginning.
func (f *front) Accept() (net.Conn, error) {
	for {
		conn, err := f.Listener.Accept()
		if err != nil || f.api.allCold || encrypted(conn) {
			return conn, err
		}
		f.start(conn)
	}
}

// encrypted reports whether a connection speaks TLS, whose handshake and choice
// of protocol are net/http's.
func encrypted(c net.Conn) bool {
	_, ok := c.(interface{ ConnectionState() tls.ConnectionState })
	return ok
}

func (f *front) start(conn net.Conn) {
	c := &hotConn{conn: conn, front: f, api: f.api}
	c.ctx, c.cancel = context.WithCancel(f.base)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing.Load() {
		c.cancel()
		f.drop(conn)
		return
	}
	f.conns[c] = struct{}{}
	f.loops.Go(c.run)
}

// leave takes out a connection, of which the front knows nothing from then on.
func (f *front) leave(c *hotConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

// drop ends a connection.
func (f *front) drop(conn net.Conn) {
	_ = conn.Close()
	<-f.api.conns
}

// handOver gives a connection to net/http.
func (f *front) handOver(c *coldConn) {
	select {
	case f.cold.conns <- c:
	case <-f.cold.closed:
		f.drop(c.Conn)
	}
}

// shut ends connections without a request now, and others after their answer.
func (f *front) shut() {
	f.closing.Store(true)
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.closeIdle()
	}
}

// wait waits for all connections to end, or ctx.
func (f *front) wait(ctx context.Context) {
	done := make(chan struct{})
	go func() { // which end is to bring about, at the latest
		f.loops.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// end ends all connections.
func (f *front) end() {
	f.shut()
	f.cut()
	f.mu.Lock()
	for c := range f.conns {
		_ = c.conn.Close() // that of an answer that nobody takes
	}
	f.mu.Unlock()
	f.loops.Wait()
	f.ears.close()
}

// A coldListener accepts connections that were handed over.
type coldListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
	addr   net.Addr
}

func (l *coldListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *coldListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *coldListener) Addr() net.Addr { return l.addr }

// A coldConn is a connection with what has been read from it already: bytes, and
// then perhaps an error, which nothing comes after.
type coldConn struct {
	net.Conn
	unread []byte
	err    error
	by     time.Time // bounds the first deadline to read, that for a head; then zero
}

func (c *coldConn) Read(b []byte) (int, error) {
	switch {
	case len(c.unread) > 0:
		n := copy(b, c.unread)
		if c.unread = c.unread[n:]; len(c.unread) == 0 {
			c.unread = nil
		}
		return n, nil
	case c.err != nil:
		return 0, c.err
	}
	return c.Conn.Read(b)
}

func (c *coldConn) SetReadDeadline(t time.Time) error {
	if !c.by.IsZero() && t.After(c.by) {
		t = c.by
	}
	c.by = time.Time{}
	return c.Conn.SetReadDeadline(t)
}

// CloseWrite lets net/http end what it sends before it ends the connection.
func (c *coldConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
