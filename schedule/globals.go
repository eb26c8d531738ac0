package schedule

import "slices"

// This file gives each machine its global units. Which those are depends on the
// machine and on what is placed there, on nothing else, so that an agent that
// asks AdmitsGlobal comes to the same.

// dismissGlobals takes all global units from a slot.
func (s *Scheduler) dismissGlobals(slot int) {
	m := s.machines[slot]
	for _, g := range m.globals {
		s.hold(g, slot, -1)
		g.on.clear(slot)
	}
	m.globals = m.globals[:0]
}

// admitGlobals gives a slot that has none its global units, those that fit
// beside what is placed there.
func (s *Scheduler) admitGlobals(slot int) {
	s.admitGlobalsBy(slot, func(*unit) bool { return false })
}

// admitGlobalsAhead gives a slot that has none its global units, and has units
// leave that take what those request. If it has, other global units may come to
// be admitted, and the answer is true.
func (s *Scheduler) admitGlobalsAhead(slot int) (again bool) {
	s.admitGlobalsBy(slot, func(g *unit) bool {
		displaced := s.displace(slot, g)
		again = again || displaced
		return displaced
	})
	return again
}

// admitGlobalsBy admits the global units of a slot in order of name; one that
// lacks resources is admitted if makeRoom has made room.
func (s *Scheduler) admitGlobalsBy(slot int, makeRoom func(g *unit) bool) {
	for _, g := range s.globals {
		if !s.suits(g, slot) || g.conflictsAt(slot) || !s.portsFree(slot, g) {
			continue
		}
		if !s.fitsAlone(slot, g) && !makeRoom(g) {
			continue
		}
		s.hold(g, slot, 1)
		s.ownRare(g).on.set(slot)
		m := s.machines[slot]
		m.globals = append(m.globals, g)
	}
}

// fitsAlone reports whether a slot has what one unit requests left.
func (s *Scheduler) fitsAlone(slot int, u *unit) bool {
	if u.spec.Request.isZero() {
		return true
	}
	s.ledger.reset(&s.parcel)
	s.ledger.addUnit(&s.parcel, u, 1)
	return s.ledger.fits(slot, &s.parcel)
}

// displace evicts units from a slot so that a global unit fits, if that can be:
// units that may be moved and are of no higher priority.
func (s *Scheduler) displace(slot int, g *unit) bool {
	var from []clump
	for _, c := range s.clumps(slot) {
		if c.priority <= g.spec.Priority && !slices.ContainsFunc(c.units, (*unit).mustStay) {
			from = append(from, c)
		}
	}
	q := s.parcelOf([]*unit{g})
	leave, ok := s.makeRoom(slot, &q, from)
	for _, c := range leave {
		for _, u := range c.units {
			s.evict(u, CodeGlobal, g.name)
		}
	}
	return ok
}

// mustStay reports whether a unit is not to be moved for a global one.
func (u *unit) mustStay() bool {
	return u.pinned() || u.spec.NotPreemptible || u.spec.NotMovable
}

// pinned reports whether a unit has only one machine to be on.
func (u *unit) pinned() bool { return u.spec.MachineID != "" }

// suits reports whether a machine is what a unit asks for by ID and metadata,
// and not kept for others.
func (s *Scheduler) suits(u *unit, slot int) bool {
	if u.need == nil && s.dedicated.has(slot) || u.need != nil && !u.need.bits.has(slot) {
		return false
	}
	return matchesID(s.machines[slot].Machine, u.spec.MachineID)
}
