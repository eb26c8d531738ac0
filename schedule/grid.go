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
// For Balance the row is the resource of which the largest share is used, and
// the entries of a cell are in order of that share; the line is that of the
// used share of another resource. For Pack row and line are those of the free
// shares of two resources. The two resources are those most in demand; which
// they are changes how long a search takes, not what it finds.
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

	last  int32   // the value of the last that was found, for Balance
	where []place // by slot
	stale []int   // slots that have changed since they were filed
	fresh bitset  // slots that are not in stale
}

// place is the cell that a slot is filed in, and its entry there; shape is nil
// for none.
type place struct {
	shape     *shape
	row, line uint8
	entry     entry
}

// levels is how many rows and columns a grid has.
const levels = 128

// shape is the grid of machines with one nominal capacity.
type shape struct {
	nominal []int64
	used    bool // by units other than global ones
	// slack is by how much a machine can have more, in shares.
	slack  []int32
	rows   [levels]*gridRow
	filled [levels / 64]uint64
	// Of the search that is on: the parcel's shares in a machine of the shape.
	shares []uint64
}

type gridRow struct {
	cells  [levels]*cell
	filled [levels / 64]uint64
}

// cell holds slots with about the same shares.
type cell struct {
	entries []entry  // ascending
	room    []int64  // at least what the slot with most has left, by resource
	least   []uint64 // at most the smallest share
	most    []uint64 // at least the largest share
	loose   bool     // a slot has left, or changed, since the bounds were tight
	waste   int      // how often the cell was read in vain since
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

// usedLine is the line of a used share, for Balance: a quarter of as many as
// level has, as a search reads many cells and each is in order anyway.
func usedLine(x int32) int { return level(x) / 4 }

// usedFrom is the least used share of a line.
func usedFrom(line int) int32 { return lineStart(4 * line) }

// freeLine is the line of a free share, for Pack: half as many as level has, as
// Pack has machines all over the square.
func freeLine(x int32) int { return level(x) / 2 }

// freeFrom is the least free share of a line, and less than all of the line
// before.
func freeFrom(line int) int32 { return lineStart(2 * line) }

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
		c := to.shape.rows[to.row].cells[to.line]
		c.stretch(g.sched, slot)
		c.loose = true
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
	at.row = uint8(min(first, levels-1))
	at.line = uint8(usedLine(lane(shares, g.other(int(at.row)))))
	at.entry = newEntry(most, s.counts.of(slot), slot)
	return at
}

// other is the resource by whose share the lines of a row go, for Balance.
func (g *grid) other(row int) int {
	if row == g.axes[0] {
		return g.axes[1]
	}
	return g.axes[0]
}

func (g *grid) shapeOf(slot int) *shape {
	s := g.sched
	width := s.ledger.width
	nominal := s.ledger.nominal[slot*width : slot*width+len(s.ledger.names)]
	used := len(s.machines[slot].residents) > 0
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
	row := sh.rows[at.row]
	if row == nil {
		row = &gridRow{}
		sh.rows[at.row] = row
	}
	c := row.cells[at.line]
	if c == nil {
		c = &cell{}
		row.cells[at.line] = c
	}
	i, _ := slices.BinarySearch(c.entries, at.entry)
	c.entries = slices.Insert(c.entries, i, at.entry)
	row.filled[at.line/64] |= 1 << (at.line % 64)
	sh.filled[at.row/64] |= 1 << (at.row % 64)
}

func (sh *shape) remove(at place) {
	row := sh.rows[at.row]
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
		return
	}
	c.room, c.least, c.most = c.room[:0], c.least[:0], c.most[:0]
	if row.filled[at.line/64] &^= 1 << (at.line % 64); row.filled == [levels / 64]uint64{} {
		sh.filled[at.row/64] &^= 1 << (at.row % 64)
	}
}

// stretch widens the bounds of a cell for a slot in it.
func (c *cell) stretch(s *Scheduler, slot int) {
	l := &s.ledger
	free, shares := l.free[slot*l.width:][:len(l.names)], l.sharesIn(slot)
	if len(c.least) == 0 {
		c.room, c.least, c.most = append(c.room, free...), append(c.least, shares...), append(c.most, shares...)
		return
	}
	for r, n := range free {
		if r == len(c.room) { // a new resource, of which the others have none
			c.room = append(c.room, 0)
		}
		c.room[r] = max(c.room[r], n)
	}
	for i, q := range shares {
		if i == len(c.least) {
			c.least, c.most = append(c.least, 0), append(c.most, 0)
		}
		c.least[i], c.most[i] = laneMin(c.least[i], q), laneMax(c.most[i], q)
	}
}

// tightenAfter is how often a cell is read in vain before its bounds are made
// tight, which takes longer than to read it.
const tightenAfter = 4

// readInVain tells that a cell was read to the end, and nothing there did.
func (c *cell) readInVain(s *Scheduler) {
	if c.waste++; !c.loose || c.waste < tightenAfter {
		return
	}
	c.room, c.least, c.most = c.room[:0], c.least[:0], c.most[:0]
	for _, e := range c.entries {
		c.stretch(s, e.slot())
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
