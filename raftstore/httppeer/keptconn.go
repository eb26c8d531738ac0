package httppeer

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
)

// keptConn is a connection of the HTTP client, which keeps it for later
// requests. It is written to like a patientConn, and tells whether a request
// that failed can have arrived.
type keptConn struct {
	net.Conn
	touched atomic.Bool // something may have been written since begin
	over    atomic.Bool // nothing is to be written any more
}

// kept makes a dialler return keptConns.
func kept(dial dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &keptConn{Conn: conn}, nil
	}
}

// begin prepares for a request. A kept connection that the peer has closed, as it
// does when it stops, takes nothing more, so that the client opens another one. The
// client may not have noticed the end yet and would write, and then nobody could
// tell whether that arrived.
func (c *keptConn) begin(reused bool) {
	c.touched.Store(false)
	if reused && hungUp(c.Conn) {
		c.over.Store(true)
	}
}

// abandon closes the connection and reports whether anything of the request may
// have been written.
func (c *keptConn) abandon() bool {
	c.over.Store(true)
	c.Close() // from here on nothing can be
	return c.touched.Load()
}

func (c *keptConn) Write(b []byte) (int, error) {
	if c.over.Load() {
		return 0, net.ErrClosed
	}
	c.touched.Store(true)
	return writePatiently(c.Conn, b)
}

// hungUp reports whether something waits to be read on an idle connection: its
// end, or what does not belong there.
func hungUp(conn net.Conn) bool {
	for {
		c, ok := conn.(interface{ NetConn() net.Conn }) // such as a tls.Conn
		if !ok {
			break
		}
		conn = c.NetConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	waits := false
	err = raw.Control(func(fd uintptr) { waits = readable(fd) })
	return waits || err != nil
}
