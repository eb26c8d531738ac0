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
	switch {
	case s.goesByCount(q):
		return s.counts.least(mask, func(slot int) bool { return s.ledger.fits(slot, q) })
	case !mask.moreThan(fewSlots):
		return s.scan(mask, q).slot
	}
	return s.grid.find(s, mask, q)
}

// goesByCount reports whether the number of units is all that machines are
// ranked by.
func (s *Scheduler) goesByCount(q *parcel) bool {
	return s.scoring == LeastLoaded || s.scoring == Balance && s.ledger.weights == 0 && !q.heavy
}

// scan looks at all slots of mask. It is what every index has to agree with.
func (s *Scheduler) scan(mask bitset, q *parcel) rank {
	best := nowhere
	for slot := range mask.all {
		if !s.ledger.fits(slot, q) {
			continue
		}
		if r := s.rankWith(slot, q); r.before(best) {
			best = r
		}
	}
	return best
}

// rankWith ranks a slot for a parcel.
func (s *Scheduler) rankWith(slot int, q *parcel) rank {
	s.shares = s.ledger.sharesOf(q, s.ledger.nominal[slot*s.ledger.width:], s.shares)
	return s.rank(slot, s.shares)
}

// sharesOf returns what shares a parcel takes of a nominal capacity, in buf.
func (l *ledger) sharesOf(q *parcel, nominal []int64, buf []uint64) []uint64 {
	buf = slices.Grow(buf[:0], l.width/lanesPerWord)[:l.width/lanesPerWord]
	clear(buf)
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
	want  int    // how many are sought
	found []rank // the best so far
	last  rank   // the last of them, nowhere as long as there are fewer
	most  int32  // the value of the last, or as much as there can be
	limit uint64 // most, see exceeds
	seen  *cell  // has been read already
	// The shares of q in the nominal capacity that was looked at last.
	nominal []int64
	shares  []uint64
}

// find returns the slot that scan does.
func (g *grid) find(s *Scheduler, mask bitset, q *parcel) int {
	if g.found = g.findFirst(s, mask, q, 1, g.found[:0]); len(g.found) == 0 {
		return -1
	}
	return g.found[0].slot
}

// findFirst appends, in order, those that rank first of the slots of mask that
// a parcel fits in, so many if there are.
func (g *grid) findFirst(s *Scheduler, mask bitset, q *parcel, want int, found []rank) []rank {
	g.refresh(s)
	w := search{sched: s, grid: g, mask: mask, q: q, want: want, found: found, last: nowhere}
	w.atMost(maxValue)
	if s.scoring == Pack {
		if w.walkAll(true); len(w.found) < want {
			w.walkAll(false)
		}
		return w.found
	}
	w.readPromising()
	w.walkUsed()
	return w.found
}

// maxValue is as much as the shares of what is taken and of what comes, each at
// most twice the whole, can be in sum.
const maxValue = 4 * wholeShare

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

// walk looks through the cells of a shape, for Pack.
func (w *search) walk(sh *shape) {
	if len(sh.planes) > 0 && sh.planes[0].filled != [levels / 64]uint64{} {
		w.measure(sh)
		w.walkFree(sh)
	}
}

// measure makes known what shares the parcel takes in a shape.
func (w *search) measure(sh *shape) {
	if w.nominal == nil || !slices.Equal(w.nominal, sh.nominal) {
		w.nominal, w.shares = sh.nominal, w.sched.ledger.sharesOf(w.q, sh.nominal, sh.shares)
	}
	sh.shares = w.shares
}

// readPromising reads the cell that may hold the best, for Balance, so that few
// others have to be read.
func (w *search) readPromising() {
	var at place
	least := int32(maxValue + 1)
	for _, sh := range w.grid.shapes {
		w.measure(sh)
		for k, p := range sh.planes {
			if p == nil {
				continue
			}
			ahead, across := w.coming(sh, k)
			for i := next(&p.filled, 0); i >= 0 && usedFrom(i)+ahead < least; i = next(&p.filled, i+1) {
				j := next(&p.rows[i].filled, 0)
				if n := max(usedFrom(i)+ahead, usedFrom(j)+across); n < least {
					at, least = place{shape: sh, plane: uint8(k), row: uint8(i), line: uint8(j)}, n
				}
			}
		}
	}
	if at.shape != nil {
		row := at.shape.planes[at.plane].rows[at.row]
		ahead, _ := w.coming(at.shape, int(at.plane))
		w.readUsed(at.shape, row, int(at.line), ahead)
		w.seen = row.cells[at.line]
	}
}

// coming is what comes, for Balance, of the resource of a plane, and of the one
// that the lines go by.
func (w *search) coming(sh *shape, plane int) (ahead, across int32) {
	if plane < levels-1 { // the last is that of all further resources
		ahead = lane(sh.shares, plane)
	}
	return ahead, lane(sh.shares, w.grid.other(plane))
}

// walkUsed goes through the planes of all shapes, for Balance.
func (w *search) walkUsed() {
	for _, sh := range w.grid.shapes {
		w.measure(sh)
		for k, p := range sh.planes {
			if p != nil {
				w.walkPlane(sh, p, k)
			}
		}
	}
}

// walkPlane goes through the rows and lines of a plane, for Balance, from the
// least used shares until no later one can hold better.
func (w *search) walkPlane(sh *shape, p *plane, k int) {
	coming := sh.shares[0]
	ahead, across := w.coming(sh, k)
	for i := next(&p.filled, 0); i >= 0 && usedFrom(i)+ahead <= w.most; i = next(&p.filled, i+1) {
		row := p.rows[i]
		for j := next(&row.filled, 0); j >= 0 && usedFrom(j)+across <= w.most; j = next(&row.filled, j+1) {
			if !beyond(row.least[j]+coming, w.limit) && w.mayTake(row.first[j], ahead) && row.cells[j] != w.seen {
				w.readUsed(sh, row, j, ahead)
			}
		}
	}
}

