//go:build linux

package process

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit codes that systemd uses where a process could not be set up.
const (
	exitChdir = 200
	exitExec  = 203
	exitGroup = 216
	exitUser  = 217
)

// exitNames are the names of exit codes in settings and logs: those of the C
// library, the init scripts' and systemd's.
var exitNames = map[int]string{
	0: "SUCCESS", 1: "FAILURE",
	2: "INVALIDARGUMENT", 3: "NOTIMPLEMENTED", 4: "NOPERMISSION", 5: "NOTINSTALLED", 6: "NOTCONFIGURED", 7: "NOTRUNNING",
	64: "USAGE", 65: "DATAERR", 66: "NOINPUT", 67: "NOUSER", 68: "NOHOST", 69: "UNAVAILABLE", 70: "SOFTWARE", 71: "OSERR",
	72: "OSFILE", 73: "CANTCREAT", 74: "IOERR", 75: "TEMPFAIL", 76: "PROTOCOL", 77: "NOPERM", 78: "CONFIG",
	exitChdir: "CHDIR", exitExec: "EXEC", exitGroup: "GROUP", exitUser: "USER",
}

// exit is how a process ended.
type exit struct {
	code   int            // exit code; meaningless if signal is set
	signal syscall.Signal // 0: it exited by itself
	core   bool           // and left a core dump
}

func exitOf(s syscall.WaitStatus) exit {
	if s.Signaled() {
		return exit{signal: s.Signal(), core: s.CoreDump()}
	}
	return exit{code: s.ExitStatus()}
}

// reason and status are what systemd calls EXIT_CODE and EXIT_STATUS.
func (e exit) reason() string {
	switch {
	case e.core:
		return "dumped"
	case e.signal != 0:
		return "killed"
	}
	return "exited"
}

func (e exit) status() string {
	if e.signal != 0 {
		return strings.TrimPrefix(unix.SignalName(e.signal), "SIG")
	}
	return strconv.Itoa(e.code)
}

// String is code and status as systemd logs them.
func (e exit) String() string {
	number, name := e.code, exitNames[e.code]
	if e.signal != 0 {
		number, name = int(e.signal), e.status()
	}
	if name == "" {
		name = "n/a"
	}
	return fmt.Sprintf("code=%s, status=%d/%s", e.reason(), number, name)
}

// result is the Result of a unit that failed with e.
func (e exit) result() string {
	switch {
	case e.core:
		return resultCoreDump
	case e.signal != 0:
		return resultSignal
	}
	return resultExitCode
}

// exitSet is a set of exit codes and signals, as in SuccessExitStatus=.
type exitSet struct {
	codes   []int
	signals []syscall.Signal
}

func (s exitSet) has(e exit) bool {
	if e.signal != 0 {
		return slices.Contains(s.signals, e.signal)
	}
	return slices.Contains(s.codes, e.code)
}

// add reads codes, names of codes and names of signals.
func (s *exitSet) add(list string) error {
	for _, word := range strings.Fields(list) {
		if n, err := strconv.ParseUint(word, 10, 8); err == nil {
			s.codes = append(s.codes, int(n))
		} else if sig, ok := parseSignal(word); ok {
			s.signals = append(s.signals, sig)
		} else if code, ok := exitCode(word); ok {
			s.codes = append(s.codes, code)
		} else {
			return fmt.Errorf("%q is neither an exit status nor a signal", word)
		}
	}
	return nil
}

func exitCode(name string) (int, bool) {
	for code, n := range exitNames {
		if n == name {
			return code, true
		}
	}
	return 0, false
}

// parseSignal reads a signal's name, with or without SIG, or its number.
func parseSignal(s string) (syscall.Signal, bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return syscall.Signal(n), 0 < n && n <= 64
	}
	sig := unix.SignalNum("SIG" + strings.TrimPrefix(s, "SIG"))
	return sig, sig != 0
}
