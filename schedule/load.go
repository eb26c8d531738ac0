package schedule

// load ranks machines by how many units they hold: a set of slots for each
// count, so that the least loaded machine of a mask is the first bit found.
type load struct {
	counts []int    // by slot; -1 for a slot that is not ranked
	levels []bitset // by count
}

// add ranks a slot, with no units.
func (l *load) add(slot int) {
	for len(l.counts) <= slot {
		l.counts = append(l.counts, -1)
	}
	l.counts[slot] = 0
	l.level(0).set(slot)
}

// remove takes a slot out of the ranking.
func (l *load) remove(slot int) {
	l.levels[l.counts[slot]].clear(slot)
	l.counts[slot] = -1
}

// change adds n, which may be negative, to the count of a ranked slot.
func (l *load) change(slot, n int) {
	l.levels[l.counts[slot]].clear(slot)
	l.counts[slot] += n
	l.level(l.counts[slot]).set(slot)
}

func (l *load) level(n int) *bitset {
	for len(l.levels) <= n {
		l.levels = append(l.levels, nil)
	}
	return &l.levels[n]
}

// least returns the slot of mask with the lowest count, the lowest of several;
// -1 for none. All slots of mask are ranked.
func (l *load) least(mask bitset) int {
	// In a small mask looking at each slot is cheaper than at each level.
	if mask.count() <= 16 {
		best := -1
		for slot := range mask.all {
			if best < 0 || l.counts[slot] < l.counts[best] {
				best = slot
			}
		}
		return best
	}
	for _, level := range l.levels {
		if slot := level.firstWith(mask); slot >= 0 {
			return slot
		}
	}
	return -1
}
