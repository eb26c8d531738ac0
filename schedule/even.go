package schedule

import (
	"maps"
	"slices"
)

// evenOut moves units of teams that are spread to domains that have fewer of
// them.
func (s *Scheduler) evenOut(budget int) (any bool) {
	for _, name := range slices.Sorted(maps.Keys(s.teams)) {
		for s.evenOutTeam(s.teams[name], budget) {
			any = true
		}
	}
	return any
}

// evenOutTeam makes one move that leaves a team spread more evenly, if there is
// one.
func (s *Scheduler) evenOutTeam(t *team, budget int) bool {
	for _, slot := range slices.Sorted(t.at.slots) {
		for _, c := range s.clumps(slot) {
			i := slices.IndexFunc(c.units, func(u *unit) bool { return u.team == t && len(u.spreads) > 0 })
			if i < 0 || !c.mayMove() || s.moved()+len(c.units) > budget {
				continue
			}
			mask := s.open.copyTo(nil)
			if mask.and(c.units[i].evener()); !mask.empty() && s.moveEvener(c, mask) {
				return true
			}
		}
	}
	return false
}

// evener is the slots in domains that would still have fewer of a unit's team
// than its own has now, if the unit went there.
func (u *unit) evener() bitset {
	var mask bitset
	for _, sp := range u.spreads {
		own := sp.topology.of[u.at]
		if own < 0 {
			break
		}
		for d, dom := range sp.topology.domains {
			if dom.within == sp.topology.domains[own].within && sp.count(d)+1 < sp.count(own) {
				mask.or(dom.slots)
			}
		}
	}
	return mask
}

// moveEvener moves a clump to a slot of mask if all teams it has a part in are
// spread more evenly then, in sum.
func (s *Scheduler) moveEvener(c clump, mask bitset) bool {
	var berths []berth
	for _, u := range c.units {
		berths = append(berths, berth{u, u.bound, u.spec.Given})
	}
	before := c.unevenness()
	if !s.move(c, mask, CodeRebalance) {
		return false
	}
	if c.unevenness() < before {
		return true
	}
	s.moveBack(berths)
	return false
}

// unevenness sums up the squares of how many units a domain has, over the teams
// of the units.
func (c clump) unevenness() int {
	sum := 0
	var seen []*team
	for _, u := range c.units {
		if u.team == nil || slices.Contains(seen, u.team) {
			continue
		}
		seen = append(seen, u.team)
		for _, sp := range u.team.spreads {
			for _, n := range sp.counts {
				sum += n * n
			}
		}
	}
	return sum
}
