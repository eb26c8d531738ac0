package schedule

import (
	"cmp"
	"slices"
	"strings"
)

// Goal is what a rebalance is after. It should be that of the strategy: one that
// empties machines which the strategy fills has work for ever.
type Goal int

const (
	// Level moves units from the machine of which the largest share is used to
	// others, as long as that helps by MinGain.
	Level Goal = iota
	// Empty empties machines, those with few units first, into others that are
	// in use. A machine is emptied whole or not at all.
	Empty
	// Skew moves units from domains that have many of their spread group to
	// those that have few.
	Skew
	// Fit moves other units, three at most, to make room for Unit, which has no
	// place.
	Fit
)

// Rebalance is how far to go to improve places that are good enough.
type Rebalance struct {
	Goal Goal
	// Budget is how many units may be moved.
	Budget int
	// MinGain is by how much a move has to lower the largest used share of a
	// machine, for Level, in 1/2048 of its capacity; 0 means 32, 1/64.
	MinGain int
	// Unit is the one to make room for, for Fit.
	Unit string
}

const defaultMinGain = wholeShare / 64

// Rebalance plans as Plan does, and then moves units that could stay, within the
// budget, for an even or a tight use of machines. Units that are not movable or
// not to be preempted, on hold, or bound to one machine are left alone. Unless
// the budget ran out, a second call moves nothing.
func (s *Scheduler) Rebalance(r Rebalance) Plan {
	s.whole()
	if r.MinGain == 0 {
		r.MinGain = defaultMinGain
	}
	budget := s.moved() + r.Budget
	for range maxPasses {
		if !s.improve(r, budget) {
			break
		}
		s.validateAll()
		s.place()
	}
	return s.finish()
}

// improve moves units towards a goal, as far as the budget goes, and reports
// whether it moved any.
func (s *Scheduler) improve(r Rebalance, budget int) bool {
	switch r.Goal {
	case Empty:
		return s.emptySome(budget)
	case Skew:
		return s.evenOut(budget)
	case Fit:
		u := s.units.named(r.Unit)
		return u != nil && s.isPending(u) && s.makeWay(u, min(maxFitMoves, budget-s.moved()))
	default:
		return s.level(budget, r.MinGain)
	}
}

// mayMove reports whether a clump may be moved only to improve things.
func (c clump) mayMove() bool {
	return !slices.ContainsFunc(c.units, func(u *unit) bool {
		return u.pinned() || u.spec.NotMovable || u.spec.NotPreemptible || u.spec.Hold || len(u.ousts) > 0
	})
}

// emptySome empties machines as far as the budget goes.
func (s *Scheduler) emptySome(budget int) (any bool) {
	slots := slices.DeleteFunc(slices.Collect(s.alive.all), func(slot int) bool { return len(s.machines[slot].residents) == 0 })
	slices.SortFunc(slots, func(a, b int) int {
		return cmp.Or(
			cmp.Compare(len(s.machines[a].residents), len(s.machines[b].residents)),
			cmp.Compare(s.used(a), s.used(b)),
			cmp.Compare(a, b),
		)
	})
	s.scoring = Pack
	defer func() { s.scoring = s.opts.Strategy }()
	for _, slot := range slots {
		if s.moved()+len(s.machines[slot].residents) <= budget && s.emptyOne(slot) {
			any = true
		}
	}
	return any
}

// emptyOne moves all units of a slot to other machines in use, or none.
func (s *Scheduler) emptyOne(slot int) bool {
	all := s.clumps(slot)
	if len(all) == 0 || slices.ContainsFunc(all, func(c clump) bool { return !c.mayMove() }) {
		return false
	}
	slices.SortFunc(all, func(a, b clump) int { return cmp.Or(cmp.Compare(b.size, a.size), strings.Compare(a.name, b.name)) })
	inUse := s.open.copyTo(nil)
	for other := range inUse.all {
		if len(s.machines[other].residents) == 0 {
			inUse.clear(other)
		}
	}
	var done []berth
	for _, c := range all {
		for _, u := range c.units {
			done = append(done, berth{u, u.bound, u.spec.Given})
		}
		if !s.move(c, inUse.copyTo(nil), CodeRebalance) {
			s.moveBack(done)
			return false
		}
	}
	return true
}

// used is the largest used share of a slot's machine.
func (s *Scheduler) used(slot int) int32 {
	most := int32(0)
	for _, shares := range s.ledger.sharesIn(slot) {
		most = max(most, largest(shares))
	}
	return most
}

// level moves one clump after the other from the machines of which most is used.
func (s *Scheduler) level(budget, gain int) (any bool) {
	s.scoring = Balance
	defer func() { s.scoring = s.opts.Strategy }()
	var stuck bitset
	for s.moved() < budget {
		most := -1
		for slot := range s.alive.all {
			if !stuck.has(slot) && (most < 0 || s.used(slot) > s.used(most)) {
				most = slot
			}
		}
		if most < 0 {
			break
		}
		if s.relieve(most, budget, int32(gain)) {
			any = true
		} else {
			stuck.set(most)
		}
	}
	return any
}

// relieve moves the clump from a slot that lowers the larger of the used shares
// of both machines most, if by as much as is asked for each unit moved.
func (s *Scheduler) relieve(slot, budget int, gain int32) bool {
	before := s.used(slot)
	best, least := -1, before
	all := s.clumps(slot)
	for i, c := range all {
		if !c.mayMove() || s.moved()+len(c.units) > budget {
			continue
		}
		berths := []berth{}
		for _, u := range c.units {
			berths = append(berths, berth{u, u.bound, u.spec.Given})
		}
		if !s.move(c, s.open.copyTo(nil), CodeRebalance) {
			continue
		}
		after := max(s.used(slot), s.used(c.units[0].at))
		if after < least && before-after >= gain*int32(len(c.units)) {
			best, least = i, after
		}
		s.moveBack(berths)
	}
	return best >= 0 && s.move(all[best], s.open.copyTo(nil), CodeRebalance)
}
