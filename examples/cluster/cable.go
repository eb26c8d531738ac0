package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// inUse is how long an address may stay in use after its last listener was
// closed: each child that this process forks has that listener as well, until it
// executes its program.
const inUse = 10 * time.Second

// listen tries to listen until the address is free.
func listen[T any](ctx context.Context, try func() (T, error)) (T, error) {
	for began := time.Now(); ; {
		l, err := try()
		if !errors.Is(err, syscall.EADDRINUSE) || time.Since(began) > inUse {
			return l, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return l, err
		}
	}
}

// cable is the network cable of a machine: everything it dials and accepts runs
// through it, so that pulling it is what the loss of a machine looks like to
// the others. Its methods are safe for concurrent use.
type cable struct {
	mu     sync.Mutex
	pulled bool
	conns  map[net.Conn]struct{}
}

var errPulled = errors.New("network cable is pulled")

func newCable() *cable { return &cable{conns: make(map[net.Conn]struct{})} }

// pull breaks all connections and lets no new one come about.
func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled = true
	for conn := range c.conns {
		conn.Close()
	}
}

func (c *cable) plug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled = false
}

// dial is a net.Dialer's DialContext.
func (c *cable) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return c.attach(conn)
}

// wrap returns a listener whose connections run through the cable.
func (c *cable) wrap(l net.Listener) net.Listener { return &cabledListener{l, c} }

func (c *cable) attach(conn net.Conn) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pulled {
		conn.Close()
		return nil, errPulled
	}
	c.conns[conn] = struct{}{}
	return &cabledConn{conn, c}, nil
}

type cabledListener struct {
	net.Listener
	cable *cable
}

func (l *cabledListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		// While the cable is pulled whoever dials finds the connection closed.
		if conn, err := l.cable.attach(conn); err == nil {
			return conn, nil
		}
	}
}

type cabledConn struct {
	net.Conn
	cable *cable
}

func (c *cabledConn) Close() error {
	c.cable.mu.Lock()
	delete(c.cable.conns, c.Conn)
	c.cable.mu.Unlock()
	return c.Conn.Close()
}
