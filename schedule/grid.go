package schedule

import (
	"math/bits"
	"slices"
	"strconv"
)

// grid finds the machine that a strategy ranks first without looking at all.
// Machines of one shape, that is of one nominal capacity, are filed in cells by
// the shares that are used or free; machines in use and others apart:
//
//	                      line of the share
//	            0  1  2  .  .  .
//	        0 [ .  .  .  .  .  . ]   a cell: entries in order, and bounds on
//	row     1 [ .  #  #  .  .  . ]   what its slots have left and on their shares
//	        . [ .  .  #  #  .  . ]
//
// For Balance there is such a plane for each resource, of the machines of which
// the largest share is used of that: the row is this share's, the line that of
// the used share of another resource, and the entries of a cell are in order of
// the largest share. What comes adds to both, so a corner of a plane has all
// that can rank before a machine, and the cells there are few and small. For
// Pack row and line are those of the free shares of two resources. The two
// resources are those most in demand; which they are changes how long a search
// takes, not what it finds.
//
// A search walks the cells that hold machines, leaves out those whose bounds say
// that nothing there fits or ranks before the best so far, and reads the entries
// of the others until none can be better. Bounds only ever promise too much:
// they are raised when a slot comes, and tightened now and then. So the answer
// is that of looking at every slot.
type grid struct {
	sched   *Scheduler
	scoring Strategy
	axes    [2]int

	shapes []*shape
	byName map[string]*shape

	where []place // by slot
	stale []int   // slots that have changed since they were filed
	fresh bitset  // slots that are not in stale
	found []rank  // scratch
}

// place is the cell that a slot is filed in, and its entry there; shape is nil
// for none.
type place struct {
	shape            *shape
	plane, row, line uint8
	entry            entry
}

// levels is how many rows and columns a grid has.
const levels = 128

// shape is the grid of machines with one nominal capacity.
type shape struct {
	nominal []int64
	used    bool // by units other than global ones
	// slack is by how much a machine can have more, in shares.
	slack  []int32
	planes []*plane // nil for those that never had any
	// Of the search that is on: the parcel's shares in a machine of the shape.
	shares []uint64
}

// plane is rows of cells: for Balance those of the machines of which the most is
// taken of one resource; Pack has but one.
type plane struct {
	rows   [levels]*gridRow
	filled [levels / 64]uint64
}

// gridRow is cells side by side. Their bounds are too, and hold for the first
// resources alone, so that a search that leaves out most cells reads little.
type gridRow struct {
	cells  [levels]*cell
	filled [levels / 64]uint64
	first  [levels]entry  // of each cell that is not empty
	least  [levels]uint64 // at most the smallest share; vacant for an empty cell
	most   [levels]uint64 // at least the largest share
}

// vacant is more than any share.
const vacant = 0x4000 * laneOnes

func newRow() *gridRow {
	row := &gridRow{}
	for i := range row.least {
		row.least[i] = vacant
	}
	return row
}

// cell holds slots with about the same shares.
type cell struct {
	entries []entry // ascending
	room    []int64 // at least what the slot with most has left, by resource
	loose   bool    // a slot has left, or changed, since the bounds were tight
	waste   int     // how many entries were read in vain since
}

// entry is a slot in a cell: from the highest bits the share that Balance orders
// by, the number of units, the slot. For Pack share and number are 0.
type entry uint64

const (
	entrySlotBits  = 24
	entryCountBits = 24
)

func newEntry(share int32, count, slot int) entry {
	return entry(share)<<(entryCountBits+entrySlotBits) | entry(min(count, 1<<entryCountBits-1))<<entrySlotBits | entry(slot)
}

func (e entry) share() int32 { return int32(e >> (entryCountBits + entrySlotBits)) }

func (e entry) slot() int { return int(e & (1<<entrySlotBits - 1)) }

// rank is that of the slot if nothing is added.
func (e entry) rank() rank {
	return rank{int64(e.share()), int(e >> entrySlotBits & (1<<entryCountBits - 1)), e.slot()}
}

// nextShare is less than all entries of larger shares, and no less than others.
func (e entry) nextShare() entry {
	return (e>>(entryCountBits+entrySlotBits) + 1) << (entryCountBits + entrySlotBits)
}

// touch has a slot filed anew before the next search.
func (g *grid) touch(slot int) {
	if g.fresh.has(slot) {
		g.fresh.clear(slot)
		g.stale = append(g.stale, slot)
	}
}

