package schedule

import (
	"math"
	"slices"
)

// This file chooses who has to leave a slot.

// at finds who has to leave a slot for a group. Who conflicts with the group or
// holds its ports cannot stay.
func (b *bouncer) at(slot int, n *need) (best preemption, ok bool) {
	m := b.s.machines[slot]
	if slices.ContainsFunc(m.globals, n.inTheWay) {
		return best, false
	}
	lower := b.lower[:0]
	for _, c := range b.clumps(slot) {
		switch {
		case c.priority < n.priority && !n.spares(c):
			lower = append(lower, c)
		case n.bars(c):
			return best, false
		}
	}
	b.lower = lower
	w := &b.want
	w.n, w.slot, w.best = n, slot, w.best[:0]
	if !b.giveBack(w, lower) {
		return best, false
	}
	b.takeFew(w, lower)
	best.mess = w.least
	for _, c := range w.best {
		best.victims = append(best.victims, c.units...)
	}
	return best, true
}

// vacancy is what is left in a slot once a group is there, of what there is too
// little for that: less than nothing where others have to leave.
type vacancy struct {
	m      *machine
	short  []int   // the resources
	free   []int64 // of these
	ranged int     // ports of the range that are taken
	scarce bool    // that matters
}

// vacancy makes v that of a slot.
func (b *bouncer) vacancy(v *vacancy, slot int, n *need) {
	l := &b.s.ledger
	*v = vacancy{m: b.s.machines[slot], short: v.short[:0], free: v.free[:0]}
	for _, ask := range n.asks {
		if free := l.free[slot*l.width+ask.r]; free < ask.n {
			v.short = append(v.short, ask.r)
			v.free = append(v.free, free-ask.n)
		}
	}
	ranged := v.m.rangedByAll(n.units)
	if ranged == 0 {
		return
	}
	dynamic := v.m.dynamic
	for _, u := range n.units {
		dynamic += u.spec.DynamicPorts
	}
	v.ranged = v.m.ranged + ranged
	v.scarce = dynamic > 0
}

// leave counts a clump out, or with times = -1 in again.
func (v *vacancy) leave(c *lodger, times int) {
	for i, r := range v.short {
		v.free[i] += int64(times) * c.takes.requested[r]
	}
	if v.scarce {
		v.ranged -= times * v.m.rangedByAll(c.units)
	}
}

// enough reports whether there is room for the group.
func (v *vacancy) enough() bool {
	for _, free := range v.free {
		if free < 0 {
			return false
		}
	}
	return !v.scarce || v.ranged <= v.m.rangeSize()
}

// help is how much of what is missing a clump makes up, in 1/2048 of that.
func (v *vacancy) help(c *lodger) int64 {
	sum := int64(0)
	for i, free := range v.free {
		if short := -free; short > 0 {
			sum += min(c.takes.requested[v.short[i]], short) * wholeShare / short
		}
	}
	return sum
}

// want is the search for those that leave a slot for a group.
type want struct {
	n    *need
	slot int
	v    vacancy
	rest []*lodger // what may go, that which helps most first
	// From each of rest on: the sums, the largest amounts, by what is short, and
	// the least weight.
	sums, most []int64
	lightest   []int

	gone   []*lodger
	weight int
	nodes  int

	best  []*lodger
	least mess // that of best

	turns []int64   // scratch
	spare []*lodger // scratch
}

// fresh returns amounts of nothing, by what is short.
func (w *want) fresh(dims int) (sum, most []int64) {
	w.sums = append(w.sums[:0], make([]int64, dims)...)
	w.most = append(w.most[:0], make([]int64, dims)...)
	return w.sums, w.most
}

// giveBack has all leave that may, and come back in order of importance as far
// as there is room.
func (b *bouncer) giveBack(w *want, lower []*lodger) bool {
	b.vacancy(&w.v, w.slot, w.n)
	for _, c := range lower {
		w.v.leave(c, 1)
	}
	if !w.v.enough() {
		return false
	}
	for _, c := range lower {
		if w.v.leave(c, -1); w.n.bars(c) || !w.v.enough() {
			w.v.leave(c, 1)
			w.best = append(w.best, c)
		}
	}
	w.least = messOf(w.best, w.slot)
	return len(w.best) > 0
}

