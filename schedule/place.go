package schedule

import (
	"maps"
	"slices"
	"strings"
)

// This file finds a machine for a group.

// placeGroup places a group on one machine if any takes all of it. If none
// does, no unit is held back by one that follows it: as many as can be together
// are, and the others follow if they still can.
func (s *Scheduler) placeGroup(units []*unit) (again bool) {
	if len(units) == 1 {
		return s.placeTogether(units)
	}
	clash := func(u *unit) bool {
		return slices.ContainsFunc(units, u.conflictsWith) || slices.ContainsFunc(units, u.portsClash)
	}
	if !slices.ContainsFunc(units, clash) {
		all := slices.SortedFunc(slices.Values(units), compareUnits)
		if again = s.placeTogether(all); all[0].at >= 0 {
			return again
		}
	}
	units = slices.Clone(units)
	for len(units) > 0 {
		fit := s.fitTogether(units)
		if len(fit) == 0 {
			return again
		}
		for _, part := range s.connected(slices.SortedFunc(slices.Values(fit), compareUnits)) {
			if s.placeTogether(part) {
				again = true
			}
		}
		units = slices.DeleteFunc(units, func(u *unit) bool { return slices.Contains(fit, u) })
	}
	return again
}

// fitTogether returns the units, each with all that it needs, that some machine
// takes: going through them in order, all that can be added.
func (s *Scheduler) fitTogether(units []*unit) []*unit {
	mask := s.open.copyTo(nil)
	var fit []*unit
	in := map[*unit]bool{}
	for _, u := range units {
		if in[u] {
			continue
		}
		seen := maps.Clone(in)
		all := s.appendClosure(slices.Clone(fit), u, seen)
		try := mask.copyTo(nil)
		ok := true
		for _, v := range fit { // one more of their team may be too many
			s.dropCrowded(try, v, all)
			s.dropUneven(try, v, all)
		}
		for _, v := range all[len(fit):] {
			s.narrow(try, v, all)
			ok = ok && !slices.ContainsFunc(all, v.conflictsWith) && !slices.ContainsFunc(all, v.portsClash)
		}
		if ok && s.anyFits(try, all) {
			mask, fit, in = try, all, seen
		}
	}
	return fit
}

// anyFits reports whether some slot of mask has what units request left.
func (s *Scheduler) anyFits(mask bitset, units []*unit) bool {
	q := s.parcelOf(units)
	for slot := range mask.all {
		if s.ledger.fits(slot, &q) {
			return true
		}
	}
	return false
}

// placeTogether puts units on the machine that ranks first of those that take
// them all; if there is none, nowhere. It reports whether another unit left for
// them.
func (s *Scheduler) placeTogether(units []*unit) (again bool) {
	s.scratch = s.open.copyTo(s.scratch)
	return s.placeBy((*Scheduler).chooseListed, units, s.scratch)
}

// placeWithin is placeTogether on a machine of mask, which it uses up.
func (s *Scheduler) placeWithin(units []*unit, mask bitset) (again bool) {
	return s.placeBy((*Scheduler).chooseFor, units, mask)
}

// placeBy is placeWithin on the machine that is chosen.
func (s *Scheduler) placeBy(choose func(*Scheduler, []*unit, bitset, *parcel) int, units []*unit, mask bitset) (again bool) {
	for _, u := range units {
		s.narrow(mask, u, units)
	}
	s.ledger.reset(&s.parcel)
	for _, u := range units {
		s.ledger.addUnit(&s.parcel, u, 1)
	}
	slot := choose(s, units, mask, &s.parcel)
	if slot < 0 {
		return false
	}
	s.parts++
	for _, u := range units {
		s.bind(u, slot, s.parts, s.choosePorts(u, slot, units))
	}
	leaves := func(v *unit) bool { return v.at == slot }
	for _, u := range units {
		if slices.ContainsFunc(u.ousts, leaves) {
			s.validate(slot)
			return true
		}
	}
	return false
}

