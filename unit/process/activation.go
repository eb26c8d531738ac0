//go:build linux

package process

import (
	"maps"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/strakeproject/strake/unit"
	"golang.org/x/sys/unix"
)

// activation is one life of a unit, from its first process to its last. It
// belongs to the supervisor's goroutine.
type activation struct {
	s   *supervisor
	svc *service

	as         identity
	env        map[string]string
	invocation string // marks the environment of all processes

	main     *proc       // nil if none runs
	mainCmd  command     // what main was started from
	mainExit *exit       // how the last main process ended
	control  *proc       // the ExecStartPre or other command that runs; nil if none
	left     []*survivor // of the groups of processes that have ended
	alone    bool        // nothing of the unit runs but main and control
	result   string
}

// phase is a state in which commands run.
type phase struct {
	active, sub string
	timeout     time.Duration // of each command
	heedStop    bool          // a stop ends the phase
}

// run goes through the life. It returns false if the runner was killed.
func (a *activation) run() bool {
	defer a.release()
	if !a.prepare() {
		return true // without user and environment nothing can run, ExecStopPost neither
	}
	starting := phase{"activating", "start-pre", a.svc.startTimeout, true}
	up := a.commands(starting, a.svc.startPre) && a.start()
	if starting.sub = "start-post"; up {
		up = a.commands(starting, a.svc.startPost)
	}
	stopping := phase{"deactivating", "stop", a.svc.stopTimeout, false}
	if up {
		a.remain()
		if a.s.stopAsked {
			a.s.say("Stopping.")
		}
		if a.result == resultSuccess {
			a.commands(stopping, a.svc.stop)
		}
	}
	a.end("stop")
	stopping.sub = "stop-post"
	a.commands(stopping, a.svc.stopPost)
	a.end("final")
	if a.s.r.isKilled() {
		return false
	}
	if a.s.stopAsked {
		a.s.say("Stopped.")
	}
	return true
}

// restarts reports whether Restart= applies to how the life ended.
func (a *activation) restarts() bool {
	if a.s.stopAsked {
		return false
	}
	if a.mainExit != nil && a.svc.noRestart.has(*a.mainExit) {
		return false
	}
	if a.mainExit != nil && a.svc.always.has(*a.mainExit) {
		return true
	}
	switch a.svc.restart {
	case "always":
		return true
	case "on-success":
		return a.result == resultSuccess
	case "on-failure":
		return a.result != resultSuccess
	case "on-abnormal":
		return a.result != resultSuccess && a.result != resultExitCode
	case "on-abort":
		return a.result == resultSignal || a.result == resultCoreDump
	}
	return false
}

// prepare finds out as whom and with what environment the processes run.
func (a *activation) prepare() bool {
	a.invocation = newID()
	var err error
	if a.as, err = lookupIdentity(a.svc.user, a.svc.group); err != nil {
		a.s.say("Not started: %v.", err)
		a.fail(resultExitCode)
		return false
	}
	a.env = maps.Clone(a.s.r.env)
	assign(a.env, a.as.env)
	for _, bad := range assign(a.env, a.svc.env) {
		a.s.say("Environment: %q is not NAME=value and is ignored.", bad)
	}
	for _, f := range a.svc.envFiles {
		text, err := os.ReadFile(f.path)
		if err != nil && !f.optional {
			a.s.say("EnvironmentFile: %v.", err)
			a.fail(resultResources)
			return false
		}
		assign(a.env, parseEnvFile(string(text)))
	}
	a.env["INVOCATION_ID"] = a.invocation
	a.env[runnerVariable] = a.s.r.id
	return true
}

// start starts the main process; that of a oneshot unit has to end first, one
// after the other.
func (a *activation) start() bool {
	for _, c := range a.svc.start {
		if a.s.stopAsked || a.s.r.isKilled() {
			return false
		}
		p, err := a.spawn(c)
		if err != nil {
			a.setupFailed(c, err)
			if a.result != resultSuccess {
				return false
			}
			continue
		}
		a.main, a.mainCmd = p, c
		if !a.svc.oneshot {
			break
		}
		a.set("activating", "start")
		if w := a.wait(p.done, a.svc.startTimeout, true); w == timedOut {
			a.s.say("Start took longer than %s.", a.svc.startTimeout)
			a.fail(resultTimeout)
		}
		if a.main != nil || a.result != resultSuccess {
			return false
		}
	}
	return true
}

