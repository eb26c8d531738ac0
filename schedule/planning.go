package schedule

import "slices"

// This file makes a plan, step by step.

// maxPasses bounds how often a plan starts over because a unit replaced another.
// A longer chain of replacements goes on in the next plan.
const maxPasses = 32

// Plan returns what makes the cluster whole, and takes it as done: tell with
// Bind and Unbind what went otherwise.
func (s *Scheduler) Plan() Plan {
	s.whole()
	return s.finish()
}

// whole makes the cluster whole.
func (s *Scheduler) whole() {
	if s.garbage > 1000+s.units.count() {
		s.rebuildWith()
	}
	if s.settled {
		return
	}
	s.link()
	s.evictStrays()
	s.validateAll()
	s.place()
}

// place finds places for what has none, makes room where it may, and moves what
// is to leave, until nothing changes.
func (s *Scheduler) place() {
	for range maxPasses {
		again := s.placePending()
		if len(s.placed) > 0 && s.unevennessBars() {
			again = true
		}
		if !again && !s.preempt() && !s.drain() {
			return
		}
	}
}

// validateAll validates all slots where a unit may have become invalid.
func (s *Scheduler) validateAll() {
	for slot := range s.dirty.all {
		s.validate(slot)
	}
}

// unevennessBars reports whether a unit may be without a place only because its
// group was spread too unevenly, which a later placement can have changed.
func (s *Scheduler) unevennessBars() bool {
	for u := range s.pending.all {
		if u.spec.Spread.MaxSkew > 0 {
			return true
		}
	}
	return false
}

// finish turns what was touched into a Plan.
func (s *Scheduler) finish() Plan {
	var p Plan
	p.Steps = s.steps(s.movedByName())
	s.comeHome()
	clear(s.dirty)
	if !s.settled {
		s.unplaced, s.blocked = s.explainUnplaced(), s.explainBlocked()
		s.settled = true
	}
	p.Unplaced, p.Blocked = slices.Clone(s.unplaced), slices.Clone(s.blocked)
	p.Stats = s.stats(p)
	return p
}

// movedByName returns the units that are not where they were. Most of them were
// pending at once, and sorted then.
func (s *Scheduler) movedByName() []*unit {
	if len(s.touched) == 0 {
		return nil
	}
	moved := make([]*unit, 0, len(s.touched))
	met := 0
	for _, u := range s.order {
		if !u.touched {
			continue
		}
		if met++; u.from != u.bound {
			u.listing = true
			moved = append(moved, u)
		}
	}
	if met == len(s.touched) {
		return moved
	}
	listed := len(moved)
	for _, u := range s.touched {
		if u.from != u.bound && !u.listing {
			moved = append(moved, u)
		}
	}
	if len(moved) > listed {
		slices.SortFunc(moved, compareUnits)
	}
	return moved
}

func (s *Scheduler) stats(p Plan) Stats {
	st := Stats{Machines: s.alive.count(), Kept: s.housed, Unplaced: len(p.Unplaced), Blocked: len(p.Blocked)}
	for _, step := range p.Steps {
		switch {
		case step.To == "":
			st.Removed++
			continue
		case step.From == "":
			st.New++
		default:
			st.Moved++
		}
		st.Kept--
	}
	return st
}
