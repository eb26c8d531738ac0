//go:build linux

package process

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Without a control group, what belongs to a unit is found in two ways: by the
// process group while its leader is not reaped, and by a variable in the
// environment that children inherit. Only a process that leaves its group and
// clears its environment as well escapes.

// survivor is a process that is no child of ours, held by its pidfd so that its
// pid cannot come to mean another.
type survivor struct {
	pid int
	fd  *os.File
}

// openPID opens a pidfd that Go's poller can wait on.
func openPID(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// awaitExit returns when the process behind a pidfd has ended or the pidfd is
// closed.
func awaitExit(fd *os.File) {
	conn, err := fd.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
}

// survivors finds processes that match, except zombies and this one. The caller
// closes them.
func survivors(match func(pid int) bool) []*survivor {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var list []*survivor
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() || !match(pid) {
			continue
		}
		fd, err := openPID(pid)
		if err != nil {
			continue // it has just ended
		}
		if !match(pid) {
			_ = fd.Close() // the pid was another's before
			continue
		}
		list = append(list, &survivor{pid, fd})
	}
	return list
}

// carries matches processes with the entry NAME=value in their environment.
func carries(entry string) func(pid int) bool {
	needle := []byte("\x00" + entry + "\x00")
	return func(pid int) bool {
		env := environ(pid)
		return len(env) > 0 && bytes.Contains(append(append([]byte{0}, env...), 0), needle)
	}
}

// environ reads the environment of a process; it is empty for one that has
// ended or is another user's. A process that is just executing a program shows
// none for a moment, and one that is just ending may still hold a port; for
// either there is nothing to wait on but time.
func environ(pid int) []byte {
	for range 100 {
		env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if len(env) > 0 || errors.Is(err, fs.ErrPermission) || !hasEnviron(readStat(pid)) {
			return env
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// hasEnviron reports whether a process has memory of its own: it is neither a
// zombie nor a thread of the kernel.
func hasEnviron(st stat) bool {
	const kernelThread = 0x00200000 // PF_KTHREAD
	return st.group != 0 && st.flags&kernelThread == 0
}

// stat is what matters here of /proc/PID/stat; zero for a process that has ended
// or is a zombie.
type stat struct {
	group int
	flags uint64
}

func readStat(pid int) stat {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}
	}
	// pid (name) state ppid pgrp session tty tpgid flags ...; the name may hold
	// anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 7 || fields[0] == "Z" || fields[0] == "X" {
		return stat{}
	}
	var st stat
	st.group, _ = strconv.Atoi(fields[2])
	st.flags, _ = strconv.ParseUint(fields[6], 10, 64)
	return st
}

// groupOf is the process group of a process; 0 if it has ended or is a zombie.
func groupOf(pid int) int { return readStat(pid).group }

func (s *survivor) signal(sig syscall.Signal) {
	if conn, err := s.fd.SyscallConn(); err == nil {
		// This fails only if the process has ended.
		_ = conn.Control(func(fd uintptr) { _ = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	}
}

func (s *survivor) close() { _ = s.fd.Close() }

// ended reports whether the process has ended.
func (s *survivor) ended() bool {
	gone := true
	if conn, err := s.fd.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) {
			n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			gone = n > 0
		})
	}
	return gone
}

// killAll kills all that match, and what they fork meanwhile, and returns when
// they are gone.
func killAll(match func(pid int) bool) {
	for {
		list := survivors(match)
		if len(list) == 0 {
			return
		}
		for _, s := range list {
			s.signal(unix.SIGKILL)
		}
		for _, s := range list {
			awaitExit(s.fd)
			s.close()
		}
	}
}
