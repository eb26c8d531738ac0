package schedule

import (
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
func (l *ledger) sharesOf(q *parcel, nominal []int64, buf []uint64) []uint64 {
	buf = append(buf[:0], make([]uint64, l.width/lanesPerWord)...)
	for r, n := range q.weighed {
		if n <= 0 {
			continue
		}
		whole := int64(0)
		if r < len(nominal) {
			whole = nominal[r]
		}
		// At least 1, so that what is asked for counts as such.
		setLane(buf, r, max(1, share(n, whole)))
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
	most  int32  // the value of the best, or as much as a lane holds
	limit uint64 // most, see exceeds
	// The shares of q in the nominal capacity that was looked at last.
	nominal []int64
	shares  []uint64
}

// find returns what scan does.
func (g *grid) find(s *Scheduler, mask bitset, q *parcel) rank {
	g.refresh(s)
	w := search{sched: s, grid: g, mask: mask, q: q, best: nowhere}
	if s.scoring == Pack {
		w.atMost(laneLimit)
		if w.walkAll(true); w.best.slot < 0 {
			w.walkAll(false)
		}
		return w.best
	}
	// Most machines found are about as good as the one before.
	w.atMost(g.last)
	w.walkAll(true)
	w.walkAll(false)
	if w.best.slot < 0 {
		w.atMost(laneLimit)
		w.walkAll(true)
		w.walkAll(false)
	}
	g.last = w.most
	return w.best
}

// atMost has only slots considered that are worth so much or less.
func (w *search) atMost(value int32) {
	w.most = value
	w.limit = limitOf(value)
}

// walkAll looks through the shapes that are used, or are not.
func (w *search) walkAll(used bool) {
	for _, sh := range w.grid.shapes {
		if sh.used == used {
			w.walk(sh)
		}
	}
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
	for i := next(&sh.filled, 0); i >= 0; i = next(&sh.filled, i+1) {
		row, coming, ahead := sh.rows[i], lane(sh.shares, w.grid.other(i)), int32(0)
		if i < levels-1 { // the last row is that of all further resources
			ahead = lane(sh.shares, i)
		}
		for j := next(&row.filled, 0); j >= 0; j = next(&row.filled, j+1) {
			if usedFrom(j)+coming > w.most {
				break
			}
			w.readUsed(sh, row.cells[j], ahead)
		}
	}
}

// walkFree goes through rows and lines, for Pack, from the least free shares
// that may be enough to those that leave more than the best does.
func (w *search) walkFree(sh *shape) {
	x, y := w.grid.axes[0], w.grid.axes[1]
	first := w.enough(sh, y)
	for i := next(&sh.filled, w.enough(sh, x)); i >= 0; i = next(&sh.filled, i+1) {
		if w.leavesMore(i, lane(sh.shares, x)) {
			return
		}
		row := sh.rows[i]
		for j := next(&row.filled, first); j >= 0; j = next(&row.filled, j+1) {
			if w.leavesMore(j, lane(sh.shares, y)) {
				break
			}
			w.readFree(sh, row.cells[j])
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

// next returns the first line that is marked as filled from the given one on,
// -1 for none.
func next(filled *[levels / 64]uint64, from int) int {
	for i := from / 64; i < len(filled); i++ {
		word := filled[i]
		if skip := from - i*64; skip > 0 {
			word = word >> skip << skip
		}
		if word != 0 {
			return i*64 + bits.TrailingZeros64(word)
		}
	}
	return -1
}

// readUsed looks at the slots of a cell that may be better than the best so far,
// for Balance.
func (w *search) readUsed(sh *shape, c *cell, ahead int32) {
	if exceeds(c.least, sh.shares[:len(c.least)], w.limit) || c.entries[0].share()+ahead > w.most || !c.admits(w.q) {
		return
	}
	bound := int32(dominantAfter(c.least, sh.shares[:len(c.least)]))
	vain := true
	shares, words := w.sched.ledger.shares, len(sh.shares)
	for i := 0; i < len(c.entries); i++ {
		e := c.entries[i]
		switch share := e.share() + ahead; {
		case share > w.most:
			return
		case !w.mask.has(e.slot()):
			continue
		case max(share, bound) == w.most && w.best.slot >= 0 && !e.rank().sooner(w.best):
			// nor are those of the same share that follow
			if share == w.most {
				return
			}
			i, _ = slices.BinarySearch(c.entries, e.nextShare())
			i--
			continue
		}
		taken := shares[e.slot()*words:][:words]
		if exceeds(taken, sh.shares, w.limit) {
			continue
		}
		if w.take(rank{dominantAfter(taken, sh.shares), e.rank().count, e.slot()}) {
			vain = false
		}
	}
	if vain {
		c.readInVain(w.sched)
	}
}

// readFree looks at the slots of a cell if they may be better than the best so
// far, for Pack.
func (w *search) readFree(sh *shape, c *cell) {
	bound := restAtLeast(c.least, c.most, sh.shares[:len(c.least)])
	if !sh.used {
		bound += unusedMachine
	}
	if w.best.slot >= 0 && bound > w.best.value || !c.admits(w.q) {
		return
	}
	vain := true
	shares, words := w.sched.ledger.shares, len(sh.shares)
	for _, e := range c.entries {
		if w.best.slot >= 0 && bound == w.best.value && e.slot() > w.best.slot {
			return
		}
		if !w.mask.has(e.slot()) {
			continue
		}
		value := restAfter(shares[e.slot()*words:][:words], sh.shares)
		if !sh.used {
			value += unusedMachine
		}
		if w.take(rank{value, 0, e.slot()}) {
			vain = false
		}
	}
	if vain {
		c.readInVain(w.sched)
	}
}

// take takes a slot for the best if it ranks before that and has room, and
// reports whether it does.
func (w *search) take(r rank) bool {
	if !r.before(w.best) || !w.sched.ledger.fits(r.slot, w.q) {
		return false
	}
	w.best = r
	w.atMost(int32(min(r.value, laneLimit)))
	return true
}
