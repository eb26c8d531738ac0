package schedule

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
)

// maxPasses bounds how often a plan starts over because a unit replaced another.
// A longer chain of replacements goes on in the next plan.
const maxPasses = 32

// Plan returns what makes the cluster whole, and takes it as done: tell with
// Bind and Unbind what went otherwise.
func (s *Scheduler) Plan() Plan {
	if s.garbage > 1000+len(s.units) {
		s.rebuild(s.cluster())
	}
	if !s.settled {
		s.link()
		s.evictStrays()
		for slot := range s.dirty.all {
			s.validate(slot)
		}
		for range maxPasses {
			if again := s.placePending(); !again {
				break
			}
		}
	}
	return s.finish()
}

// finish turns what was touched into a Plan.
func (s *Scheduler) finish() Plan {
	var p Plan
	var moved []*unit
	for _, u := range s.touched {
		if u.from != u.bound {
			moved = append(moved, u)
		}
	}
	slices.SortFunc(moved, compareUnits)
	p.Steps = s.steps(moved)
	for _, u := range s.touched {
		u.touched, u.from, u.cause, u.by, u.part = false, "", "", "", 0
	}
	s.touched, s.parts = nil, 0
	clear(s.dirty)
	if !s.settled {
		s.unplaced = s.explainUnplaced()
		s.settled = true
	}
	p.Unplaced = slices.Clone(s.unplaced)
	p.Stats = s.stats(p)
	return p
}

