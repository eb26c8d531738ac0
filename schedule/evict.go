package schedule

import "slices"

// This file finds the units that cannot stay where they are. What makes a
// place invalid is always on the same machine, or is the machine: so only dirty
// slots need a look.

// evictStrays unbinds the units that are bound but may hold no place at all.
func (s *Scheduler) evictStrays() {
	for _, u := range s.stray.sorted() {
		switch {
		case !u.known:
			s.evict(u, CodeUnknown, "")
		case !u.spec.Active:
			s.evict(u, CodeInactive, "")
		case u.spec.Global:
			s.evict(u, CodeGlobal, "")
		default:
			s.evict(u, CodeMachineLost, "")
		}
	}
}

// evict takes a unit from where it is bound.
func (s *Scheduler) evict(u *unit, cause Code, by string) {
	s.touch(u, cause, by)
	s.rebind(u, "", nil)
}

// touch notes where a unit was when the plan began, and why it does not stay.
func (s *Scheduler) touch(u *unit, cause Code, by string) {
	if !u.touched {
		t := s.setOut(u)
		t.from, t.cause, t.by, t.had = u.bound, cause, by, u.spec.Given
	}
}

// validate evicts what is invalid in a slot and admits the global units that
// have a place beside the rest.
func (s *Scheduler) validate(slot int) {
	s.dismissGlobals(slot)
	for _, u := range s.residents(slot) {
		if !s.suits(u, slot) {
			s.evict(u, whyUnsuitable(s.machines[slot].Machine, *u.spec).Code, "")
		}
	}
	// Global peers are given the benefit of the doubt until they are there.
	mayBeThere := func(g *unit) bool { return g.active() }
	s.evictFollowers(slot, mayBeThere)
	s.evictConflicts(slot)
	s.evictCrowd(slot)
	s.evictPorts(slot)
	for _, u := range s.residents(slot) {
		i := slices.IndexFunc(u.oustedBy, func(v *unit) bool { return v.at == slot })
		if i >= 0 {
			s.evict(u, CodeReplaced, u.oustedBy[i].name)
		}
	}
	s.evictFollowers(slot, mayBeThere)
	s.evictExcess(slot)
	for again := true; again; {
		s.dismissGlobals(slot)
		again = s.admitGlobalsAhead(slot)
		if s.evictFollowers(slot, func(g *unit) bool { return g.on.has(slot) }) {
			again = true
		}
	}
	s.dirty.clear(slot)
}

// residents returns the units placed in a slot, by name.
func (s *Scheduler) residents(slot int) []*unit {
	return slices.SortedFunc(slices.Values(s.machines[slot].residents), compareUnits)
}

// evictFollowers evicts units that lack a peer in their slot, and those that
// then lack them. It reports whether there were any.
func (s *Scheduler) evictFollowers(slot int, globalThere func(*unit) bool) (evicted bool) {
	lacking := func(u *unit) int {
		return slices.IndexFunc(u.peers, func(name string) bool {
			p := s.units.named(name)
			return p == nil || p.at != slot && !(p.spec.Global && globalThere(p))
		})
	}
	for again := true; again; {
		again = false
		if !slices.ContainsFunc(s.machines[slot].residents, func(u *unit) bool { return lacking(u) >= 0 }) {
			break
		}
		for _, u := range s.residents(slot) {
			if i := lacking(u); i >= 0 {
				s.evict(u, CodePeer, u.peers[i])
				again, evicted = true, true
			}
		}
	}
	return evicted
}

// evictConflicts keeps, of units that conflict, those that may stay: each unit,
// in order of who stays first, unless one before it conflicts with it.
func (s *Scheduler) evictConflicts(slot int) {
	if !s.anyConflict(slot) {
		return
	}
	units := s.stayers(slot)
	for _, u := range units {
		u.count(slot, -1)
	}
	var keep, leave []*unit
	for _, u := range units {
		if u.conflictsAt(slot) {
			leave = append(leave, u)
			continue
		}
		u.count(slot, 1)
		keep = append(keep, u)
	}
	for _, u := range leave {
		i := slices.IndexFunc(keep, u.conflictsWith)
		u.count(slot, 1)
		s.evict(u, CodeConflict, keep[i].name)
	}
}

// stayers returns the units placed in a slot, in order of who stays first.
func (s *Scheduler) stayers(slot int) []*unit {
	return slices.SortedFunc(slices.Values(s.machines[slot].residents), func(a, b *unit) int {
		if leavesBefore(b.spec, a.spec) {
			return -1
		}
		return 1
	})
}

// anyConflict reports whether units placed in a slot conflict with each other.
func (s *Scheduler) anyConflict(slot int) bool {
	for _, u := range s.machines[slot].residents {
		for _, p := range u.conflicts {
			n := p.matching.at(slot)
			if slices.Contains(u.conflictHits, p) { // by its own name
				n--
			}
			if n > 0 {
				return true
			}
		}
	}
	return false
}

// evictExcess evicts units that request more in sum than their machine has, and
// those that must run beside them.
func (s *Scheduler) evictExcess(slot int) {
	if !s.ledger.overfull(slot) {
		return
	}
	var nothing parcel
	short := s.missing(slot, &nothing)
	leave, _ := s.makeRoom(slot, &nothing, s.clumps(slot))
	for _, c := range leave {
		first := slices.IndexFunc(c.units, func(u *unit) bool { return s.hasPart(u, short) })
		for _, u := range c.units {
			if s.hasPart(u, short) {
				s.evict(u, CodeResource, "")
			} else {
				s.evict(u, CodePeer, c.units[first].name)
			}
		}
	}
}

// hasPart reports whether a unit requests any of what is missing.
func (s *Scheduler) hasPart(u *unit, missing []int64) bool {
	for r, n := range missing {
		if n > 0 && u.spec.Request.of(s.ledger.names[r]) > 0 {
			return true
		}
	}
	return false
}
