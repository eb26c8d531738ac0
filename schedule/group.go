package schedule

import (
	"cmp"
	"math/bits"
	"slices"
)

// group is a connected set of pending units under MachineOf: one decision.
type group struct {
	units    []*unit // peers before those that follow them
	takes    parcel
	priority int   // the highest
	at       int32 // the position in the order of names
	eligible int32 // log2 of the machines that could do, were they empty
	size     int32 // the largest share of what they request in the mean machine
	// free: they ask for nothing but resources and each other's company; plain:
	// they also request something.
	free, plain bool
}

// pendingGroups returns the groups in the order of placement: high priority
// first, then those with few machines to choose from, then large ones, then by
// name. The number of machines counts by powers of two, so that a small change
// in the cluster does not shuffle all.
func (s *Scheduler) pendingGroups() []group {
	s.order = s.pending.sorted()
	s.touched = slices.Grow(s.touched, len(s.order))
	s.placed = slices.Grow(s.placed[:0], len(s.order))
	sets := s.connected(s.order)
	groups := make([]group, len(sets))
	open := s.open.count()
	for i, units := range sets {
		g := &groups[i]
		s.makeGroup(g, units, open)
		g.at = int32(i)
	}
	groups = arranged(groups, func(g *group) uint64 {
		return g.urgency() | uint64(g.eligible)<<32 | uint64(2*wholeShare-g.size)
	})
	gather(groups)
	return groups
}

// gather lays out what groups take in the order in which they are, and are going
// to be read.
func gather(groups []group) {
	n := 0
	for i := range groups {
		n += len(groups[i].takes.requested)
		if groups[i].takes.estimated {
			n += len(groups[i].takes.weighed)
		}
	}
	amounts := make([]int64, 0, n)
	copied := func(some []int64) []int64 {
		amounts = append(amounts, some...)
		return slices.Clip(amounts[len(amounts)-len(some):])
	}
	for i := range groups {
		q := &groups[i].takes
		if q.requested = copied(q.requested); q.estimated {
			q.weighed = copied(q.weighed)
		} else {
			q.weighed = q.requested
		}
	}
}

// urgency is less for a group of higher priority, and leaves 40 bits for what
// else there is to go by.
func (g *group) urgency() uint64 { return uint64(-leastPriority-g.priority) << 40 }

// arranged returns groups in the order of keys, and of equal ones in the order
// in which they are.
func arranged(groups []group, key func(g *group) uint64) []group {
	order := make([]turn, len(groups))
	for i := range groups {
		order[i] = turn{key(&groups[i]), i}
	}
	sorted := make([]group, len(groups))
	for i, t := range inTurn(order) {
		sorted[i] = groups[t.at]
	}
	return sorted
}

// turn is the position of a group in the order of names, with a key that is less
// for those that come before.
type turn struct {
	key uint64
	at  int
}

// inTurn sorts turns of different positions, given in order of those, by their
// keys: digit by digit, from the lowest.
func inTurn(order []turn) []turn {
	const digit, few = 11, 256
	if len(order) < few {
		slices.SortFunc(order, func(a, b turn) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.at, b.at)) })
		return order
	}
	differ := uint64(0)
	for _, t := range order {
		differ |= t.key ^ order[0].key
	}
	other := make([]turn, len(order))
	for at := 0; differ>>at != 0; at += digit {
		if differ>>at&(1<<digit-1) == 0 {
			continue
		}
		var starts [1<<digit + 1]int
		for _, t := range order {
			starts[t.key>>at&(1<<digit-1)+1]++
		}
		for d := range starts[1:] {
			starts[d+1] += starts[d]
		}
		for _, t := range order {
			d := t.key >> at & (1<<digit - 1)
			other[starts[d]] = t
			starts[d]++
		}
		order, other = other, order
	}
	return order
}

// newGroup makes a group of units; open is how many machines are.
func (s *Scheduler) newGroup(units []*unit, open int) group {
	var g group
	s.makeGroup(&g, units, open)
	return g
}

// makeGroup looks at what the units of a group ask for together.
func (s *Scheduler) makeGroup(g *group, units []*unit, open int) {
	g.priority = leastPriority
	picky, choosy := false, false
	for _, u := range units {
		g.priority = max(g.priority, u.spec.Priority)
		picky = picky || u.picky()
		choosy = choosy || u.choosy(units)
	}
	n := open
	if choosy || !s.dedicated.empty() {
		mask := s.open.copyTo(s.scratch)
		s.scratch = mask
		for _, u := range units {
			s.keepSuitable(mask, u)
			s.keepPeers(mask, u, units)
		}
		n = mask.count()
	}
	if picky {
		n /= 2
	}
	g.eligible = int32(bits.Len(uint(n)))
	g.takes = s.ledger.newParcel(units, &s.amounts)
	g.size = s.ledger.meanShare(&g.takes)
	g.free = !picky && !choosy
	g.plain = g.free && g.takes.heavy
	g.units = s.peersFirst(units)
}

// name is the least of the units'.
func (g group) name() string { return slices.MinFunc(g.units, compareUnits).name }

// replaces reports whether others have to leave where the group comes.
func (g group) replaces() bool {
	return slices.ContainsFunc(g.units, func(u *unit) bool { return len(u.ousts) > 0 })
}

// picky reports whether what else is on a machine matters to a unit, resources
// aside.
func (u *unit) picky() bool {
	return len(u.conflicts) > 0 || slices.ContainsFunc(u.conflictHits, (*pattern).inUse) ||
		!u.modest && (len(u.spec.Ports) > 0 || u.spec.DynamicPorts > 0 || u.spec.MaxPerMachine > 0)
}

// choosy reports whether a unit asks for more than resources, and the company of
// those given.
func (u *unit) choosy(company []*unit) bool {
	stranger := func(name string) bool {
		return !slices.ContainsFunc(company, func(v *unit) bool { return v.name == name })
	}
	return u.need != nil || !u.modest && u.spec.MachineID != "" || u.team != nil || len(u.prefers)+len(u.soft)+len(u.softHits) > 0 ||
		len(u.ousts)+len(u.oustedBy) > 0 || slices.ContainsFunc(u.peers, stranger)
}

// connected splits units, sorted by name, into sets joined by MachineOf.
func (s *Scheduler) connected(units []*unit) [][]*unit {
	if !slices.ContainsFunc(units, func(u *unit) bool { return len(u.peers) > 0 }) {
		return singly(units)
	}
	for _, u := range units {
		u.picked = true
	}
	next := map[*unit][]*unit{}
	for _, u := range units {
		for _, name := range u.peers {
			if p := s.units.named(name); p != nil && p.picked {
				next[u], next[p] = append(next[u], p), append(next[p], u)
				u.tied, p.tied = true, true
			}
		}
	}
	sets := make([][]*unit, 0, len(units))
	for i, u := range units {
		switch {
		case !u.picked:
			continue
		case !u.tied:
			u.picked = false
			sets = append(sets, units[i:i+1:i+1])
			continue
		}
		u.picked = false
		set := []*unit{u}
		for i := 0; i < len(set); i++ {
			set[i].tied = false
			for _, v := range next[set[i]] {
				if v.picked {
					v.picked = false
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
		if p := s.units.named(name); p != nil {
			if s.isPending(p) {
				to = s.appendClosure(to, p, seen)
			}
		}
	}
	return append(to, u)
}
