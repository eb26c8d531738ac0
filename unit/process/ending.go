//go:build linux

package process

import (
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// killStep is one of the two steps to end what runs: ask, then force.
type killStep struct {
	sub   string
	sig   syscall.Signal
	force bool
}

// end ends what KillMode= covers: first asks, and after the stop timeout forces.
// Stage is "stop" while the main process may run, and "final" for what is left
// after ExecStopPost.
func (a *activation) end(stage string) {
	steps := []killStep{{stage + "-sigterm", a.svc.killSignal, false}, {stage + "-sigkill", unix.SIGKILL, true}}
	if !a.svc.sendKill {
		steps = steps[:1]
	}
	for _, step := range steps {
		if a.endBy(step) {
			return
		}
	}
}

// endBy takes one step. It reports whether there is no need for the next.
func (a *activation) endBy(step killStep) (done bool) {
	for began := time.Now(); ; {
		a.noteMain()
		if waiting := a.signalLeaders(step); len(waiting) > 0 {
			return a.await(step, began, waiting)
		}
		// The search is dear, and vain if it was before and nothing ran since.
		if a.alone || !a.covers(step) {
			return a.alone
		}
		rest := a.rest()
		if len(rest) == 0 {
			a.alone = true
			return true
		}
		for _, s := range rest {
			for _, sig := range a.signals(step) {
				s.signal(sig)
			}
		}
		gone, cancel := awaitAll(rest)
		done := a.await(step, began, []<-chan struct{}{gone})
		if cancel(); !done || a.s.r.isKilled() {
			return done
		}
		// All are gone. Look again: one may have forked in between.
	}
}

// covers reports whether a step is for all of the unit's processes, not only for
// those that the runner started.
func (a *activation) covers(step killStep) bool {
	return a.svc.killMode == "control-group" || a.svc.killMode == "mixed" && step.force
}

// signalLeaders signals the main and control process, and their groups if the
// step covers them. It returns what closes as they end.
func (a *activation) signalLeaders(step killStep) []<-chan struct{} {
	if a.svc.killMode == "none" {
		return nil
	}
	to := leaderOnly
	if a.covers(step) {
		to = wholeGroup
	}
	var waiting []<-chan struct{}
	for _, p := range []*proc{a.main, a.control} {
		if p == nil || isClosed(p.done) {
			continue
		}
		for _, sig := range a.signals(step) {
			a.s.r.processes.signal(p, sig, to)
		}
		waiting = append(waiting, p.done)
	}
	return waiting
}

// await waits until all channels are closed or the stop timeout is over. It
// returns whether the step did what it is for; after Kill nothing matters.
func (a *activation) await(step killStep, began time.Time, waiting []<-chan struct{}) bool {
	a.set("deactivating", step.sub)
	for _, c := range waiting {
		limit := infinite
		if a.svc.stopTimeout != infinite {
			limit = a.svc.stopTimeout - time.Since(began)
		}
		switch a.wait(c, limit, false) {
		case timedOut:
			a.s.say("Still running %s after %s.", a.svc.stopTimeout, unix.SignalName(step.sig))
			a.fail(resultTimeout)
			return false
		case killed:
			return true
		}
	}
	if p := a.control; p != nil && isClosed(p.done) {
		a.left = append(a.left, p.rest...)
		a.control = nil
	}
	return true
}

// signals are what a step sends: after a request to end a process is continued,
// or it could not see it.
func (a *activation) signals(step killStep) []syscall.Signal {
	if step.force {
		return []syscall.Signal{step.sig}
	}
	sigs := []syscall.Signal{step.sig, unix.SIGCONT}
	if a.svc.sendHUP {
		sigs = append(sigs, unix.SIGHUP)
	}
	return sigs
}

// rest finds processes of the unit that the runner did not start. The caller
// closes them.
func (a *activation) rest() []*survivor {
	mine := carries("INVOCATION_ID=" + a.invocation)
	pinned := func(pid int) bool {
		return slices.ContainsFunc(a.left, func(s *survivor) bool { return s.pid == pid && !s.ended() })
	}
	return survivors(func(pid int) bool { return pinned(pid) || mine(pid) })
}

// release lets go of what the activation held.
func (a *activation) release() {
	closeAll(a.left)
	a.left, a.main, a.control = nil, nil, nil
}

func closeAll(list []*survivor) {
	for _, s := range list {
		s.close()
	}
}

// awaitAll closes gone when all have ended. Cancel ends the wait and its
// goroutine.
func awaitAll(list []*survivor) (gone <-chan struct{}, cancel func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, s := range list {
			awaitExit(s.fd)
		}
	}()
	return done, func() {
		closeAll(list)
		<-done
	}
}