// level is the line of a grid for a share x: exact below 16, then 16 lines to
// each doubling.
func level(x int32) int {
	if x < 16 {
		return max(0, int(x))
	}
	k := bits.Len32(uint32(x)) - 5
	return min(levels-1, 16+16*k+int(x>>k)-16)
}

// lineStart is the least share of a line.
func lineStart(line int) int32 {
	if line < 16 {
		return int32(line)
	}
	k := (line - 16) / 16
	return int32(16+(line-16)%16) << k
}

// usedStep is how many used shares make a line, for Balance.
const usedStep = 16

// usedLine is the line of a used share, for Balance.
func usedLine(x int32) int { return min(levels-1, int(x/usedStep)) }

// usedFrom is the least used share of a line.
func usedFrom(line int) int32 { return int32(line) * usedStep }

// freeLine is the line of a free share, for Pack: half as many as level has, as
// Pack has machines all over the square, and the other half for those of which
// hardly anything is taken, each share its own: machines not yet in use are many
// and nearly the same, and where they are quite the same one is enough to know.
func freeLine(x int32) int {
	if taken := wholeShare - x; taken < levels/2 {
		return levels - 1 - int(max(0, taken))
	}
	return level(x) / 2
}

// freeFrom is the least free share of a line, and less than all of the line
// before.
func freeFrom(line int) int32 {
	if line >= levels/2 {
		return wholeShare - int32(levels-1-line)
	}
	return lineStart(2 * line)
}

// refresh files the slots that have changed.
func (g *grid) refresh(s *Scheduler) {
	if g.sched == nil || g.scoring != s.scoring || !s.ledger.stillAxes(g.axes) {
		*g = grid{sched: s, scoring: s.scoring, byName: map[string]*shape{}, axes: s.ledger.axes()}
	}
	for slot := len(g.where); slot < len(s.machines); slot++ {
		g.where = append(g.where, place{})
		g.stale = append(g.stale, slot)
	}
	for _, slot := range g.stale {
		g.file(slot)
		g.fresh.set(slot)
	}
	g.stale = g.stale[:0]
}

// axes returns the two resources most in demand, in shares of the mean machine.
func (l *ledger) axes() [2]int {
	first, second := 0, 1
	if l.pressure(1) > l.pressure(0) {
		first, second = 1, 0
	}
	for _, r := range l.byName()[2:] { // not by number, which depends on what came before
		switch p := l.pressure(r); {
		case p > l.pressure(first):
			first, second = r, first
		case p > l.pressure(second):
			second = r
		}
	}
	return [2]int{first, second}
}

// pressure is the demand for a resource in 1/2048 of mean machines.
func (l *ledger) pressure(r int) int64 {
	if l.reporting == 0 || l.reported[r] == 0 {
		return 0
	}
	return l.demand[r] / max(1, l.reported[r]/l.reporting/wholeShare)
}

// stillAxes reports whether no other resource is in clearly more demand.
func (l *ledger) stillAxes(axes [2]int) bool {
	low := min(l.pressure(axes[0]), l.pressure(axes[1]))
	for r := range l.names {
		if p := l.pressure(r); r != axes[0] && r != axes[1] && p > low+low/8 {
			return false
		}
	}
	return true
}

// file puts a slot into the cell where it belongs.
func (g *grid) file(slot int) {
	from, to := g.where[slot], g.locate(slot)
	if from != to {
		if from.shape != nil {
			from.shape.remove(from)
		}
		g.where[slot] = to
		if to.shape != nil {
			to.shape.insert(to)
		}
	}
	if to.shape != nil {
		to.shape.planes[to.plane].rows[to.row].stretch(g.sched, int(to.line), slot)
	}
}

// locate finds the cell where a slot belongs.
func (g *grid) locate(slot int) place {
	s := g.sched
	if !s.alive.has(slot) {
		return place{}
	}
	shares := s.ledger.sharesIn(slot)
	at := place{shape: g.shapeOf(slot)}
	if g.scoring == Pack {
		at.row = uint8(freeLine(wholeShare - lane(shares, g.axes[0])))
		at.line = uint8(freeLine(wholeShare - lane(shares, g.axes[1])))
		at.entry = newEntry(0, 0, slot)
		return at
	}
	first, most := firstLargest(shares)
	at.plane = uint8(min(first, levels-1))
	at.row = uint8(usedLine(most))
	at.line = uint8(usedLine(lane(shares, g.other(int(at.plane)))))
	at.entry = newEntry(most, s.counts.of(slot), slot)
	return at
}

// other is the resource by whose share the lines of a plane go, for Balance.
func (g *grid) other(plane int) int {
	if plane == g.axes[0] {
		return g.axes[1]
	}
	return g.axes[0]
}

