package httppeer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
)

// simNet is a network in memory, for tests in a synctest bubble: there time
// passes only when nothing else can happen, and goroutines left over fail the
// test.
type simNet struct {
	mu        sync.Mutex
	listeners map[string]*simListener
	// wrap, if set, changes each connection for the side that dials it. It
	// runs with mu held.
	wrap func(addr string, c net.Conn) net.Conn
}

func newSimNet() *simNet { return &simNet{listeners: make(map[string]*simListener)} }

func (n *simNet) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[addr]
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Err: fmt.Errorf("%s: connection refused", addr)}
	}
	here, there := net.Pipe()
	select {
	case l.conns <- there:
	case <-l.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wrap != nil {
		return n.wrap(addr, here), nil
	}
	return here, nil
}

func (n *simNet) listen(addr string) *simListener {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &simListener{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
	n.listeners[addr] = l
	return l
}

type simListener struct {
	addr  string
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *simListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *simListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *simListener) Addr() net.Addr { return simAddr(l.addr) }

type simAddr string

func (simAddr) Network() string  { return "sim" }
func (a simAddr) String() string { return string(a) }

// host starts to serve a member that is not yet started.
func (n *simNet) host(t *testing.T, id uint64, cfg httppeer.Config) *host {
	cfg.DialContext = n.dial
	addr := fmt.Sprintf("m%x:2380", id)
	h := &host{Transport: httppeer.New(cfg), rec: newRecorder()}
	h.member = raftstore.Member{ID: id, Name: fmt.Sprintf("m%x", id), PeerURLs: []string{"http://" + addr}, Storage: id << 8}
	n.serve(t, addr, h)
	t.Cleanup(h.Stop)
	return h
}

func (n *simNet) serve(t *testing.T, addr string, h http.Handler) {
	server := &http.Server{Handler: h}
	l := n.listen(addr)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
}

// pair starts two members that know each other.
func (n *simNet) pair(t *testing.T) (a, b *host) {
	a, b = n.host(t, 0xa, httppeer.Config{}), n.host(t, 0xb, httppeer.Config{})
	a.start(t, b.member)
	b.start(t, a.member)
	return a, b
}

// holeConn is a connection that can be made to lose everything without a word.
type holeConn struct {
	net.Conn
	hole *atomic.Bool
}

func (c holeConn) Write(b []byte) (int, error) {
	if c.hole.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c holeConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.hole.Load() {
			return n, err
		}
	}
}

// brokenConn breaks when as many bytes as left were written, or a byte flips
// on the way.
type brokenConn struct {
	net.Conn
	left int // to be written before it breaks; negative for no limit
	flip int // place of the byte that flips; negative for none
}

func (c *brokenConn) Write(b []byte) (int, error) {
	if c.flip >= 0 {
		if c.flip < len(b) {
			b = append([]byte(nil), b...)
			b[c.flip] ^= 0x10
		}
		c.flip -= len(b)
	}
	if c.left < 0 {
		return c.Conn.Write(b)
	}
	n, err := c.Conn.Write(b[:min(len(b), c.left)])
	c.left -= n
	if err == nil && n < len(b) {
		err = errors.New("the connection was cut")
		c.Conn.Close()
	}
	return n, err
}
