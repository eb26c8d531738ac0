package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
)

const (
	// rereadEvery is how often a leader forgets what it knows and reads the
	// registry anew, should ever a change have escaped it.
	rereadEvery = 10 * time.Minute
	// writers is how many placements are written at the same time.
	writers = 16
)

// lead keeps units placed until ctx ends, after a pause.
func (e *Engine) lead(ctx context.Context, pause time.Duration) {
	t := term{engine: e, reg: e.cfg.Registry, unplaced: map[string]bool{}}
	for wait(ctx, pause); ctx.Err() == nil; {
		view, err := e.cfg.Registry.Follow(ctx, registry.Scope{})
		if err != nil {
			if ctx.Err() == nil {
				e.log.Warn("engine cannot read the registry, trying again", "err", err)
			}
			wait(ctx, e.cfg.Interval)
			continue
		}
		t.view = view
		t.follow(ctx)
		view.Close()
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// term is the work of a leader.
type term struct {
	engine *Engine
	reg    *registry.Registry
	view   *registry.View
	// sched has what view had when last looked at, and what was written since.
	sched *schedule.Scheduler
	// unplaced are the units that were logged as such.
	unplaced map[string]bool
}

// follow plans whenever the view has changed, until ctx ends or it is time to
// read the registry anew.
func (t *term) follow(ctx context.Context) {
	t.sched = schedule.New(schedule.Options{})
	t.view.Take()
	if err := t.sched.Reset(t.cluster()); err != nil {
		t.engine.log.Error("engine cannot make sense of the registry, trying again", "err", err)
		wait(ctx, t.engine.cfg.Interval)
		return
	}
	reread := time.NewTimer(rereadEvery)
	defer reread.Stop()
	for {
		plan := t.sched.Plan()
		var retry <-chan time.Time
		if !t.carryOut(ctx, plan.Steps) {
			retry = time.After(t.engine.cfg.Interval)
		}
		t.logUnplaced(plan.Unplaced)
		select {
		case <-t.view.Changed():
			t.update(t.view.Take())
		case <-retry:
		case <-reread.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// cluster is all of the view.
func (t *term) cluster() schedule.Cluster {
	c := schedule.Cluster{Placed: map[string]string{}}
	for _, m := range t.view.Machines() {
		c.Machines = append(c.Machines, m.Schedulable())
	}
	for _, u := range t.view.Units() {
		c.Units = append(c.Units, u.Schedulable())
		if u.Machine != "" {
			c.Placed[u.Name] = u.Machine
		}
	}
	return c
}

// update tells the scheduler what has changed in the view.
func (t *term) update(c registry.Changes) {
	for _, id := range c.Machines {
		if m, ok := t.view.Machine(id); ok {
			t.report(t.sched.SetMachine(m.Schedulable()))
		} else {
			t.sched.RemoveMachine(id)
		}
	}
	for _, name := range c.Units {
		if u, ok := t.view.Unit(name); ok {
			t.report(t.sched.SetUnit(u.Schedulable()))
		} else {
			t.sched.RemoveUnit(name)
		}
		t.updatePlace(name)
	}
}

// updatePlace tells the scheduler where the view has a unit.
func (t *term) updatePlace(name string) {
	if u, ok := t.view.Unit(name); ok && u.Machine != "" {
		t.report(t.sched.Bind(name, u.Machine))
	} else {
		t.sched.Unbind(name)
	}
}

// report logs what the scheduler refuses: names that no registry has.
func (t *term) report(err error) {
	if err != nil {
		t.engine.log.Error("engine leaves out a part of the registry", "err", err)
	}
}

// carryOut writes steps, wave by wave. If one fails, those of later waves
// are not tried, as they may depend on it; the scheduler is told how things
// are, and the answer is false.
func (t *term) carryOut(ctx context.Context, steps []schedule.Step) bool {
	var first []schedule.Step
	for i, s := range steps {
		if s.StopFirst {
			leave := s
			leave.To = ""
			first = append(first, leave)
			steps[i].From, steps[i].Cause = "", schedule.CodeNew
		}
	}
	ok := t.write(ctx, first)
	for len(steps) > 0 {
		n := 1
		for n < len(steps) && steps[n].Wave == steps[0].Wave {
			n++
		}
		if ok {
			ok = t.write(ctx, steps[:n])
		} else {
			for _, s := range steps[:n] {
				t.updatePlace(s.Unit)
			}
		}
		steps = steps[n:]
	}
	return ok
}

// write writes the steps of one wave and logs each, in order. It reports
// whether all were done.
func (t *term) write(ctx context.Context, steps []schedule.Step) bool {
	errs := make([]error, len(steps))
	var running sync.WaitGroup
	turns := make(chan struct{}, writers)
	for i, s := range steps {
		turns <- struct{}{}
		running.Go(func() {
			errs[i] = t.writeStep(ctx, s)
			<-turns
		})
	}
	running.Wait()
	ok := true
	for i, s := range steps {
		if errs[i] == nil || ctx.Err() == nil {
			t.logStep(s, errs[i])
		}
		if errs[i] != nil {
			ok = false
			t.updatePlace(s.Unit)
		}
	}
	return ok
}

// writeStep writes one step, on condition that its unit is where the step has
// it.
func (t *term) writeStep(ctx context.Context, s schedule.Step) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.From == "":
		return t.reg.Schedule(ctx, s.Unit, s.To)
	case s.To == "":
		return t.reg.Unschedule(ctx, s.Unit, s.From)
	}
	return t.reg.Reschedule(ctx, s.Unit, s.From, s.To)
}

func (t *term) logStep(s schedule.Step, err error) {
	log := t.engine.log.With("unit", s.Unit)
	if s.From != "" {
		log = log.With("from", s.From)
	}
	if s.To != "" {
		log = log.With("to", s.To)
	}
	log = log.With("reason", t.reason(s))
	switch {
	case errors.Is(err, registry.ErrScheduled) || errors.Is(err, registry.ErrNotScheduled):
		log.Info("unit was placed otherwise meanwhile")
	case err != nil:
		log.Warn("unit could not be placed, trying again", "err", err)
	case s.To == "":
		log.Info("unit is unscheduled")
	case s.From == "":
		log.Info("unit is scheduled")
	default:
		log.Info("unit is moved")
	}
}

// reason says in fleet's words why a step is made.
func (t *term) reason(s schedule.Step) string {
	unable := fmt.Sprintf("target Machine(%s) unable to run unit: ", s.From)
	u, _ := t.view.Unit(s.Unit)
	switch s.Cause {
	case schedule.CodeNew:
		return fmt.Sprintf("target state %s and unit not scheduled", u.Target)
	case schedule.CodeInactive:
		return "target state inactive"
	case schedule.CodeMachineLost:
		return fmt.Sprintf("target Machine(%s) went away", s.From)
	case schedule.CodeMachineID:
		return unable + fmt.Sprintf("agent ID %q does not match required %q", s.From, u.Options.MachineID)
	case schedule.CodeMetadata:
		return unable + "local Machine metadata insufficient"
	case schedule.CodePeer:
		return unable + fmt.Sprintf("required peer Unit(%s) is not scheduled locally", s.By)
	case schedule.CodeConflict:
		return unable + fmt.Sprintf("found conflict with locally-scheduled Unit([%s])", s.By)
	case schedule.CodeReplaced:
		return fmt.Sprintf("replaced by Unit(%s)", s.By)
	}
	return string(s.Cause)
}

// logUnplaced logs each unit when it comes to have no machine.
func (t *term) logUnplaced(unplaced []schedule.Explanation) {
	now := make(map[string]bool, len(unplaced))
	for _, e := range unplaced {
		now[e.Unit] = true
		if t.unplaced[e.Unit] {
			continue
		}
		var why []string
		for _, r := range e.Rejected {
			why = append(why, fmt.Sprintf("%d %s", r.Machines, r.Reason))
		}
		t.engine.log.Info("unit cannot be placed", "unit", e.Unit, "machines", e.Considered, "rejected", strings.Join(why, "; "))
	}
	t.unplaced = now
}
