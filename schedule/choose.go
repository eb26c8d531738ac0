package schedule

import (
	"iter"
	"math/bits"
	"slices"
)

// fewSlots is how many machines are sooner looked at one by one than sought in
// the grid.
const fewSlots = 64

// choose returns the slot of mask that ranks first of those that a parcel fits
// in; -1 for none.
func (s *Scheduler) choose(mask bitset, q *parcel) int {
	weightless := s.scoring == Balance && s.ledger.weights == 0 && !q.heavy
	if s.scoring == LeastLoaded || weightless {
		return s.counts.least(mask, func(slot int) bool { return s.ledger.fits(slot, q) })
	}
	if !mask.moreThan(fewSlots) {
		return s.scan(mask, q).slot
	}
	return s.grid.find(s, mask, q).slot
}

// scan looks at all slots of mask. It is what every index has to agree with.
func (s *Scheduler) scan(mask bitset, q *parcel) rank {
	best := nowhere
	for slot := range mask.all {
		if !s.ledger.fits(slot, q) {
			continue
		}
		s.shares = s.ledger.sharesOf(q, s.ledger.nominal[slot*s.ledger.width:], s.shares)
		if r := s.rank(slot, s.shares); r.before(best) {
			best = r
		}
	}
	return best
}

// sharesOf returns what shares a parcel takes of a nominal capacity, in buf.
func (l *ledger) sharesOf(q *parcel, nominal []int64, buf []int32) []int32 {
	buf = buf[:0]
	for r := range l.names {
		n, whole := int32(0), int64(0)
		if r < len(nominal) {
			whole = nominal[r]
		}
		if r < len(q.weighed) && q.weighed[r] > 0 {
			// At least 1, so that what is asked for counts as such.
			n = max(1, share(q.weighed[r], whole))
		}
		buf = append(buf, n)
	}
	return buf
}

// search is one walk over the grid.
type search struct {
	sched *Scheduler
	grid  *grid
	mask  bitset
	q     *parcel
	best  rank
	// The shares of q in the nominal capacity that was looked at last.
	nominal []int64
	shares  []int32
}

// find returns what scan does.
func (g *grid) find(s *Scheduler, mask bitset, q *parcel) rank {
	g.refresh(s)
	w := search{sched: s, grid: g, mask: mask, q: q, best: nowhere}
	for _, sh := range g.shapes {
		if sh.used {
			w.walk(sh)
		}
	}
	if s.scoring == Pack && w.best.slot >= 0 {
		return w.best
	}
	for _, sh := range g.shapes {
		if !sh.used {
			w.walk(sh)
		}
	}
	return w.best
}

// walk looks through the cells of a shape.
func (w *search) walk(sh *shape) {
	if sh.filled == [levels / 64]uint64{} {
		return
	}
	if w.nominal == nil || !slices.Equal(w.nominal, sh.nominal) {
		w.nominal, w.shares = sh.nominal, w.sched.ledger.sharesOf(w.q, sh.nominal, sh.shares)
	}
	sh.shares = w.shares
	if w.sched.scoring == Pack {
		w.walkFree(sh)
	} else {
		w.walkUsed(sh)
	}
}

// walkUsed goes through the rows of resources, for Balance, and in each from the
// least used share of another until no later line can hold better.
func (w *search) walkUsed(sh *shape) {
	for i := range marked(&sh.filled, 0) {
		row, coming, ahead := sh.rows[i], sh.shares[w.grid.other(i)], int32(0)
		if i < len(sh.shares) && i < levels-1 { // the last row is that of all further resources
			ahead = sh.shares[i]
		}
		for j := range marked(&row.filled, 0) {
			if w.best.slot >= 0 && int64(usedFrom(j)+coming) > w.best.value {
				break
			}
			w.read(sh, row.cells[j], ahead)
		}
	}
}

// walkFree goes through rows and lines, for Pack, from the least free shares
// that may be enough to those that leave more than the best does.
func (w *search) walkFree(sh *shape) {
	x, y := w.grid.axes[0], w.grid.axes[1]
	for i := range marked(&sh.filled, w.enough(sh, x)) {
		if w.leavesMore(i, sh.shares[x]) {
			return
		}
		row := sh.rows[i]
		for j := range marked(&row.filled, w.enough(sh, y)) {
			if w.leavesMore(j, sh.shares[y]) {
				break
			}
			w.read(sh, row.cells[j], 0)
		}
	}
}

// enough is the first line where a machine may have enough of a resource left.
// Estimates count as taken but leave room for requests, so with any placed the
// line says nothing.
func (w *search) enough(sh *shape, r int) int {
	if w.sched.ledger.estimates > 0 || r >= len(w.q.requested) {
		return 0
	}
	// The share that is taken is rounded down: one less may be left.
	need := share(w.q.requested[r], sh.nominal[r]) - sh.slack[r] - 1
	return freeLine(need)
}

// leavesMore reports whether all of a line leave more free than the best does.
func (w *search) leavesMore(line int, coming int32) bool {
	return w.best.slot >= 0 && coming > 0 && int64(freeFrom(line)-coming) > w.best.value
}

// marked yields the lines that are marked as filled, from the first given on.
func marked(filled *[levels / 64]uint64, first int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, word := range filled {
			if skip := first - i*64; skip > 0 {
				word = word >> skip << skip // nothing, if that is 64 or more
			}
			for ; word != 0; word &= word - 1 {
				if !yield(i*64 + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}

// read looks at the slots of a cell that may be better than the best so far.
func (w *search) read(sh *shape, c *cell, ahead int32) {
	bound := w.bound(sh, c, ahead)
	if w.best.slot >= 0 && bound > w.best.value || !c.admits(w.q) {
		return
	}
	vain := true
	for i := 0; i < len(c.entries); {
		r := c.entries[i].rank()
		r.value = max(r.value+int64(ahead), bound)
		if !r.before(w.best) {
			if r.value > w.best.value {
				return
			}
			// Others of the same share are no better.
			i, _ = slices.BinarySearch(c.entries, c.entries[i].nextShare())
			continue
		}
		i++
		if !w.mask.has(r.slot) {
			continue
		}
		if r = w.sched.rank(r.slot, sh.shares); r.before(w.best) && w.sched.ledger.fits(r.slot, w.q) {
			w.best = r
			vain = false
		}
	}
	if vain {
		c.readInVain(w.sched)
	}
}

// bound is no more than the value of any slot of a cell.
func (w *search) bound(sh *shape, c *cell, ahead int32) int64 {
	coming := sh.shares[:len(c.least)]
	if w.sched.scoring == Balance {
		return max(dominantAfter(c.least, coming), c.entries[0].rank().value+int64(ahead))
	}
	value := restAtLeast(c.least, c.most, coming)
	if !sh.used {
		value += unusedMachine
	}
	return value
}
