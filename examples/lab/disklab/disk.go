//go:build linux

package disklab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Disk decides over the flushes of a process: fsync, fdatasync and
// sync_file_range. All methods are safe for concurrent use.
//
// The kernel stops a thread of the process that enters one of these calls and
// notifies the Disk, through a seccomp filter. One goroutine receives the
// notifications, one for each that is open waits and answers it. All end with
// Close.
type Disk struct {
	listener *os.File
	flushes  atomic.Int64
	ctx      context.Context
	cancel   context.CancelFunc
	tasks    sync.WaitGroup

	mu      sync.Mutex
	fault   Fault
	changed chan struct{} // closed and replaced when fault is
}

// Fault is what happens to flushes. The zero value lets them pass.
type Fault struct {
	// Delay is how long each flush waits before it is done.
	Delay time.Duration
	// Stuck holds all flushes, also those that wait already, until another Fault
	// is set.
	Stuck bool
	// Err, if not 0, is what flushes fail with instead of being done.
	Err syscall.Errno
}

// Attach puts a new Disk under the calling thread, for good, and under the
// processes that it starts from now on. The thread must be locked to its
// goroutine and flush nothing itself.
func Attach() (*Disk, error) {
	fd, err := listen()
	if err != nil {
		return nil, fmt.Errorf("disklab: install seccomp filter: %w", err)
	}
	d := &Disk{listener: os.NewFile(uintptr(fd), "seccomp"), changed: make(chan struct{})}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.tasks.Go(d.run)
	return d, nil
}

// Set changes what happens to flushes.
func (d *Disk) Set(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
	close(d.changed)
	d.changed = make(chan struct{})
}

// Flushes returns how many flushes the process has begun.
func (d *Disk) Flushes() int64 { return d.flushes.Load() }

// Close lets go of the process, which has to have ended: from then on its
// flushes fail with ENOSYS.
func (d *Disk) Close() {
	d.cancel()
	d.listener.Close()
	d.tasks.Wait()
}

// listen installs a filter that asks about flushes and allows the rest.
func listen() (int, error) {
	flushes := []uint32{unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC_FILE_RANGE}
	const (
		loadWord = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		ifEqual  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		answer   = unix.BPF_RET | unix.BPF_K
	)
	program := []unix.SockFilter{{Code: loadWord, K: 0}} // the number of the call
	for i, nr := range flushes {
		program = append(program, unix.SockFilter{Code: ifEqual, K: nr, Jt: uint8(len(flushes) - i)})
	}
	program = append(program,
		unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_USER_NOTIF})
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// A flush that was reported is interrupted by nothing but the end of its
	// process, or each signal would report it anew.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err // only root may do without
	}
	const options = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, options, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return 0, errno
	}
	unix.CloseOnExec(int(fd))
	return int(fd), unix.SetNonblock(int(fd), true)
}

// notification and response are the kernel's struct seccomp_notif and
// seccomp_notif_resp.
type notification struct {
	id         uint64
	pid, flags uint32
	call       struct {
		number int32
		arch   uint32
		ip     uint64
		args   [6]uint64
	}
}

type response struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

func (d *Disk) run() {
	conn, err := d.listener.SyscallConn()
	if err != nil {
		return // closed already
	}
	for {
		id, err := receive(conn)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINTR) {
			continue // that process ended meanwhile
		}
		if err != nil {
			return // closed, or no process is left
		}
		d.flushes.Add(1)
		d.tasks.Go(func() { d.serve(conn, id) })
	}
}

// receive waits for a notification and returns its id.
func receive(conn syscall.RawConn) (id uint64, err error) {
	cerr := conn.Read(func(fd uintptr) (done bool) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err = unix.Poll(poll, 0); err != nil {
			return true
		}
		switch events := poll[0].Revents; {
		case events&unix.POLLIN != 0:
			var n notification
			err = ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n))
			id = n.id
			return true
		case events&unix.POLLHUP != 0:
			err = io.EOF
			return true
		default:
			return false
		}
	})
	return id, errors.Join(err, cerr)
}

func ioctl(fd uintptr, request uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uintptr(request), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// serve answers one notification.
func (d *Disk) serve(conn syscall.RawConn, id uint64) {
	r := response{id: id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if errno := d.wait(); errno != 0 {
		r.errno, r.flags = -int32(errno), 0
	}
	// It fails if the process has ended, or the Disk is closed.
	_ = conn.Control(func(fd uintptr) {
		_ = ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
	})
}

// wait returns when a flush that begins now may go on, and what it fails with.
func (d *Disk) wait() syscall.Errno {
	begun := time.Now()
	for {
		d.mu.Lock()
		f, changed := d.fault, d.changed
		d.mu.Unlock()
		var timer <-chan time.Time
		if !f.Stuck {
			left := f.Delay - time.Since(begun)
			if left <= 0 {
				return f.Err
			}
			timer = time.After(left)
		}
		select {
		case <-timer:
			return f.Err
		case <-changed:
		case <-d.ctx.Done():
			return 0
		}
	}
}