func (g *grid) shapeOf(slot int) *shape {
	s := g.sched
	width := s.ledger.width
	nominal := s.ledger.nominal[slot*width : slot*width+len(s.ledger.names)]
	used := g.scoring == Pack && s.inhabited(slot)
	if sh := g.where[slot].shape; sh != nil && sh.used == used && slices.Equal(sh.nominal, nominal) && sh.slack != nil {
		return sh
	}
	name := make([]byte, 0, 64)
	name = strconv.AppendBool(name, used)
	for r, n := range nominal {
		if n != 0 {
			name = strconv.AppendInt(append(name, ' '), int64(r), 10)
			name = strconv.AppendInt(append(name, '='), n, 10)
		}
	}
	sh := g.byName[string(name)]
	if sh == nil {
		sh = &shape{used: used}
		g.byName[string(name)] = sh
		g.shapes = append(g.shapes, sh)
	}
	sh.nominal = slices.Clone(nominal)
	sh.slack = slices.Grow(sh.slack, len(nominal))[:len(nominal)]
	for r, n := range nominal {
		if l := &s.ledger; n > 0 {
			sh.slack[r] = max(sh.slack[r], share(l.capacity[slot*l.width+r], n)-wholeShare)
		}
	}
	return sh
}

func (sh *shape) insert(at place) {
	for len(sh.planes) <= int(at.plane) {
		sh.planes = append(sh.planes, nil)
	}
	p := sh.planes[at.plane]
	if p == nil {
		p = &plane{}
		sh.planes[at.plane] = p
	}
	row := p.rows[at.row]
	if row == nil {
		row = newRow()
		p.rows[at.row] = row
	}
	c := row.cells[at.line]
	if c == nil {
		c = &cell{}
		row.cells[at.line] = c
	}
	i, _ := slices.BinarySearch(c.entries, at.entry)
	c.entries = slices.Insert(c.entries, i, at.entry)
	row.first[at.line] = c.entries[0]
	row.filled[at.line/64] |= 1 << (at.line % 64)
	p.filled[at.row/64] |= 1 << (at.row % 64)
}

func (sh *shape) remove(at place) {
	p := sh.planes[at.plane]
	row := p.rows[at.row]
	c := row.cells[at.line]
	switch i, ok := slices.BinarySearch(c.entries, at.entry); {
	case ok && i == 0: // as when new machines are taken one after the other
		c.entries = c.entries[1:]
		c.loose = true
	case ok:
		c.entries = slices.Delete(c.entries, i, i+1)
		c.loose = true
	}
	if len(c.entries) > 0 {
		row.first[at.line] = c.entries[0]
		return
	}
	c.room, row.least[at.line] = c.room[:0], vacant
	if row.filled[at.line/64] &^= 1 << (at.line % 64); row.filled == [levels / 64]uint64{} {
		p.filled[at.row/64] &^= 1 << (at.row % 64)
	}
}

// stretch widens the bounds of a cell for a slot in it.
func (row *gridRow) stretch(s *Scheduler, line, slot int) {
	l, c := &s.ledger, row.cells[line]
	free, taken := l.free[slot*l.width:][:len(l.names)], l.sharesIn(slot)[0]
	c.loose = true
	if len(c.room) == 0 {
		c.room, row.least[line], row.most[line] = append(c.room, free...), taken, taken
		return
	}
	for r, n := range free {
		if r == len(c.room) { // a new resource, of which the others have none
			c.room = append(c.room, 0)
		}
		c.room[r] = max(c.room[r], n)
	}
	row.least[line], row.most[line] = laneMin(row.least[line], taken), laneMax(row.most[line], taken)
}

// tightenAfter is how often a cell is read in vain before its bounds are made
// tight, which takes longer than to read it.
const tightenAfter = 4

// readInVain tells that entries of a cell were read, up to the last, and none
// did.
func (row *gridRow) readInVain(s *Scheduler, line, entries int) {
	c := row.cells[line]
	if c.waste += entries; !c.loose || c.waste < tightenAfter*len(c.entries) {
		return
	}
	c.room = c.room[:0]
	for _, e := range c.entries {
		row.stretch(s, line, e.slot())
	}
	c.loose, c.waste = false, 0
}

// admits reports whether some slot of the cell may have what is requested left.
func (c *cell) admits(q *parcel) bool {
	for r, n := range q.requested {
		if n > 0 && (r >= len(c.room) || n > c.room[r]) {
			return false
		}
	}
	return true
}