func (s *Scheduler) stats(p Plan) Stats {
	st := Stats{Unplaced: len(p.Unplaced)}
	for slot := range s.alive.all {
		st.Machines++
		st.Kept += len(s.machines[slot].residents)
	}
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

// group is a connected set of pending units under MachineOf.
type group struct {
	units    []*unit // peers before those that follow them
	name     string  // the least
	priority int     // the highest
	eligible int     // log2 of the machines that could do, were they empty
	size     int32   // the largest share of what they request in the mean machine
}

// placePending gives every pending unit a place that can have one. It reports
// whether a unit was replaced, so that another pass may find more.
func (s *Scheduler) placePending() (again bool) {
	for _, g := range s.pendingGroups() {
		if s.placeGroup(g.units) {
			again = true
		}
	}
	return again
}

// pendingGroups returns the groups in the order of placement: high priority
// first, then those with few machines to choose from, then large ones, then by
// name. The number of machines counts by powers of two, so that a small change
// in the cluster does not shuffle all.
func (s *Scheduler) pendingGroups() []group {
	pending := slices.SortedFunc(maps.Keys(s.pending), compareUnits)
	var groups []group
	for _, units := range s.connected(pending) {
		groups = append(groups, s.newGroup(units))
	}
	slices.SortFunc(groups, func(a, b group) int {
		return cmp.Or(
			cmp.Compare(b.priority, a.priority),
			cmp.Compare(a.eligible, b.eligible),
			cmp.Compare(b.size, a.size),
			cmp.Compare(a.name, b.name),
		)
	})
	return groups
}

func (s *Scheduler) newGroup(units []*unit) group {
	g := group{name: units[0].name, priority: units[0].spec.Priority}
	mask := s.alive.copyTo(s.scratch)
	s.scratch = mask
	picky := false
	for _, u := range units {
		g.name = min(g.name, u.name)
		g.priority = max(g.priority, u.spec.Priority)
		s.keepSuitable(mask, u)
		s.keepPeers(mask, u, units)
		picky = picky || len(u.conflicts) > 0 || slices.ContainsFunc(u.conflictHits, (*pattern).inUse)
	}
	n := mask.count()
	if picky {
		n /= 2
	}
	g.eligible = bits.Len(uint(n))
	s.ledger.reset(&s.parcel)
	for _, u := range units {
		s.ledger.addUnit(&s.parcel, &u.spec, 1)
	}
	g.size = s.ledger.meanShare(&s.parcel)
	g.units = s.peersFirst(units)
	return g
}

// connected splits units, sorted by name, into sets joined by MachineOf.
func (s *Scheduler) connected(units []*unit) [][]*unit {
	if !slices.ContainsFunc(units, func(u *unit) bool { return len(u.peers) > 0 }) {
		return singly(units)
	}
	in := make(map[*unit]bool, len(units))
	for _, u := range units {
		in[u] = true
	}
	next := map[*unit][]*unit{}
	for _, u := range units {
		for _, name := range u.peers {
			if p := s.units[name]; in[p] {
				next[u] = append(next[u], p)
				next[p] = append(next[p], u)
			}
		}
	}
	var sets [][]*unit
	for _, u := range units {
		if !in[u] {
			continue
		}
		in[u] = false
		set := []*unit{u}
		for i := 0; i < len(set); i++ {
			for _, v := range next[set[i]] {
				if in[v] {
					in[v] = false
					set = append(set, v)
				}
			}
		}
		slices.SortFunc(set, compareUnits)
		sets = append(sets, set)
	}
	return sets
}

// singly makes each unit a set of its own.
func singly(units []*unit) [][]*unit {
	sets := make([][]*unit, len(units))
	for i := range units {
		sets[i] = units[i : i+1 : i+1]
	}
	return sets
}

// peersFirst orders pending units so that each comes after its peers; units in
// a ring of MachineOf by name.
func (s *Scheduler) peersFirst(units []*unit) []*unit {
	if len(units) == 1 {
		return units
	}
	var ordered []*unit
	seen := map[*unit]bool{}
	for _, u := range units {
		ordered = s.appendClosure(ordered, u, seen)
	}
	return ordered
}

// appendClosure appends a unit after the pending units that it needs, except
// those seen.
func (s *Scheduler) appendClosure(to []*unit, u *unit, seen map[*unit]bool) []*unit {
	if seen[u] {
		return to
	}
	seen[u] = true
	for _, name := range u.peers {
		if p := s.units[name]; p != nil {
			if _, pending := s.pending[p]; pending {
				to = s.appendClosure(to, p, seen)
			}
		}
	}
	return append(to, u)
}

// placeGroup places a group on one machine if any takes all of it. If none
// does, no unit is held back by one that follows it: as many as can be together
// are, and the others follow if they still can.
func (s *Scheduler) placeGroup(units []*unit) (again bool) {
	if len(units) == 1 {
		return s.placeTogether(units)
	}
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
	mask := s.alive.copyTo(nil)
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
		for _, v := range all[len(fit):] {
			s.narrow(try, v, all)
			ok = ok && !slices.ContainsFunc(all, v.conflictsWith)
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
	mask := s.alive.copyTo(s.scratch)
	s.scratch = mask
	for _, u := range units {
		s.narrow(mask, u, units)
	}
	s.ledger.reset(&s.parcel)
	for _, u := range units {
		s.ledger.addUnit(&s.parcel, &u.spec, 1)
	}
	slot := s.choose(mask, &s.parcel)
	if slot < 0 {
		return false
	}
	s.parts++
	for _, u := range units {
		s.touch(u, CodeNew, "")
		u.bound, u.part = s.machines[slot].ID, s.parts
		s.settle(u)
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

// narrow drops from mask the slots that may not take u together with the
// pending units given. Conflicts among those are for the caller.
func (s *Scheduler) narrow(mask bitset, u *unit, with []*unit) {
	s.keepSuitable(mask, u)
	s.keepPeers(mask, u, with)
	s.dropConflicts(mask, u)
	s.dropOusted(mask, u)
}

func (s *Scheduler) keepSuitable(mask bitset, u *unit) {
	s.keepID(mask, u)
	if u.need != nil {
		mask.and(u.need.bits)
	}
}

func (s *Scheduler) keepID(mask bitset, u *unit) {
	id := u.spec.MachineID
	if id == "" {
		return
	}
	if b := s.short[id]; len(id) == shortID && b != nil {
		mask.and(*b)
		return
	}
	if slot, ok := s.slots[id]; ok {
		mask.keep(slot)
		return
	}
	clear(mask)
}

func (s *Scheduler) keepPeers(mask bitset, u *unit, with []*unit) {
	for _, name := range u.peers {
		p := s.units[name]
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
