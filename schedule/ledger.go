package schedule

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ledger keeps account of resources: what each machine has, and what the units
// in each slot take of it.
//
//	             cpu  memory  disk  gpu
//	slot 0  [     .       .     .    .  ]   capacity, free, weighed, shares:
//	slot 1  [     .       .     .    .  ]   one row a slot, width columns each
//
// Resources are numbered in the order in which they are met, cpu, memory and
// disk first. Requests are held against the capacity; requests and estimates
// together are weighed, for ranking only.
//
// Shares are the weight in 1/2048 of the nominal capacity, rounded down, which
// is the capacity cut to its 5 leading bits: machines that differ by kilobytes
// count as equal.
type ledger struct {
	names  []string
	number map[string]int
	sorted []int // see byName
	width  int   // columns, at least len(names), and a multiple of lanesPerWord

	capacity []int64 // unlimited for what is not reported
	free     []int64 // what requests leave of it, negative if they exceed it
	weighed  []int64
	nominal  []int64
	shares   []uint64 // in lanes

	// reported adds up what is reported, by resource, and reporting counts the
	// machines: the mean machine.
	reported  []int64
	reporting int64
	mean      []int64 // what the mean machine has
	// demand adds up what active units ask for and are estimated at, placed or
	// not, by resource.
	demand []int64
	// bags has the counters of units, each once, by their text; last is the one
	// asked for last, as the next may be the same. key is scratch.
	bags map[string]*bag
	last *bag
	key  []byte
	// weights counts the units placed that weigh anything, estimates those of
	// them that have an estimate.
	weights, estimates int
}

const (
	unlimited  = math.MaxInt64
	wholeShare = 2048
)

// A machine that does not report its capacity ranks as one of this size, so
// that it does not look empty for ever beside those that do.
var assumedCapacity = [...]int64{4000, 16 << 30, 256 << 30}

func newLedger() ledger {
	l := ledger{number: map[string]int{}, bags: map[string]*bag{}}
	for _, name := range []string{nameCPU, nameMemory, nameDisk} {
		l.know(name)
	}
	return l
}

// know makes sure that a resource has a number.
func (l *ledger) know(name string) {
	if _, ok := l.number[name]; ok {
		return
	}
	l.number[name] = len(l.names)
	l.names = append(l.names, name)
	l.reported, l.mean = append(l.reported, 0), nil
	l.demand = append(l.demand, 0)
	if len(l.names) > l.width {
		l.widen()
	}
}

// byName returns the numbers of the resources: cpu, memory, disk, then the
// counters by name.
func (l *ledger) byName() []int {
	if len(l.sorted) < len(l.names) {
		l.sorted = l.sorted[:0]
		for r := range l.names {
			l.sorted = append(l.sorted, r)
		}
		slices.SortFunc(l.sorted[3:], func(a, b int) int { return strings.Compare(l.names[a], l.names[b]) })
	}
	return l.sorted
}

func (l *ledger) knowAll(r Resources) {
	for name := range r.Counters {
		if _, ok := l.number[name]; !ok {
			for _, name := range slices.Sorted(maps.Keys(r.Counters)) {
				l.know(name)
			}
			return
		}
	}
}

// widen gives each row more columns.
func (l *ledger) widen() {
	old := l.width
	l.width = max(lanesPerWord, 2*old)
	for _, column := range []*[]int64{&l.capacity, &l.free, &l.weighed, &l.nominal} {
		*column = widened(*column, old, l.width)
	}
	l.shares = widened(l.shares, old/lanesPerWord, l.width/lanesPerWord)
}

func widened[T any](rows []T, from, to int) []T {
	if from == 0 {
		return nil
	}
	out := make([]T, len(rows)/from*to)
	for i := range len(rows) / from {
		copy(out[i*to:], rows[i*from:(i+1)*from])
	}
	return out
}

// reserve makes room for so many slots.
func (l *ledger) reserve(slots int) {
	for _, column := range []*[]int64{&l.capacity, &l.free, &l.weighed, &l.nominal} {
		*column = slices.Grow(*column, slots*l.width)
	}
	l.shares = slices.Grow(l.shares, slots*l.width/lanesPerWord)
}

// addSlot adds the next slot, without capacity.
func (l *ledger) addSlot() {
	for _, column := range []*[]int64{&l.capacity, &l.free, &l.weighed, &l.nominal} {
		*column = append(*column, make([]int64, l.width)...)
	}
	l.shares = append(l.shares, make([]uint64, l.width/lanesPerWord)...)
}

// setCapacity gives a slot the capacity of its machine.
func (l *ledger) setCapacity(slot int, m Machine) {
	if m.Capacity == nil {
		for r := range l.names {
			if r < len(assumedCapacity) {
				l.resize(slot*l.width+r, unlimited, assumedCapacity[r])
			} else {
				l.resize(slot*l.width+r, 0, 0)
			}
		}
		return
	}
	l.knowAll(*m.Capacity)
	for r, name := range l.names {
		n := m.Capacity.of(name)
		l.resize(slot*l.width+r, n, n)
	}
}

