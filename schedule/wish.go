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
	tiers := []bitset{mask}
	for _, u := range units {
		if len(u.spreads) > 0 && u.spec.Spread.MaxSkew == 0 {
			tiers = u.byEvenness(tiers)
		}
	}
	wishful := slices.ContainsFunc(units, func(u *unit) bool { return len(u.soft)+len(u.softHits)+len(u.prefers) > 0 })
	for _, tier := range tiers {
		if !wishful {
			if slot := s.choose(tier, q); slot >= 0 {
				return slot
			}
			continue
		}
		for _, t := range byWishes(tier, units) {
			if slot := s.choose(t, q); slot >= 0 {
				return slot
			}
		}
	}
	return -1
}

// byEvenness splits each tier by how many of the unit's team a slot's domains
// have, fewest first, and slots without a domain last.
func (u *unit) byEvenness(tiers []bitset) []bitset {
	last := u.spreads[len(u.spreads)-1].topology
	order := make([]int, len(last.domains))
	for d := range order {
		order[d] = d
	}
	counts := func(d int) []int {
		out := make([]int, len(u.spreads))
		for i := len(u.spreads) - 1; i >= 0; i-- {
			out[i] = u.spreads[i].count(d)
			d = u.spreads[i].topology.domains[d].within
		}
		return out
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(slices.Compare(counts(a), counts(b)), slices.Compare(last.domains[a].values, last.domains[b].values))
	})
	var out []bitset
	for _, tier := range tiers {
		rest := tier.copyTo(nil)
		for i := 0; i < len(order); {
			var even bitset
			for first := i; i < len(order) && slices.Equal(counts(order[first]), counts(order[i])); i++ {
				even.or(last.domains[order[i]].slots)
			}
			even.and(tier)
			rest.andNot(even)
			if !even.empty() {
				out = append(out, even)
			}
		}
		if !rest.empty() {
			out = append(out, rest)
		}
	}
	return out
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
