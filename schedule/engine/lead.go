package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
)

// rereadEvery is how often a leader forgets what it knows and reads the registry
// anew, should ever a change have escaped it.
const rereadEvery = 10 * time.Minute

// lead keeps units placed until ctx ends, after a pause.
func (e *Engine) lead(ctx context.Context, pause time.Duration) {
	t := term{
		engine:  e,
		reg:     e.cfg.Registry,
		missing: missing{until: map[string]time.Time{}, ttl: defaultMachineTTL},
		notes:   map[string]string{},
	}
	for wait(ctx, pause); ctx.Err() == nil; {
		view, err := e.cfg.Registry.Follow(ctx, registry.Scope{})
		if err != nil {
			if ctx.Err() == nil {
				e.doubts.blind()
				e.counters.blind()
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
	sched   *schedule.Scheduler
	missing missing
	// machines are those alive when the last plan was made.
	machines []registry.Machine
	// notes are what was logged last of units that are not where they should be
	// and of machines that drain, by name: each is logged when it changes.
	notes map[string]string
}

// follow plans whenever the view has changed, until ctx ends or it is time to
// read the registry anew.
func (t *term) follow(ctx context.Context) {
	t.sched = schedule.New(t.engine.cfg.Schedule)
	t.view.Take()
	t.missAbsent()
	if err := t.sched.Reset(t.cluster()); err != nil {
		t.engine.counters.blind()
		t.engine.log.Error("engine cannot make sense of the registry, trying again", "err", err)
		wait(ctx, t.engine.cfg.Interval)
		return
	}
	reread := time.NewTimer(rereadEvery)
	defer reread.Stop()
	for {
		var retry, lost <-chan time.Time
		if !t.decide(ctx) {
			retry = time.After(t.engine.cfg.Interval)
		}
		if at, ok := t.missing.next(); ok {
			lost = time.After(time.Until(at))
		}
		select {
		case <-t.view.Changed():
			t.update(t.view.Take())
		case <-lost:
			t.giveUp()
		case <-retry:
		case <-reread.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// decide makes a plan and carries it out. It reports whether all was done.
func (t *term) decide(ctx context.Context) bool {
	order, ordered := t.view.Rebalance()
	start := time.Now()
	var plan schedule.Plan
	if ordered {
		plan = t.sched.Rebalance(order.Rebalance)
	} else {
		plan = t.sched.Plan()
	}
	took := time.Since(start)
	t.machines = t.view.Machines()
	t.engine.counters.planned(took, t.sight(plan))
	done := t.carryOut(ctx, plan.Steps)
	t.logTrouble(plan)
	if !ordered || ctx.Err() != nil {
		return done
	}
	// Done or not: an order is not tried again.
	t.engine.log.Info("rebalance is over", "goal", registry.FormatGoal(order.Goal), "budget", order.Budget, "moved", plan.Stats.Moved)
	if err := t.reg.FinishRebalance(ctx, order); err != nil {
		t.engine.log.Warn("order to rebalance is not removed, it expires", "err", err)
	}
	return done
}

// cluster is all of the view.
func (t *term) cluster() schedule.Cluster {
	c := schedule.Cluster{Placed: map[string]string{}}
	for _, m := range t.view.Machines() {
		c.Machines = append(c.Machines, m.Schedulable())
	}
	for id := range t.missing.until {
		c.Machines = append(c.Machines, stub(id))
	}
	for _, u := range t.view.Units() {
		c.Units = append(c.Units, t.schedulable(u))
		if u.Machine != "" {
			c.Placed[u.Name] = u.Machine
		}
	}
	return c
}

// schedulable is a unit as the scheduler takes it.
func (t *term) schedulable(u registry.Unit) schedule.Unit {
	if _, missing := t.missing.until[u.Machine]; missing {
		return frozen(u.Schedulable())
	}
	return u.Schedulable()
}

// missAbsent takes machines for missing that units are on and that are not
// there, if that may have come about without the engine seeing it.
func (t *term) missAbsent() {
	machines := t.view.Machines()
	t.missing.learn(machines)
	for _, m := range machines {
		delete(t.missing.until, m.ID)
	}
	_, since := t.engine.doubts.last()
	until := since.Add(t.missing.ttl)
	if !time.Now().Before(until) {
		return
	}
	for _, u := range t.view.Units() {
		if _, ok := t.view.Machine(u.Machine); !ok && u.Machine != "" {
			t.miss(u.Machine, until)
		}
	}
}

// miss takes a machine for missing.
func (t *term) miss(id string, until time.Time) {
	if _, already := t.missing.until[id]; !already {
		t.missing.until[id] = until
		t.engine.log.Info("machine is missing, its units stay for now", "machine", id, "for", time.Until(until).Round(time.Millisecond))
	}
}

// update tells the scheduler what has changed in the view.
func (t *term) update(c registry.Changes) {
	if len(c.Machines) > 0 {
		t.updateMachines(c)
	}
	for _, name := range c.Units {
		t.updateUnit(name)
	}
}

func (t *term) updateMachines(c registry.Changes) {
	machines := t.view.Machines()
	t.missing.learn(machines)
	var until time.Time
	if len(c.Silent) > 0 {
		failed, _ := t.engine.doubts.last()
		until = t.missing.doubt(len(c.Silent), len(machines), t.engine.cfg.Interval, failed)
	}
	for _, id := range c.Machines {
		m, alive := t.view.Machine(id)
		switch {
		case alive:
			t.report(t.sched.SetMachine(m.Schedulable()))
			t.find(id)
		case !until.IsZero() && slices.Contains(c.Silent, id):
			t.miss(id, until)
			t.report(t.sched.SetMachine(stub(id)))
			t.updateUnitsOn(id)
		default:
			t.sched.RemoveMachine(id)
			t.find(id)
		}
	}
}

// find ends a machine's being missed, one way or the other.
func (t *term) find(id string) {
	if _, missing := t.missing.until[id]; missing {
		delete(t.missing.until, id)
		t.updateUnitsOn(id)
	}
}

// giveUp takes machines for lost that have been missing for long enough.
func (t *term) giveUp() {
	for _, id := range slices.Sorted(maps.Keys(t.missing.until)) {
		if !time.Now().Before(t.missing.until[id]) {
			t.engine.log.Info("missing machine is given up", "machine", id)
			t.sched.RemoveMachine(id)
			t.find(id)
		}
	}
}

func (t *term) updateUnitsOn(id string) {
	for _, u := range t.view.Units() {
		if u.Machine == id {
			t.updateUnit(u.Name)
		}
	}
}

// updateUnit tells the scheduler what the view says of a unit and its place.
func (t *term) updateUnit(name string) {
	u, ok := t.view.Unit(name)
	if ok {
		t.report(t.sched.SetUnit(t.schedulable(u)))
	} else {
		t.sched.RemoveUnit(name)
	}
	if ok && u.Machine != "" {
		t.report(t.sched.Bind(name, u.Machine))
		if len(u.Ports) > 0 {
			// Being bound elsewhere before, it has lost its ports.
			t.report(t.sched.SetUnit(t.schedulable(u)))
		}
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

// logTrouble logs what a plan could not do: units without a machine, units that
// stay on a draining machine, and machines that have drained. Each is logged
// when it comes to be so.
func (t *term) logTrouble(p schedule.Plan) {
	now := make(map[string]string)
	note := func(name, kind string, log func()) {
		if now[name] = kind; t.notes[name] != kind {
			log()
		}
	}
	for _, e := range p.Unplaced {
		note(e.Unit, "unplaced", func() {
			t.engine.log.Info("unit cannot be placed", "unit", e.Unit, "machines", e.Considered, "rejected", rejections(e))
		})
	}
	stuck := make(map[string]int)
	for _, e := range p.Blocked {
		stuck[e.Placed]++
		note(e.Unit, "blocked", func() {
			why := rejections(e)
			if e.Stays != nil {
				why = e.Stays.String()
			}
			t.engine.log.Info("unit stays on a draining machine", "unit", e.Unit, "machine", e.Placed, "rejected", why)
		})
	}
	for _, m := range t.machines {
		if m.State == schedule.Draining && stuck[m.ID] == 0 {
			note("machine "+m.ID, "drained", func() {
				t.engine.log.Info("machine is drained", "machine", m.ID)
			})
		}
	}
	t.notes = now
}

// rejections sums up what machines have to say about a unit.
func rejections(e schedule.Explanation) string {
	var why []string
	for _, r := range e.Rejected {
		why = append(why, fmt.Sprintf("%d %s", r.Machines, r.Reason))
	}
	return strings.Join(why, "; ")
}
