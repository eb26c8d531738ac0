//go:build linux

package process

import (
	"fmt"
	"time"

	"github.com/strakeproject/strake/unit"
)

// supervisor owns the life of one unit. Its goroutine alone starts and ends the
// unit's processes and says what state it is in; it ends when the unit has been
// unloaded and is down, or the runner is killed.
//
//	Start, Stop, Load, Unload ──orders, mail──▶ supervisor ──update──▶ Runner.states ──▶ watchers
//	                            processes ──proc.done──▶ ┘
//
// States, as Active/Sub. An activation is one way from left to right; states in
// which there is nothing to wait for are passed over unseen.
//
//	              ┌──────────────────────────────────────────────────────────────┐
//	              ▼                                                              │
//	inactive/dead ─start─▶ activating/start-pre ─▶ activating/start (oneshot)    │
//	failed/failed            │ fails                 │ fails      │              │
//	   ▲   ▲                 │           ┌───────────┘            ▼              │
//	   │   │                 │           │       fails  activating/start-post    │
//	   │   │ start limit     │           │    ┌──────────────┘    │              │
//	   │   └──────────┐      │           │    │                   ▼              │
//	   │              │      │           │    │  main    active/running ──main──▶ active/exited
//	   │              │      │           │    │  fails     │         (RemainAfterExit)│
//	   │              │      │           │    │ ┌──────────┤ main ends, stop          │ stop
//	   │              │      ▼           ▼    ▼ ▼          ▼                          ▼
//	   │              │    deactivating/stop-sigterm ◀─── deactivating/stop (ExecStop)
//	   │              │      │ timeout: stop-sigkill
//	   │              │      ▼
//	   │              │    deactivating/stop-post
//	   │              │      ▼
//	   │              │    deactivating/final-sigterm, final-sigkill: what is left of the unit
//	   │   no restart │      │ Restart=
//	   ├──────────────│──────┤
//	   │ stop         │      ▼
//	   └────────────── activating/auto-restart ── RestartSec ──▶ (activating again)
//
// A stop at any point of activating/* leads to stop-sigterm. The result is that
// of the first failure.
type supervisor struct {
	r    *Runner
	name string
	log  *journal
	mail chan struct{} // holds one token while there are orders to read

	orders orders // protected by Runner.mu

	// The rest belongs to the goroutine.
	stopAsked bool // since the activation began
	again     bool // start once more when the stop is done
	fresh     bool // the unit was unloaded and loaded again: forget how it ended
	limit     startLimit
}

// orders are what callers want of a unit and the goroutine has not read yet.
type orders struct {
	want   want
	forget bool // the unit is to go when it is down
	fresh  bool // it was to go, and has been loaded again

	// The definition is no order but stays. If the file is bad, service is nil.
	service *service
	bad     error
}

type want int

const (
	wantNothing want = iota
	wantStart
	wantStop
	wantRestart // stop if it runs, then start
)

// Results of units, in systemd's words.
const (
	resultSuccess    = "success"
	resultExitCode   = "exit-code"
	resultSignal     = "signal"
	resultCoreDump   = "core-dump"
	resultTimeout    = "timeout"
	resultResources  = "resources"
	resultStartLimit = "start-limit-hit"
)

// start and stop change what is wanted; a stop followed by a start stays both.
func (o *orders) start() {
	if o.want == wantStop || o.want == wantRestart {
		o.want = wantRestart
		return
	}
	o.want = wantStart
}

func (o *orders) stop() { o.want = wantStop }

func (s *supervisor) wake() {
	select {
	case s.mail <- struct{}{}:
	default:
	}
}

// read takes the orders.
func (s *supervisor) read() want {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	w := s.orders.want
	s.orders.want = wantNothing
	s.fresh = s.fresh || s.orders.fresh
	s.orders.fresh = false
	return w
}

// heed reads orders while the unit is up or on its way.
func (s *supervisor) heed() {
	switch s.read() {
	case wantStart:
		s.again = s.stopAsked
	case wantStop:
		s.stopAsked, s.again = true, false
	case wantRestart:
		s.stopAsked, s.again = true, true
	}
}

func (s *supervisor) run() {
	for {
		select {
		case <-s.mail:
		case <-s.r.killed:
			return
		}
		w := s.read()
		s.refresh()
		if w == wantStart || w == wantRestart {
			s.live()
		}
		if s.r.forgotten(s) {
			return
		}
	}
}

// refresh makes a failed unit look as if it never ran, if it is as good as new.
func (s *supervisor) refresh() {
	if s.fresh {
		s.fresh, s.limit = false, startLimit{}
		s.set("inactive", "dead", func(st *unit.State) { st.Result = resultSuccess })
	}
}

// live runs the unit, over restarts, until it is down to stay.
func (s *supervisor) live() {
	for restarts := 1; ; {
		s.stopAsked, s.again = false, false
		svc := s.r.definition(s)
		if svc == nil {
			s.end(resultResources)
			return
		}
		if !s.limit.allow(time.Now(), svc.limitInterval, svc.limitBurst) {
			s.say("Not started: %d starts in %s are the limit.", svc.limitBurst, svc.limitInterval)
			s.end(resultStartLimit)
			return
		}
		a := &activation{s: s, svc: svc, result: resultSuccess}
		if !a.run() {
			return // killed
		}
		if !s.again && a.restarts() {
			s.set("activating", "auto-restart", func(st *unit.State) { st.Result = a.result })
			s.say("Restart number %d in %s.", restarts, svc.restartDelay)
			switch a.wait(nil, svc.restartDelay, true) {
			case timedOut:
				restarts++
				continue
			case killed:
				return
			}
			a.result = resultSuccess // stopped while it waited: that is no failure
		}
		if s.end(a.result); !s.again {
			return
		}
		s.refresh()
	}
}

// end says that the unit is down.
func (s *supervisor) end(result string) {
	active, sub := "inactive", "dead"
	if result != resultSuccess {
		active, sub = "failed", "failed"
		s.say("Failed with result %q.", result)
	}
	s.set(active, sub, func(st *unit.State) { st.Result, st.MainPID = result, 0 })
}

// set changes the unit's state, and what more change says, if any.
func (s *supervisor) set(active, sub string, change func(*unit.State)) {
	s.r.update(s, func(st *unit.State) {
		if st.Active != active {
			st.Active, st.Since = active, time.Now()
		}
		st.Sub = sub
		if change != nil {
			change(st)
		}
	})
}

// say adds a line of the runner to the unit's journal.
func (s *supervisor) say(format string, args ...any) {
	s.log.add("strake", 0, fmt.Sprintf(format, args...))
}

// startLimit counts starts: all that fall into an interval that begins with the
// first one.
type startLimit struct {
	since time.Time
	n     int
}

func (l *startLimit) allow(now time.Time, interval time.Duration, burst int) bool {
	if interval == 0 || burst == 0 {
		return true
	}
	if l.n == 0 || now.Sub(l.since) > interval {
		*l = startLimit{since: now}
	}
	l.n++
	return l.n <= burst
}
