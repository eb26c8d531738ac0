package schedule

import (
	"cmp"
	"slices"
)

// This file places what is pending, in more than one way where that may pay,
// and keeps the best: new placements cost nothing to undo.

const (
	// freshBatch is how many groups make it worth trying several ways, if they
	// are not less than one in freshPart of all units.
	freshBatch = 64
	freshPart  = 16
	// largeBatch is how many groups are too many to try all.
	largeBatch = 5000
)

// way is a way of placing groups. It reports whether a unit was replaced.
type way func([]group) (again bool)

// attempt is what a way has come to.
type attempt struct {
	number   int
	places   []placement
	unplaced []int // priorities of the units left, the highest first
	uneven   int   // the squares of how many of a team are in a domain
	cost     int64 // the size of the machines in use
}

type placement struct {
	unit *unit
	slot int
	part int32
	// ports are the dynamic ones it was given.
	ports []uint16
}

// placePending gives every pending unit a place that can have one. It reports
// whether a unit was replaced, so that another pass may find more.
func (s *Scheduler) placePending() (again bool) {
	groups := s.pendingGroups()
	s.shortlist.units = nil
	s.placed = s.placed[:0]
	if len(s.linked) > 0 && slices.ContainsFunc(groups, group.replaces) {
		return s.inOrder(groups) // what leaves for others does not come back
	}
	ways := s.ways(groups)
	if len(ways) == 1 {
		if ways[0](groups); !s.crowdedOut(groups) {
			return false
		}
	}
	best := s.best(ways, groups)
	if s.redo(best); s.crowdedOut(groups) {
		for _, w := range s.otherWays(groups) {
			if a := s.try(w, groups); slices.Compare(a.unplaced, best.unplaced) < 0 {
				best = a
			}
		}
		if s.redo(best); len(groups) <= fineBatch {
			best = s.leftOverFirst(groups, best)
		}
	}
	s.redo(best)
	return false
}

// leftOverRounds is how often leftOverFirst tries for each of its ways.
const leftOverRounds = 6

// leftOverFirst has what was left over by the attempt that stands go first, of
// equal priority, and what is left over then the next time.
func (s *Scheduler) leftOverFirst(groups []group, best attempt) attempt {
	left := func(g group) int {
		if slices.ContainsFunc(g.units, func(u *unit) bool { return u.at < 0 }) {
			return 0
		}
		return 1
	}
	for _, w := range []way{s.inOrder, s.inPack} {
		order := slices.Clone(groups)
		s.redo(best)
		for range leftOverRounds {
			slices.SortStableFunc(order, func(a, b group) int {
				return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(left(a), left(b)))
			})
			a := s.try(w, order)
			if slices.Compare(a.unplaced, best.unplaced) < 0 {
				best = a
			}
			if !s.crowdedOut(groups) {
				return best
			}
		}
	}
	return best
}

// best tries all ways, unless what stands is what the only one has come to.
func (s *Scheduler) best(ways []way, groups []group) attempt {
	if len(ways) == 1 {
		return s.assess()
	}
	var best attempt
	for i, w := range ways {
		a := s.try(w, groups)
		if a.cost = s.inUse(); i == 0 || a.before(best) {
			best = a
		}
	}
	return best
}

// ways returns the ways to try.
func (s *Scheduler) ways(groups []group) []way {
	switch {
	case s.opts.Strategy != Pack || !s.takesTime(groups):
		return []way{s.inOrder}
	case len(groups) > largeBatch:
		return []way{s.searched, s.byName}
	}
	ways := []way{s.searched, s.greedily, s.byName, s.inOrder, s.spreadFirst}
	if fine(groups) {
		ways = append(ways, s.searchedLate)
	}
	return ways
}

// otherWays returns what else to try before units are left without a place.
func (s *Scheduler) otherWays(groups []group) []way {
	var ways []way
	if s.opts.Strategy != Balance {
		ways = append(ways, s.inBalance)
	}
	if s.opts.Strategy != Pack && s.takesTime(groups) {
		ways = append(ways, s.searched)
	}
	return ways
}

