package schedule

import (
	"slices"
	"strings"
)

// drain moves the units on draining machines to others, as far as these take
// them: high priority first, then large ones. All draining machines are closed
// by then, so nothing moves from one to the next. It reports whether any moved.
func (s *Scheduler) drain() (any bool) {
	for slot := range s.draining.all {
		if s.machines[slot].State == Evacuating && s.evacuate(slot) {
			any = true
		}
	}
	var all []clump
	for slot := range s.draining.all {
		for _, c := range s.clumps(slot) {
			if s.staysPut(c.units) == nil {
				all = append(all, c)
			}
		}
	}
	slices.SortFunc(all, func(a, b clump) int { return b.importance(a) })
	for _, c := range all {
		if s.move(c, s.open.copyTo(nil), CodeDraining) {
			any = true
		}
	}
	if any {
		s.validateAll()
	}
	return any
}

// Drain marks machines as draining, those that are known, and plans: so to
// speak, what a Scheduler or a Clone of it does once their State is Draining.
func (s *Scheduler) Drain(ids ...string) Plan {
	for _, id := range ids {
		slot, ok := s.slots[id]
		if !ok || !s.alive.has(slot) || s.draining.has(slot) {
			continue
		}
		m := s.machines[slot].Machine
		m.State = Draining
		s.settled = false
		s.dirty.set(slot)
		s.change(slot, m)
	}
	return s.Plan()
}

// evacuate takes units from a slot that would stay there while it is only
// drained. They are pending then.
func (s *Scheduler) evacuate(slot int) (any bool) {
	for _, c := range s.clumps(slot) {
		if s.staysPut(c.units) == nil && !slices.ContainsFunc(c.units, (*unit).pinned) {
			continue
		}
		for _, u := range c.units {
			s.evict(u, CodeDraining, "")
		}
		any = true
	}
	return any
}

// staysPut says why units that must be together do not leave a draining
// machine; nil if they do, as soon as they can.
func (s *Scheduler) staysPut(units []*unit) *Reason {
	i := slices.IndexFunc(units, func(u *unit) bool { return u.spec.NotMovable })
	if i < 0 {
		return nil
	}
	return &Reason{CodeNotMovable, units[i].name}
}

// explainBlocked explains each unit that is still on a draining machine.
func (s *Scheduler) explainBlocked() []Explanation {
	var out []Explanation
	for slot := range s.draining.all {
		for _, c := range s.clumps(slot) {
			for _, u := range c.units {
				e := s.explain(u)
				e.Stays = s.staysPut(c.units)
				out = append(out, e)
			}
		}
	}
	slices.SortFunc(out, func(a, b Explanation) int { return strings.Compare(a.Unit, b.Unit) })
	return out
}
