//go:build linux

package process

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Processes, and who watches them:
//
//	supervisor ──start──▶ processes.start ──▶ spawn thread: os.StartProcess
//	                            │
//	                            ├─ output.read   reads the pipe until its end, to the journal
//	                            └─ reap          waits on the pidfd, drains the pipe, notes who is
//	                                             left of the group, reaps, closes proc.done
//
// The kernel sends Pdeathsig when the thread that forked ends, not the process.
// One goroutine that stays on its thread therefore starts them all: its thread
// ends with the runner, and whatever is left dies with it.

// processes are all processes of a runner that have not been reaped.
type processes struct {
	spawns chan spawn
	wg     sync.WaitGroup // spawn thread, reapers, readers

	mu     sync.Mutex
	live   map[*proc]struct{} // started and not reaped: their pids are ours
	pipes  map[*output]struct{}
	closed bool // nothing starts any more
}

// proc is a process that was started, leader of its own session and group.
type proc struct {
	pid  int
	os   *os.Process
	fd   *os.File // pidfd, pollable
	out  *output
	done chan struct{} // closed when the process has ended and is reaped

	// Immutable once done is closed.
	exit exit
	rest []*survivor // members of its group that outlive it
}

// spawn asks the spawn thread for a process.
type spawn struct {
	path  string
	argv  []string
	attr  *os.ProcAttr
	reply chan<- spawned
}

type spawned struct {
	p   *os.Process
	err error
}

var errClosed = errors.New("runner is closed")

func newProcesses() *processes {
	ps := &processes{spawns: make(chan spawn), live: map[*proc]struct{}{}, pipes: map[*output]struct{}{}}
	ps.wg.Go(ps.spawnThread)
	return ps
}

func (ps *processes) spawnThread() {
	runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
	for s := range ps.spawns {
		p, err := os.StartProcess(s.path, s.argv, s.attr)
		s.reply <- spawned{p, err}
	}
}

// program is what to run and how.
type program struct {
	path      string // absolute
	argv, env []string
	dir       string
	as        *syscall.Credential           // nil: those of the runner
	sink      func(pid int, lines []string) // takes the output
}

// start starts a process.
func (ps *processes) start(prog program) (*proc, error) {
	out, w, err := newOutput(prog.sink)
	if err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, errors.Join(err, out.close(), w.Close())
	}
	defer null.Close()
	defer w.Close()
	attr := &os.ProcAttr{
		Dir: prog.dir, Env: prog.env, Files: []*os.File{null, w, w},
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Credential: prog.as},
	}

	// From the fork until the process is in live, kill must wait: one that is in
	// neither place would be missed.
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.closed {
		return nil, errors.Join(errClosed, out.close())
	}
	reply := make(chan spawned)
	ps.spawns <- spawn{prog.path, prog.argv, attr, reply}
	got := <-reply
	if got.err != nil {
		return nil, errors.Join(got.err, out.close())
	}
	p := &proc{pid: got.p.Pid, os: got.p, out: out, done: make(chan struct{})}
	if p.fd, err = openPID(p.pid); err != nil {
		_ = unix.Kill(-p.pid, unix.SIGKILL) // it can only have ended already
		_, werr := got.p.Wait()
		return nil, errors.Join(err, werr, out.close())
	}
	out.pid = p.pid
	ps.live[p], ps.pipes[out] = struct{}{}, struct{}{}
	ps.wg.Go(func() { ps.read(out) })
	ps.wg.Go(func() { ps.reap(p) })
	return p, nil
}

func (ps *processes) read(out *output) {
	out.read()
	ps.mu.Lock()
	delete(ps.pipes, out)
	ps.mu.Unlock()
	_ = out.close()
}

func (ps *processes) reap(p *proc) {
	defer close(p.done)
	awaitExit(p.fd)
	// Until it is reaped its pid, and so its group, cannot be anybody else's.
	p.rest = survivors(func(pid int) bool { return groupOf(pid) == p.pid })
	p.out.drain()
	ps.mu.Lock()
	delete(ps.live, p)
	ps.mu.Unlock()
	_ = p.fd.Close()
	if state, err := p.os.Wait(); err == nil {
		p.exit = exitOf(state.Sys().(syscall.WaitStatus))
	} else {
		p.exit = exit{code: 1} // somebody else in this program reaped it
	}
}

// signal sends sig to p or its whole group; after it has been reaped nothing
// happens.
func (ps *processes) signal(p *proc, sig syscall.Signal, to target) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if _, ok := ps.live[p]; !ok {
		return
	}
	pid := p.pid
	if to == wholeGroup {
		pid = -pid
	}
	_ = unix.Kill(pid, sig) // fails only if all have ended
}

// target tells whom a signal is for.
type target int

const (
	leaderOnly target = iota
	wholeGroup
)

// kill ends all processes at once and lets none start any more.
func (ps *processes) kill() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.closed = true
	for p := range ps.live {
		_ = unix.Kill(-p.pid, unix.SIGKILL)
	}
}

// close ends the goroutines; all processes must have been killed. No start may
// be under way or follow.
func (ps *processes) close() {
	close(ps.spawns)
	ps.mu.Lock()
	for out := range ps.pipes {
		_ = out.close() // somebody out of reach still holds the other end
	}
	ps.mu.Unlock()
	ps.wg.Wait()
}