// placeFree is placeTogether for the first of the groups, as long as they are
// single units that ask for resources alone, and returns how many those are. All
// have a machine chosen before any is told: the units are all over the memory,
// and to go there for all at once is sooner done than to wait each time.
func (s *Scheduler) placeFree(groups []group) int {
	if !s.dedicated.empty() {
		return 0
	}
	s.chosen = slices.Grow(s.chosen[:0], len(groups))
	for i := range groups {
		g := &groups[i]
		if !g.free || len(g.units) > 1 {
			break
		}
		slot := s.chooseAlike(g.units, s.open, &g.takes)
		if s.chosen = append(s.chosen, int32(slot)); slot >= 0 {
			s.ledger.takeParcel(slot, &g.takes)
			s.countIn(slot, 1)
		}
	}
	for i := range s.chosen {
		u, slot := groups[i].units[0], int(s.chosen[i])
		if slot < 0 {
			continue
		}
		s.parts++
		s.moveIn(u, slot)
		s.holdTies(u, slot, 1)
		s.noteBound(u, slot, s.parts)
	}
	return len(s.chosen)
}

// bind gives a pending unit a place and ports, as one of a part of the plan.
func (s *Scheduler) bind(u *unit, slot int, part int32, ports []uint16) {
	if len(ports) > 0 {
		u.spec.Given = ports
	}
	s.attach(u, slot)
	s.noteBound(u, slot, part)
}

// noteBound notes that a pending unit has a place now.
func (s *Scheduler) noteBound(u *unit, slot int, part int32) {
	if !u.touched {
		s.setOutNew(u)
	}
	u.part = part
	u.bound = s.machines[slot].ID
	s.settled = false
	s.pending.drop(u)
	s.placed = append(s.placed, u)
}

// narrow drops from mask the slots that may not take u together with the
// pending units given. Conflicts among those are for the caller.
func (s *Scheduler) narrow(mask bitset, u *unit, with []*unit) {
	s.keepSuitable(mask, u)
	s.keepPeers(mask, u, with)
	s.dropConflicts(mask, u)
	s.dropOusted(mask, u)
	s.dropCrowded(mask, u, with)
	s.dropPorts(mask, u, with)
	s.dropUneven(mask, u, with)
}

func (s *Scheduler) keepSuitable(mask bitset, u *unit) {
	s.keepID(mask, u)
	if u.need != nil {
		mask.and(u.need.bits)
	} else {
		mask.andNot(s.dedicated)
	}
}

func (s *Scheduler) keepID(mask bitset, u *unit) {
	id := u.spec.MachineID
	if id == "" {
		return
	}
	if slot, ok := s.slots[id]; ok && len(id) != shortID {
		mask.keep(slot)
		return
	}
	if len(id) != shortID {
		clear(mask)
		return
	}
	// Slots are in order of ID.
	first, _ := slices.BinarySearchFunc(s.machines, id, func(m *machine, id string) int { return strings.Compare(m.ID, id) })
	last := first
	for last < len(s.machines) && strings.HasPrefix(s.machines[last].ID, id) {
		last++
	}
	mask.keepRange(first, last)
}

func (s *Scheduler) keepPeers(mask bitset, u *unit, with []*unit) {
	for _, name := range u.peers {
		p := s.units.named(name)
		switch {
		case p == nil || !p.active():
			clear(mask)
		case p.spec.Global:
			mask.and(p.on)
		case p.at >= 0:
			mask.keep(p.at)
		case !slices.Contains(with, p):
			clear(mask)
		}
	}
}

func (s *Scheduler) dropConflicts(mask bitset, u *unit) {
	for _, p := range u.conflicts {
		p.matching.clearFrom(mask)
	}
	for _, p := range u.conflictHits {
		p.carrying.clearFrom(mask)
	}
}

func (s *Scheduler) dropOusted(mask bitset, u *unit) {
	for _, v := range u.oustedBy {
		if v.at >= 0 {
			mask.clear(v.at)
		}
	}
}