// resize sets a capacity, and one for ranking.
func (l *ledger) resize(i int, capacity, ranking int64) {
	l.free[i] = capacity - l.requested(i)
	l.capacity[i], l.nominal[i] = capacity, nominal(ranking)
	l.reckon(i)
}

// requested is what units request in sum.
func (l *ledger) requested(i int) int64 { return l.capacity[i] - l.free[i] }

// report counts a machine into the mean one, or with n = -1 out of it.
func (l *ledger) report(m Machine, n int64) {
	if m.Capacity == nil {
		return
	}
	l.knowAll(*m.Capacity)
	l.reporting += n
	l.reported[0] += n * m.Capacity.CPU
	l.reported[1] += n * m.Capacity.Memory
	l.reported[2] += n * m.Capacity.Disk
	for name, amount := range m.Capacity.Counters {
		l.reported[l.number[name]] += n * amount
	}
	l.mean = l.mean[:0] // to be reckoned
}

// meanMachine is what machines that report have in the mean, nil if there are
// none.
func (l *ledger) meanMachine() []int64 {
	if l.reporting == 0 {
		return nil
	}
	if len(l.mean) == 0 {
		for _, n := range l.reported {
			l.mean = append(l.mean, n/l.reporting)
		}
	}
	return l.mean
}

// nominal cuts an amount to its 5 leading bits.
func nominal(n int64) int64 {
	cut := int64(1)
	for n/cut >= 32 {
		cut *= 2
	}
	return n / cut * cut
}

// reckon computes a share anew.
func (l *ledger) reckon(i int) { setLane(l.shares, i, share(l.weighed[i], l.nominal[i])) }

// sharesIn is the shares that are taken in a slot.
func (l *ledger) sharesIn(slot int) []uint64 {
	words := l.width / lanesPerWord
	return l.shares[slot*words : (slot+1)*words]
}

// share is an amount in 1/2048 of a whole. Of nothing, any amount is twice the
// whole.
func share(amount, whole int64) int32 {
	switch {
	case amount <= 0:
		return 0
	case amount >= whole*2 || amount >= 2*MaxAmount:
		return 2 * wholeShare
	}
	return int32(amount * wholeShare / whole)
}

// take adds what a unit takes in a slot; with n = -1 it gives it back.
func (l *ledger) take(slot int, u *unit, n int64) {
	if !u.heavy {
		return
	}
	l.weights += int(n)
	l.add(slot, &u.spec.Request, u.request, n, n)
	if u.estimated {
		l.add(slot, &u.spec.Estimate, u.estimate, 0, n)
		l.estimates += int(n)
	}
}

// takeParcel is take for the one unit that a parcel is of.
func (l *ledger) takeParcel(slot int, q *parcel) {
	if !q.heavy {
		return
	}
	l.weights++
	if q.estimated {
		l.estimates++
	}
	row := slot * l.width
	for r, n := range q.weighed {
		if n != 0 {
			l.addTo(row+r, q.requested[r], n)
		}
	}
}

func (l *ledger) add(slot int, r *Resources, counters *bag, requested, weighed int64) {
	row := slot * l.width
	for i, n := range [...]int64{r.CPU, r.Memory, r.Disk} {
		if n != 0 {
			l.addTo(row+i, n*requested, n*weighed)
		}
	}
	for _, c := range counters.all() {
		l.addTo(row+c.r, c.n*requested, c.n*weighed)
	}
}

func (l *ledger) addTo(i int, requested, weighed int64) {
	l.free[i] -= requested
	l.weighed[i] += weighed
	l.reckon(i)
}

// want adds what an active unit wants to the demand.
func (l *ledger) want(u *unit, n int64) {
	if !u.heavy {
		return
	}
	l.addAmounts(l.demand, &u.spec.Request, u.request, n)
	l.addAmounts(l.demand, &u.spec.Estimate, u.estimate, n)
}

// addAmounts adds n times some resources to amounts by number.
func (l *ledger) addAmounts(to []int64, r *Resources, counters *bag, n int64) {
	to[0] += n * r.CPU
	to[1] += n * r.Memory
	to[2] += n * r.Disk
	for _, c := range counters.all() {
		to[c.r] += n * c.n
	}
}

// bag is counters by number. Equal ones are one.
type bag []counter

type counter struct {
	r int
	n int64
}

func (b *bag) all() []counter {
	if b == nil {
		return nil
	}
	return *b
}