// takeFew looks for the set of clumps, of no more than some priority, that makes
// the least mess and is enough.
func (b *bouncer) takeFew(w *want, lower []*lodger) {
	b.vacancy(&w.v, w.slot, w.n)
	w.gone, w.rest, w.weight, w.nodes = w.gone[:0], w.rest[:0], 0, maxSets
	for _, c := range lower {
		switch {
		case w.n.bars(c):
			w.v.leave(c, 1)
			w.gone = append(w.gone, c)
			w.weight += c.weight()
		case c.priority <= w.least.highest && w.v.help(c) > 0:
			w.rest = append(w.rest, c)
		}
	}
	if w.v.scarce {
		return // ports are left to giveBack
	}
	w.sortRest()
	w.sumUp()
	w.descend(0)
}

// sortRest puts those that help most first, of equal ones the least important.
func (w *want) sortRest() {
	w.turns, w.spare = w.turns[:0], append(w.spare[:0], w.rest...)
	for i, c := range w.rest { // which is in order of importance
		w.turns = append(w.turns, w.v.help(c)<<32|int64(i))
	}
	slices.Sort(w.turns)
	for i, turn := range w.turns {
		w.rest[len(w.rest)-1-i] = w.spare[turn&math.MaxUint32]
	}
}

// maxSets bounds how many sets are looked at in a slot.
const maxSets = 400

func (w *want) sumUp() {
	dims := len(w.v.short)
	size := (len(w.rest) + 1) * dims
	w.sums, w.most = slices.Grow(w.sums[:0], size)[:size], slices.Grow(w.most[:0], size)[:size]
	w.lightest = slices.Grow(w.lightest[:0], len(w.rest))[:len(w.rest)]
	clear(w.sums[size-dims:])
	clear(w.most[size-dims:])
	for i, c := range slices.Backward(w.rest) {
		for j, r := range w.v.short {
			amount := c.takes.requested[r]
			w.sums[i*dims+j] = w.sums[(i+1)*dims+j] + amount
			w.most[i*dims+j] = max(w.most[(i+1)*dims+j], amount)
		}
		w.lightest[i] = c.weight()
		if i+1 < len(w.rest) {
			w.lightest[i] = min(w.lightest[i], w.lightest[i+1])
		}
	}
}

// descend tries each of rest from the given one on, and what may go with it.
func (w *want) descend(from int) {
	if w.v.enough() {
		if p := messOf(w.gone, w.slot); len(w.gone) > 0 && p.before(w.least) {
			w.best, w.least = append(w.best[:0], w.gone...), p
		}
		return
	}
	for i := from; i < len(w.rest); i++ {
		if w.nodes--; w.nodes < 0 || w.hopeless(i) {
			return
		}
		c := w.rest[i]
		w.v.leave(c, 1)
		w.gone = append(w.gone, c)
		w.weight += c.weight()
		w.descend(i + 1)
		w.weight -= c.weight()
		w.gone = w.gone[:len(w.gone)-1]
		w.v.leave(c, -1)
	}
}

// hopeless reports whether nothing from the given one of rest on can still make
// a better set.
func (w *want) hopeless(from int) bool {
	more, dims := 1, len(w.v.short)
	for i, free := range w.v.free {
		if free >= 0 {
			continue
		}
		if w.sums[from*dims+i] < -free {
			return true
		}
		most := w.most[from*dims+i]
		more = max(more, int((-free+most-1)/most))
	}
	return w.weight+more*w.lightest[from] > w.least.weight
}

// messOf is what it comes to if clumps leave a slot.
func messOf(clumps []*lodger, slot int) mess {
	sum := mess{highest: -1 << 31, slot: slot}
	for _, c := range clumps {
		sum.highest = max(sum.highest, c.priority)
		sum.weight += c.weight()
		sum.units += len(c.units)
		sum.size += int64(c.size)
	}
	return sum
}
