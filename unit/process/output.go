//go:build linux

package process

import (
	"bytes"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// output splits what comes out of a process into lines. Two goroutines read the
// pipe: one all the time, and one that at the end of the process wants all of
// its lines taken before it goes on.
type output struct {
	r    *os.File // non-blocking
	sink func(pid int, lines []string)
	pid  int // of the process; set before anything is read

	mu   sync.Mutex // held from each read until its lines are with sink
	part []byte     // of a line that has no end yet
}

// newOutput makes a pipe and returns its write end besides, which blocks, as
// programs expect.
func newOutput(sink func(int, []string)) (*output, *os.File, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		_, _ = unix.Close(fds[0]), unix.Close(fds[1])
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return &output{r: os.NewFile(uintptr(fds[0]), "output"), sink: sink}, os.NewFile(uintptr(fds[1]), "output"), nil
}

// read takes lines until all holders of the write end are gone or close is
// called.
func (o *output) read() {
	conn, err := o.r.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 16<<10)
	for ended := false; !ended; {
		err := conn.Read(func(fd uintptr) bool {
			again := false
			again, ended = o.take(int(fd), buf)
			return again || ended
		})
		if err != nil {
			return // closed
		}
	}
}

// drain takes what is in the pipe now.
func (o *output) drain() {
	conn, err := o.r.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 16<<10)
	_ = conn.Control(func(fd uintptr) {
		for again := true; again; {
			again, _ = o.take(int(fd), buf)
		}
	})
}

// take reads once. Again means that there was something and may be more, ended
// that there will never be.
func (o *output) take(fd int, buf []byte) (again, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := unix.Read(fd, buf)
	switch {
	case err == unix.EINTR:
		return true, false
	case err == unix.EAGAIN:
		return false, false
	case err != nil || n <= 0:
		if len(o.part) > 0 {
			o.sink(o.pid, []string{string(o.part)})
			o.part = nil
		}
		return false, true
	}
	o.lines(buf[:n])
	return true, false
}

// lines passes on the lines that end in data, and splits those that are too
// long.
func (o *output) lines(data []byte) {
	var list []string
	for line := range bytes.Lines(data) {
		o.part = append(o.part, line...)
		text, whole := bytes.CutSuffix(o.part, []byte("\n"))
		for ; len(text) > maxLine; text = text[maxLine:] {
			list = append(list, string(text[:maxLine]))
		}
		if !whole {
			o.part = append([]byte(nil), text...)
			continue
		}
		list = append(list, string(text))
		o.part = o.part[:0]
	}
	if len(list) > 0 {
		o.sink(o.pid, list)
	}
}

func (o *output) close() error { return o.r.Close() }
