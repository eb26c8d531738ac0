package schedule

// counts ranks machines by how many units they hold: a set of slots for each
// count, so that the least loaded machine of a mask is the first bit found.
type counts struct {
	bySlot []int    // -1 for a slot that is not ranked
	levels []bitset // by count
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
	l.bySlot[slot] += n
	l.level(l.bySlot[slot]).set(slot)
}

func (l *counts) level(n int) *bitset {
	for len(l.levels) <= n {
		l.levels = append(l.levels, nil)
	}
	return &l.levels[n]
}

// of returns the count of a slot.
func (l *counts) of(slot int) int { return l.bySlot[slot] }

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
	for _, level := range l.levels {
		for slot := range level.allWith(mask) {
			if fits(slot) {
				return slot
			}
		}
	}
	return -1
}