// bag returns the counters of which there is any, nil for none, and whether
// there was no equal one before.
func (l *ledger) bag(m map[string]int64) (b *bag, isNew bool) {
	switch {
	case len(m) == 0:
		return nil, false
	case l.isLast(m):
		return l.last, false
	}
	key := l.key[:0]
	if len(m) == 1 {
		for name, n := range m {
			key = appendCounter(key, name, n)
		}
	} else {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			key = appendCounter(key, name, m[name])
		}
	}
	l.key = key
	if len(key) == 0 {
		return nil, false
	}
	if b = l.bags[string(key)]; b != nil {
		l.last = b
		return b, false
	}
	b = &bag{}
	l.last = b
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if m[name] != 0 {
			l.know(name)
			*b = append(*b, counter{l.number[name], m[name]})
		}
	}
	l.bags[string(key)] = b
	return b, true
}

// isLast reports whether the bag asked for last is of these counters.
func (l *ledger) isLast(m map[string]int64) bool {
	if len(l.last.all()) != len(m) {
		return false
	}
	for _, c := range l.last.all() {
		if m[l.names[c.r]] != c.n { // which is not 0
			return false
		}
	}
	return true
}

// check is that of resources; counters that are known have been checked.
func (l *ledger) check(r *Resources) error {
	if len(r.Counters) == 0 || l.isLast(r.Counters) {
		return r.checkCommon()
	}
	return r.check()
}

func appendCounter(to []byte, name string, n int64) []byte {
	if n == 0 {
		return to
	}
	return append(strconv.AppendInt(append(append(to, name...), 0), n, 10), 0)
}

// parcel is what units take together, by resource. If there are no estimates
// both may be one.
type parcel struct {
	requested []int64
	weighed   []int64
	// heavy: any of it is not zero; estimated: there are estimates.
	heavy, estimated bool
}

// reset makes the parcel empty.
func (l *ledger) reset(q *parcel) {
	for _, v := range []*[]int64{&q.requested, &q.weighed} {
		if cap(*v) < len(l.names) {
			*v = make([]int64, len(l.names))
		}
		*v = (*v)[:len(l.names)]
		clear(*v)
	}
	q.heavy, q.estimated = false, false
}

// newParcel returns what units take, in the memory given, or some more.
func (l *ledger) newParcel(units []*unit, from *[]int64) parcel {
	n := len(l.names)
	if len(*from) < 2*n {
		*from = make([]int64, 1024*n)
	}
	amounts := *from
	q := parcel{requested: amounts[:n:n]}
	amounts = amounts[n:]
	for _, u := range units {
		q.heavy = q.heavy || u.heavy
		q.estimated = q.estimated || u.estimated
		if u.heavy {
			l.addAmounts(q.requested, &u.spec.Request, u.request, 1)
		}
	}
	q.weighed = q.requested
	if q.estimated {
		q.weighed = amounts[:n:n]
		amounts = amounts[n:]
		copy(q.weighed, q.requested)
		for _, u := range units {
			l.addAmounts(q.weighed, &u.spec.Estimate, u.estimate, 1)
		}
	}
	*from = amounts
	return q
}

// addUnit adds what a unit takes to a parcel, or with n = -1 subtracts it.
func (l *ledger) addUnit(q *parcel, u *unit, n int64) {
	if !u.heavy {
		return
	}
	q.heavy, q.estimated = true, q.estimated || u.estimated
	l.addAmounts(q.requested, &u.spec.Request, u.request, n)
	l.addAmounts(q.weighed, &u.spec.Request, u.request, n)
	l.addAmounts(q.weighed, &u.spec.Estimate, u.estimate, n)
}

// parcelOf is what units take together.
func (s *Scheduler) parcelOf(units []*unit) parcel {
	var q parcel
	s.ledger.reset(&q)
	for _, u := range units {
		s.ledger.addUnit(&q, u, 1)
	}
	return q
}

// fits reports whether a slot has what is requested left.
func (l *ledger) fits(slot int, q *parcel) bool {
	if !q.heavy {
		return true
	}
	row := slot * l.width
	for r, n := range q.requested {
		if n > 0 && n > l.free[row+r] {
			return false
		}
	}
	return true
}

// overfull reports whether more is requested in a slot than there is.
func (l *ledger) overfull(slot int) bool {
	row := slot * l.width
	for r := range l.names {
		if l.free[row+r] < 0 {
			return true
		}
	}
	return false
}

// dominant is the largest share of the requests of a parcel in a slot's machine.
func (l *ledger) dominant(slot int, q *parcel) int32 {
	row := slot * l.width
	most := int32(0)
	for r, n := range q.requested {
		if n > 0 {
			most = max(most, share(n, l.nominal[row+r]))
		}
	}
	return most
}

// meanShare is the largest share of a parcel in the mean machine.
func (l *ledger) meanShare(q *parcel) int32 {
	mean := l.meanMachine()
	if !q.heavy || mean == nil {
		return 0
	}
	most := int32(0)
	for r, n := range q.requested {
		if n > 0 {
			most = max(most, share(n, mean[r]))
		}
	}
	return most
}
