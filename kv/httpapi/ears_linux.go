package httpapi

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ears listens to the connections of all watches that wait, for clients to go.
//
//	hotConn --add, remove--> epoll --> run --cancel--> hotConn's context
//
// A connection is told of once: when its client has gone, which ends the context
// of its requests, or has sent more already, after which nobody listens to it any
// more until its watch has ended.
//
// One goroutine listens to all, from the first on until close. It takes no thread:
// the runtime tells it when there is something to hear.
type ears struct {
	once sync.Once
	file *os.File        // of the epoll; nil if there is none
	raw  syscall.RawConn // likewise
	done chan struct{}   // closed when run has ended

	mu    sync.Mutex
	conns map[uint64]*hotConn // those listened to; protected by mu
	last  uint64              // the latest key of conns; protected by mu
}

// open makes the epoll. Without one nobody is listened to.
func (e *ears) open() {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return
	}
	if err := unix.SetNonblock(fd, true); err != nil { // which is what makes the runtime watch it
		_ = unix.Close(fd)
		return
	}
	file := os.NewFile(uintptr(fd), "epoll")
	if e.raw, err = file.SyscallConn(); err != nil {
		_ = file.Close()
		return
	}
	e.file, e.done, e.conns = file, make(chan struct{}), make(map[uint64]*hotConn)
	go e.run()
}

// close ends listening, for good.
func (e *ears) close() {
	e.once.Do(func() {})
	if e.file != nil {
		_ = e.file.Close()
		<-e.done
	}
}

// add begins to listen to a connection, and returns by what it is removed; 0 if
// it cannot be listened to.
func (e *ears) add(c *hotConn) uint64 {
	raw := rawConn(c)
	if raw == nil {
		return 0
	}
	if e.once.Do(e.open); e.file == nil {
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(e.last), Pad: int32(e.last >> 32)}
	if e.control(raw, unix.EPOLL_CTL_ADD, &ev) != nil {
		return 0
	}
	e.conns[e.last] = c
	return e.last
}

// remove ends listening to a connection.
func (e *ears) remove(c *hotConn, id uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, id)
	_ = e.control(rawConn(c), unix.EPOLL_CTL_DEL, nil) // it may have been closed, which is enough
}

// control is epoll_ctl for a connection.
func (e *ears) control(conn syscall.RawConn, op int, ev *unix.EpollEvent) (err error) {
	outer := e.raw.Control(func(epoll uintptr) {
		inner := conn.Control(func(fd uintptr) { err = unix.EpollCtl(int(epoll), op, int(fd), ev) })
		if inner != nil {
			err = inner
		}
	})
	if outer != nil {
		return outer
	}
	return err
}

// rawConn returns what is below a connection; nil if that is nothing of the
// system's.
func rawConn(c *hotConn) syscall.RawConn {
	if s, ok := c.conn.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

func (e *ears) run() {
	defer close(e.done)
	events := make([]unix.EpollEvent, 128)
	for {
		var n int
		var err error
		closed := e.raw.Read(func(fd uintptr) bool {
			n, err = unix.EpollWait(int(fd), events, 0)
			return n != 0 || err != nil && err != unix.EINTR
		})
		if closed != nil || err != nil {
			return
		}
		for _, ev := range events[:n] {
			e.heard(uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32)
		}
	}
}

// heard finds out what a client has done.
func (e *ears) heard(id uint64) {
	e.mu.Lock()
	c := e.conns[id] // nil if its watch has just ended
	delete(e.conns, id)
	e.mu.Unlock()
	if c == nil {
		return
	}
	gone := true
	if raw := rawConn(c); raw != nil {
		_ = raw.Control(func(fd uintptr) {
			n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
			gone = n <= 0 && err != unix.EAGAIN
		})
	}
	if gone {
		c.cancel()
	}
}
