package schedule

import (
	"cmp"
	"maps"
	"slices"
)

// This file puts what units would like before what the strategy says: an even
// spread first, then few soft conflicts, then what they prefer.

// chooseFor returns the slot of mask where units are best placed together; -1
// for none.
func (s *Scheduler) chooseFor(units []*unit, mask bitset, q *parcel) int {
	wishful := slices.ContainsFunc(units, func(u *unit) bool { return len(u.soft)+len(u.softHits)+len(u.prefers) > 0 })
	slot := -1
	s.byEvenness(mask, units, 0, func(tier bitset) bool {
		if !wishful {
			slot = s.choose(tier, q)
			return slot < 0
		}
		for _, t := range byWishes(tier, units) {
			if slot = s.choose(t, q); slot >= 0 {
				return false
			}
		}
		return true
	})
	return slot
}

// byEvenness yields parts of a mask, by how many of the units' teams a slot's
// domains have, fewest first, and slots without a domain last; by the first
// unit's team first. It reports whether all were asked for. The parts share
// memory, by depth.
func (s *Scheduler) byEvenness(mask bitset, units []*unit, depth int, yield func(bitset) bool) bool {
	i := slices.IndexFunc(units, func(u *unit) bool { return len(u.spreads) > 0 && u.spec.Spread.MaxSkew == 0 })
	if i < 0 {
		return yield(mask)
	}
	if depth == len(s.tiers) {
		s.tiers = append(s.tiers, tier{})
	}
	memory := s.tiers[depth]
	order, counts := units[i].domainsByCount()
	even, rest := memory.even, mask.copyTo(memory.rest)
	for len(order) > 0 {
		n := 1
		for n < len(order) && slices.Equal(counts(order[0]), counts(order[n])) {
			n++
		}
		even = even[:0]
		for _, d := range order[:n] {
			even.or(units[i].topology().domains[d].slots)
		}
		order = order[n:]
		even.and(mask)
		rest.andNot(even)
		s.tiers[depth] = tier{even, rest}
		if !even.empty() && !s.byEvenness(even, units[i+1:], depth+1, yield) {
			return false
		}
	}
	return rest.empty() || s.byEvenness(rest, units[i+1:], depth+1, yield)
}

// tier is memory for byEvenness.
type tier struct{ even, rest bitset }

// topology is that of all keys that a unit is spread over.
func (u *unit) topology() *topology { return u.spreads[len(u.spreads)-1].topology }

// domainsByCount returns the domains that a unit is spread over, those with the
// fewest of its team first, and the counts of a domain and of those it is in.
func (u *unit) domainsByCount() (order []int, counts func(d int) []int) {
	domains, n := u.topology().domains, len(u.spreads)
	order, all := make([]int, len(domains)), make([]int, n*len(domains))
	counts = func(d int) []int { return all[d*n : (d+1)*n] }
	for d := range order {
		order[d] = d
		for i, at := n-1, d; i >= 0; i-- {
			counts(d)[i] = u.spreads[i].count(at)
			at = u.spreads[i].topology.domains[at].within
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(slices.Compare(counts(a), counts(b)), slices.Compare(domains[a].values, domains[b].values))
	})
	return order, counts
}

// byWishes splits a mask by soft conflicts, fewest first, and then by the weight
// of what is preferred, largest first.
func byWishes(mask bitset, units []*unit) []bitset {
	type wish struct{ hits, weight int }
	tiers := map[wish]*bitset{}
	for slot := range mask.all {
		var w wish
		for _, u := range units {
			w.hits += u.softConflictsAt(slot)
			w.weight += u.preferenceAt(slot)
		}
		if tiers[w] == nil {
			tiers[w] = &bitset{}
		}
		tiers[w].set(slot)
	}
	order := slices.SortedFunc(maps.Keys(tiers), func(a, b wish) int {
		return cmp.Or(cmp.Compare(a.hits, b.hits), cmp.Compare(b.weight, a.weight))
	})
	var out []bitset
	for _, w := range order {
		out = append(out, *tiers[w])
	}
	return out
}

// softConflictsAt counts the units in a slot that the unit would rather avoid,
// and those that would rather avoid it.
func (u *unit) softConflictsAt(slot int) int {
	n := 0
	for _, p := range u.soft {
		n += p.matching.at(slot)
	}
	for _, p := range u.softHits {
		n += p.carrying.at(slot)
	}
	return n
}

// preferenceAt sums up the weights of the preferences that a slot's machine
// meets.
func (u *unit) preferenceAt(slot int) int {
	sum := 0
	for i, k := range u.prefers {
		if k.bits.has(slot) {
			sum += u.spec.Prefer[i].Weight
		}
	}
	return sum
}