// mayTake reports whether a slot may be better than the best so far, for
// Balance, judged by one share alone. If it is not, nor are those that follow it
// in its cell.
func (w *search) mayTake(e entry, ahead int32) bool {
	share := e.share() + ahead
	return share < w.most || share == w.most && (w.last.slot < 0 || e.rank().sooner(w.last))
}

// walkFree goes through rows and lines, for Pack, from the least free shares
// that may be enough to those that leave too much, or too unevenly, to rank
// before the last of the best.
func (w *search) walkFree(sh *shape) {
	x, y := w.grid.axes[0], w.grid.axes[1]
	comingX, comingY := lane(sh.shares, x), lane(sh.shares, y)
	first, p := w.enough(sh, y), sh.planes[0]
	for i := next(&p.filled, w.enough(sh, x)); i >= 0; i = next(&p.filled, i+1) {
		lowX, highX := leftOn(i, comingX)
		if w.isAfter(sh, lowX) {
			return
		}
		row := p.rows[i]
		for j := next(&row.filled, first); j >= 0; j = next(&row.filled, j+1) {
			lowY, highY := leftOn(j, comingY)
			if !w.isAfter(sh, lowX+lowY+imbalance*max(0, lowX-highY, lowY-highX)) {
				w.readFree(sh, row, j)
			} else if lowY >= highX { // and more and more so
				break
			}
		}
	}
}

// leftOn is what machines of a line have left, at least and at most, when
// something comes; anything, if that does not matter as nothing does.
func leftOn(line int, coming int32) (low, high int64) {
	if coming == 0 {
		return 0, unusedMachine
	}
	return int64(max(0, freeFrom(line)-coming)), int64(max(0, freeFrom(line+1)-1-coming))
}

// isAfter reports whether what leaves that much, or more, in a machine of a
// shape ranks after the last of the best.
func (w *search) isAfter(sh *shape, left int64) bool {
	if !sh.used {
		left += unusedMachine
	}
	return w.last.slot >= 0 && left > w.last.value
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

// next returns the first line that is marked as filled from the given one on,
// -1 for none.
func next(filled *[levels / 64]uint64, from int) int {
	i := from / 64
	if i >= len(filled) {
		return -1
	}
	if word := filled[i] >> (from % 64); word != 0 {
		return from + bits.TrailingZeros64(word)
	}
	for i++; i < len(filled); i++ {
		if filled[i] != 0 {
			return i*64 + bits.TrailingZeros64(filled[i])
		}
	}
	return -1
}

// readUsed looks at the slots of a cell that may be better than the best so far,
// for Balance; ahead is what comes of the resource of the plane.
func (w *search) readUsed(sh *shape, row *gridRow, j int, ahead int32) {
	c := row.cells[j]
	// There is room where less than the whole is taken in the end.
	if w.most >= wholeShare && !c.admits(w.q) {
		return
	}
	after := row.least[j] + sh.shares[0]
	vain, read := true, 0
	shares, words := w.sched.ledger.shares, len(sh.shares)
	for k := 0; k < len(c.entries); k++ {
		e := c.entries[k]
		read++
		switch share := e.share() + ahead; {
		case share > w.most:
			return
		case !w.mask.has(e.slot()):
			continue
		case (share == w.most || w.noBetter(after)) && w.last.slot >= 0 && !e.rank().sooner(w.last):
			// nor are those of the same share that follow
			if share == w.most {
				return
			}
			k, _ = slices.BinarySearch(c.entries, e.nextShare())
			k--
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
		row.readInVain(w.sched, j, read)
	}
}

// noBetter reports whether shares as large as these are worth no less than the
// most that is considered.
func (w *search) noBetter(after uint64) bool {
	return beyond(after, w.limit-laneOnes)
}

// readFree looks at the slots of a cell if they may be better than the best so
// far, for Pack.
func (w *search) readFree(sh *shape, row *gridRow, j int) {
	c := row.cells[j]
	unused := int64(0)
	if !sh.used {
		unused = unusedMachine
	}
	bound := unused + restAtLeast(row.least[j], row.most[j], sh.shares[0])
	if w.last.slot >= 0 && bound > w.last.value || !c.admits(w.q) {
		return
	}
	vain := true
	shares, words := w.sched.ledger.shares, len(sh.shares)
	for _, e := range c.entries {
		if w.last.slot >= 0 && bound == w.last.value && e.slot() > w.last.slot {
			return
		}
		if !w.mask.has(e.slot()) {
			continue
		}
		value := unused + restAfter(shares[e.slot()*words:][:words], sh.shares)
		if w.take(rank{value, 0, e.slot()}) {
			vain = false
		}
	}
	if vain {
		row.readInVain(w.sched, j, len(c.entries))
	}
}

// take takes a slot for one of the best if it ranks before the last of those and
// has room, and reports whether it does.
func (w *search) take(r rank) bool {
	if !r.before(w.last) || !w.sched.ledger.fits(r.slot, w.q) {
		return false
	}
	if len(w.found) == w.want {
		w.found = w.found[:w.want-1]
	}
	w.found = append(w.found, r)
	for i := len(w.found) - 1; i > 0 && r.before(w.found[i-1]); i-- {
		w.found[i-1], w.found[i] = r, w.found[i-1]
	}
	if len(w.found) == w.want {
		w.last = w.found[w.want-1]
		w.atMost(int32(min(w.last.value, maxValue)))
	}
	return true
}
