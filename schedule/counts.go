package schedule

import "math/bits"

// counts ranks machines by how many units they hold: a set of slots for each
// count, so that the least loaded machine of a mask is the first bit found.
type counts struct {
	bySlot []int32     // -1 for a slot that is not ranked
	levels []sparseSet // by count
}

// add ranks a slot, with no units.
func (l *counts) add(slot int) {
	for len(l.bySlot) <= slot {
		l.bySlot = append(l.bySlot, -1)
	}
	l.bySlot[slot] = 0
	l.level(0).set(slot)
}

// remove takes a slot out of the ranking.
func (l *counts) remove(slot int) {
	l.levels[l.bySlot[slot]].clear(slot)
	l.bySlot[slot] = -1
}

// change adds n, which may be negative, to the count of a ranked slot.
func (l *counts) change(slot, n int) {
	l.levels[l.bySlot[slot]].clear(slot)
	l.bySlot[slot] += int32(n)
	l.level(int(l.bySlot[slot])).set(slot)
}

func (l *counts) level(n int) *sparseSet {
	for len(l.levels) <= n {
		l.levels = append(l.levels, sparseSet{})
	}
	return &l.levels[n]
}

// of returns the count of a slot.
func (l *counts) of(slot int) int { return int(l.bySlot[slot]) }

// least returns the slot of mask with the lowest count that fits, the lowest of
// several; -1 for none. All slots of mask are ranked.
func (l *counts) least(mask bitset, fits func(slot int) bool) int {
	// In a small mask looking at each slot is cheaper than at each level.
	if !mask.moreThan(16) {
		best := -1
		for slot := range mask.all {
			if (best < 0 || l.bySlot[slot] < l.bySlot[best]) && fits(slot) {
				best = slot
			}
		}
		return best
	}
	for i := range l.levels {
		if slot := l.levels[i].first(mask, fits); slot >= 0 {
			return slot
		}
	}
	return -1
}

// sparseSet is a bitset of which the words that have members are known, so that
// those without cost nothing.
type sparseSet struct {
	members bitset
	filled  bitset // of words of members
}

func (t *sparseSet) set(i int) {
	t.members.set(i)
	t.filled.set(i / 64)
}

func (t *sparseSet) clear(i int) {
	if t.members.clear(i); t.members[i/64] == 0 {
		t.filled.clear(i / 64)
	}
}

// first returns the first member that mask has too and that fits, -1 for none.
func (t *sparseSet) first(mask bitset, fits func(i int) bool) int {
	for i, f := range t.filled {
		for ; f != 0; f &= f - 1 {
			at := i*64 + bits.TrailingZeros64(f)
			if at >= len(mask) {
				return -1
			}
			for w := t.members[at] & mask[at]; w != 0; w &= w - 1 {
				if slot := at*64 + bits.TrailingZeros64(w); fits(slot) {
					return slot
				}
			}
		}
	}
	return -1
}