// takesTime reports whether to look longer for a good way.
func (s *Scheduler) takesTime(groups []group) bool {
	return s.opts.Effort != Fast && len(groups) >= freshBatch && len(groups)*freshPart >= s.units.count()
}

// try places groups in some way and says what came of it. The places are those
// of the attempt until the next call of try or redo.
func (s *Scheduler) try(w way, groups []group) attempt {
	s.undo()
	w(groups)
	return s.assess()
}

// inOrder places one group after the other.
func (s *Scheduler) inOrder(groups []group) (again bool) {
	for len(groups) > 0 {
		if n := s.placeFree(groups); n > 0 {
			groups = groups[n:]
			continue
		}
		if s.placeGroup(groups[0].units) {
			again = true
		}
		groups = groups[1:]
	}
	return again
}

// byName is inOrder with no regard to size.
func (s *Scheduler) byName(groups []group) bool {
	return s.inOrder(arranged(groups, func(g *group) uint64 {
		return g.urgency() | uint64(g.eligible)<<32 | uint64(g.at)
	}))
}

// spreadFirst is inOrder, but those that are to be spread have the first choice.
func (s *Scheduler) spreadFirst(groups []group) bool {
	isSpread := func(u *unit) bool { return len(u.spreads) > 0 }
	return s.inOrder(arranged(groups, func(g *group) uint64 {
		if slices.ContainsFunc(g.units, isSpread) {
			return g.urgency()
		}
		return g.urgency() + 1
	}))
}

// inBalance is inOrder by Balance: of all strategies it strands the fewest units
// when there is hardly room for all.
func (s *Scheduler) inBalance(groups []group) bool {
	s.scoring = Balance
	defer func() { s.scoring = s.opts.Strategy }()
	return s.inOrder(groups)
}

// inPack is inOrder by Pack.
func (s *Scheduler) inPack(groups []group) bool {
	s.scoring = Pack
	defer func() { s.scoring = s.opts.Strategy }()
	return s.inOrder(groups)
}

// crowdedOut reports whether a group that could be on some machine has none,
// and that may be the fault of how the others were placed.
func (s *Scheduler) crowdedOut(groups []group) bool {
	if len(s.placed) == 0 || s.pending.n == 0 {
		return false
	}
	return slices.ContainsFunc(groups, func(g group) bool {
		return g.eligible > 0 && slices.ContainsFunc(g.units, func(u *unit) bool { return u.at < 0 && !u.spec.Request.isZero() })
	})
}

// assess says what has come of an attempt.
func (s *Scheduler) assess() attempt {
	s.attempts++
	s.stands = s.attempts
	a := attempt{number: s.attempts, places: make([]placement, 0, len(s.placed))}
	for _, u := range s.placed {
		a.places = append(a.places, placement{u, u.at, u.part, u.spec.Given})
	}
	for u := range s.pending.all {
		a.unplaced = append(a.unplaced, u.spec.Priority)
	}
	slices.SortFunc(a.unplaced, func(x, y int) int { return cmp.Compare(y, x) })
	for _, t := range s.teams {
		for _, sp := range t.spreads {
			for _, n := range sp.counts {
				a.uneven += n * n
			}
		}
	}
	return a
}

// inUse is the size of the machines in use.
func (s *Scheduler) inUse() int64 {
	sum := int64(0)
	for slot := range s.alive.all {
		if len(s.machines[slot].residents) > 0 {
			sum += s.worth(slot)
		}
	}
	return sum
}

// before reports whether an attempt is better than another.
func (a attempt) before(b attempt) bool {
	return cmp.Or(slices.Compare(a.unplaced, b.unplaced), cmp.Compare(a.uneven, b.uneven), cmp.Compare(a.cost, b.cost)) < 0
}

// undo takes all that was placed in an attempt out again.
func (s *Scheduler) undo() {
	for _, u := range s.placed {
		s.rebind(u, "", nil)
	}
	s.placed = s.placed[:0]
}

// redo places what an attempt had placed, unless that stands.
func (s *Scheduler) redo(a attempt) {
	if a.number == s.stands {
		return
	}
	s.stands = a.number
	s.undo()
	for _, p := range a.places {
		s.bind(p.unit, p.slot, p.part, p.ports)
	}
}