// remain waits while the unit is up.
func (a *activation) remain() {
	if !a.svc.oneshot {
		a.s.say("Started.")
	} else {
		a.s.say("Finished.")
	}
	if p := a.main; p != nil {
		a.set("active", "running")
		a.wait(p.done, infinite, true)
	}
	if a.main == nil && a.result == resultSuccess && a.svc.remain && !a.s.stopAsked {
		a.set("active", "exited")
		a.wait(nil, infinite, true)
	}
}

// commands runs control commands one after the other. It returns false when one
// failed that must not, or when the rest is not to run.
func (a *activation) commands(ph phase, list []command) bool {
	for _, c := range list {
		if ph.heedStop && a.s.stopAsked || a.s.r.isKilled() {
			return false
		}
		p, err := a.spawn(c)
		if err != nil {
			if a.setupFailed(c, err); !c.ignoreFailure {
				return false
			}
			continue
		}
		a.control = p
		a.set(ph.active, ph.sub)
		switch a.wait(p.done, ph.timeout, ph.heedStop) {
		case timedOut:
			a.s.say("%s took longer than %s.", c.name(), ph.timeout)
			a.fail(resultTimeout)
			return false
		case stopped, killed:
			return false
		}
		a.control = nil
		a.left = append(a.left, p.rest...)
		if e := p.exit; (e.code != 0 || e.signal != 0) && !c.ignoreFailure {
			a.s.say("Process %d (%s) exited, %s.", p.pid, c.name(), e)
			a.fail(e.result())
			return false
		}
	}
	return !(ph.heedStop && a.s.stopAsked)
}

// wakeup is why a wait ended.
type wakeup int

const (
	ended wakeup = iota
	timedOut
	stopped
	killed
)

// wait waits for done, and meanwhile notes the end of the main process and reads
// orders. It ends early after limit, when the runner is killed and, if heedStop
// says so, when the unit is to stop.
func (a *activation) wait(done <-chan struct{}, limit time.Duration, heedStop bool) wakeup {
	var timeout <-chan time.Time
	if limit != infinite {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		timeout = timer.C
	}
	for {
		a.noteMain()
		var main <-chan struct{}
		if a.main != nil {
			main = a.main.done
		}
		switch {
		case a.s.r.isKilled():
			return killed
		case isClosed(done):
			return ended
		case heedStop && a.s.stopAsked:
			return stopped
		}
		select {
		case <-main:
		case <-done:
		case <-a.s.mail:
			a.s.heed()
		case <-timeout:
			return timedOut
		case <-a.s.r.killed:
		}
	}
}

// isClosed reports whether c, on which nothing is sent, is closed; nil is not.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// noteMain takes note if the main process has ended.
func (a *activation) noteMain() {
	p := a.main
	if p == nil || !isClosed(p.done) {
		return
	}
	a.main, a.mainExit = nil, &p.exit
	a.left = append(a.left, p.rest...)
	if !a.clean(p.exit) && !a.mainCmd.ignoreFailure {
		a.s.say("Main process %d exited, %s.", p.pid, p.exit)
		a.fail(p.exit.result())
	}
	a.s.r.update(a.s, func(st *unit.State) { st.MainPID = 0 })
}

func (a *activation) set(active, sub string) {
	a.s.set(active, sub, func(st *unit.State) {
		st.Result, st.MainPID = a.result, 0
		if a.main != nil {
			st.MainPID = a.main.pid
		}
	})
}

// clean reports whether the exit of a main process is no failure: a daemon may
// also end by a signal that asks for it.
func (a *activation) clean(e exit) bool {
	if e.signal == 0 && e.code == 0 || a.svc.success.has(e) {
		return true
	}
	polite := []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGPIPE}
	return !a.svc.oneshot && slices.Contains(polite, e.signal)
}

// fail sets the result of the first failure.
func (a *activation) fail(result string) {
	if a.result == resultSuccess {
		a.result = result
	}
}
