package schedule

import (
	"cmp"
	"slices"
)

// Limits of pre-emption, of a plan and for one group.
const (
	defaultMaxVictims  = 100
	maxVictimsPerGroup = 10
)

// preemption is making room in a slot for a group: who has to leave.
type preemption struct {
	slot    int
	victims []*unit
	highest int   // of the priorities of the clumps they belong to
	weight  int   // of these priorities, each counted from the least one up
	size    int64 // of the clumps
}

// before reports whether a makes less of a mess than b.
func (a preemption) before(b preemption) bool {
	return cmp.Or(
		cmp.Compare(a.highest, b.highest),
		cmp.Compare(a.weight, b.weight),
		cmp.Compare(len(a.victims), len(b.victims)),
		cmp.Compare(a.size, b.size),
		cmp.Compare(a.slot, b.slot),
	) < 0
}

// preempt makes room for groups that have no place by taking units of lower
// priority from theirs, if the options allow. Victims are pending then, and may
// find another place, or make room for themselves among units of yet lower
// priority. It reports whether there were any.
func (s *Scheduler) preempt() (any bool) {
	if !s.opts.Preempt {
		return false
	}
	limit := s.opts.MaxVictims
	if limit == 0 {
		limit = defaultMaxVictims
	}
	if s.bouncer == nil {
		s.bouncer = &bouncer{s: s, slots: make([]lodging, len(s.machines))}
	}
	groups := s.pendingGroups()
	// A small one needs few victims only as long as there are any of low priority.
	slices.SortStableFunc(groups, func(x, y group) int { return cmp.Or(cmp.Compare(y.priority, x.priority), cmp.Compare(x.size, y.size)) })
	for _, g := range groups {
		best, ok := s.bouncer.leastMess(g, min(maxVictimsPerGroup, limit-s.victims))
		if !ok {
			continue
		}
		for _, v := range best.victims {
			s.evict(v, CodePreempted, g.name)
		}
		s.victims += len(best.victims)
		mask := bitset{}
		mask.set(best.slot)
		s.placeWithin(g.units, mask)
		s.validateAll()
		any = true
	}
	return any
}

// bouncer knows who is where, so that a group that needs room need not ask
// every unit.
type bouncer struct {
	s     *Scheduler
	slots []lodging
}

// lodging is what there is in a slot.
type lodging struct {
	stamp int // that of the machine then; 0 for none
	// upTo is what could be taken from units of one priority or lower, by
	// ascending priority.
	upTo []sacrifice
	// clumps, the most important first, if listed.
	clumps []*lodger
	listed bool
}

type lodger struct {
	clump
	fixed  bool     // not to be pre-empted by any
	groups []string // the spread groups of the units
}

type sacrifice struct {
	priority  int
	requested []int64
}

// lodging looks at a slot, unless nothing has changed there.
func (b *bouncer) lodging(slot int) *lodging {
	m := b.s.machines[slot]
	l := &b.slots[slot]
	if l.stamp == m.stamp+1 {
		return l
	}
	*l = lodging{stamp: m.stamp + 1}
	for _, u := range m.residents {
		if u.fixed() {
			continue
		}
		i, ok := slices.BinarySearchFunc(l.upTo, u.spec.Priority, func(s sacrifice, p int) int { return cmp.Compare(s.priority, p) })
		if !ok {
			l.upTo = slices.Insert(l.upTo, i, sacrifice{u.spec.Priority, make([]int64, len(b.s.ledger.names))})
		}
		b.s.ledger.addAmounts(l.upTo[i].requested, &u.spec.Request, u.request, 1)
	}
	for i := 1; i < len(l.upTo); i++ {
		for r, n := range l.upTo[i-1].requested {
			l.upTo[i].requested[r] += n
		}
	}
	return l
}

// fixed reports whether a unit is not to be pre-empted by any.
func (u *unit) fixed() bool { return u.spec.NotPreemptible || u.pinned() }

// clumps lists the clumps of a slot, the most important first.
func (b *bouncer) clumps(slot int) []*lodger {
	l := b.lodging(slot)
	if l.listed {
		return l.clumps
	}
	l.listed = true
	for _, c := range b.s.clumps(slot) {
		one := &lodger{clump: c, fixed: slices.ContainsFunc(c.units, (*unit).fixed)}
		for _, u := range c.units {
			one.groups = append(one.groups, u.spec.group())
		}
		l.clumps = append(l.clumps, one)
	}
	slices.SortFunc(l.clumps, func(a, b *lodger) int { return b.importance(a.clump) })
	return l.clumps
}

// need is a group that needs room.
type need struct {
	group
	takes  parcel
	groups []string // the spread groups of the units
	// picky: someone may conflict with it, or hold its ports.
	picky bool
	// moving: the others are to be moved, whatever their priority, not to be
	// pre-empted.
	moving bool
}

func newNeed(s *Scheduler, g group) need {
	n := need{group: g, takes: s.parcelOf(g.units)}
	for _, u := range g.units {
		n.groups = append(n.groups, u.spec.group())
		n.picky = n.picky || len(u.conflicts)+len(u.conflictHits)+len(u.spec.Ports)+len(u.spec.Given) > 0
	}
	return n
}

// inTheWay reports whether a unit has to leave where the group comes.
func (n *need) inTheWay(u *unit) bool {
	return n.picky && slices.ContainsFunc(n.units, func(v *unit) bool { return v.conflictsWith(u) || v.portsClash(u) })
}

// spares reports whether a clump does not leave for the group, whatever its
// priority.
func (n *need) spares(c *lodger) bool {
	if n.moving {
		return !c.mayMove()
	}
	if c.fixed || slices.ContainsFunc(c.groups, func(name string) bool { return slices.Contains(n.groups, name) }) {
		return true
	}
	for _, u := range n.units {
		if len(u.peers) > 0 && slices.ContainsFunc(c.units, func(v *unit) bool { return slices.Contains(u.peers, v.name) }) {
			return true
		}
	}
	return false
}

// leastMess finds the slot where room for a group is made best, with so many
// victims at most.
func (b *bouncer) leastMess(g group, limit int) (best preemption, ok bool) {
	s := b.s
	if limit <= 0 {
		return best, false
	}
	n := newNeed(s, g)
	for slot := range s.couldTake(g.units).all {
		highest, can := b.highestAtLeast(slot, &n)
		if !can || ok && highest > best.highest {
			continue
		}
		if p, can := b.at(slot, &n); can && len(p.victims) <= limit && (!ok || p.before(best)) {
			best, ok = p, true
		}
	}
	return best, ok
}

// couldTake is the slots that would take units if others left.
func (s *Scheduler) couldTake(units []*unit) bitset {
	mask := s.open.copyTo(nil)
	for i, u := range units {
		if slices.ContainsFunc(units[:i], func(v *unit) bool { return u.conflictsWith(v) || u.portsClash(v) }) {
			return nil
		}
		s.keepSuitable(mask, u)
		s.keepPeers(mask, u, units)
		s.dropOusted(mask, u)
		s.dropCrowded(mask, u, units)
		s.dropUneven(mask, u, units)
	}
	return mask
}

// highestAtLeast is a priority that the most important victim in a slot has at
// least; false if there would be no room if all that may leave did.
func (b *bouncer) highestAtLeast(slot int, n *need) (int, bool) {
	l := &b.s.ledger
	free := l.free[slot*l.width:]
	enough := func(more []int64) bool {
		for r, amount := range n.takes.requested {
			have := free[r]
			if have != unlimited && r < len(more) {
				have += more[r]
			}
			if amount > 0 && amount > have {
				return false
			}
		}
		return true
	}
	if enough(nil) {
		return leastPriority, true
	}
	for _, s := range b.lodging(slot).upTo {
		if s.priority >= n.priority {
			break
		}
		if enough(s.requested) {
			return s.priority, true
		}
	}
	return 0, false
}

// at finds who has to leave a slot for a group. Who conflicts with the group or
// holds its ports cannot stay.
func (b *bouncer) at(slot int, n *need) (best preemption, ok bool) {
	m := b.s.machines[slot]
	if slices.ContainsFunc(m.globals, n.inTheWay) {
		return best, false
	}
	var lower []*lodger
	for _, c := range b.clumps(slot) {
		switch {
		case c.priority < n.priority && !n.spares(c):
			lower = append(lower, c)
		case slices.ContainsFunc(c.units, n.inTheWay):
			return best, false
		}
	}
	best, ok = b.giveBack(slot, n, lower)
	if ok {
		b.takeFew(slot, n, lower, &best)
	}
	return best, ok
}

// vacancy is what is left in a slot once a group is there, less than nothing
// where others have to leave.
type vacancy struct {
	m      *machine
	free   []int64
	ranged int // ports of the range that are taken
	scarce bool
}

func (b *bouncer) vacancy(slot int, n *need) vacancy {
	l := &b.s.ledger
	v := vacancy{m: b.s.machines[slot], free: slices.Clone(l.free[slot*l.width:][:len(n.takes.requested)])}
	for r, amount := range n.takes.requested {
		v.free[r] -= amount
	}
	dynamic := v.m.dynamic
	for _, u := range n.units {
		dynamic += u.spec.DynamicPorts
	}
	v.ranged = v.m.ranged + v.m.rangedByAll(n.units)
	v.scarce = dynamic > 0 && v.m.rangedByAll(n.units) > 0
	return v
}

// leave counts a clump out, or with times = -1 in again.
func (v *vacancy) leave(c *lodger, times int) {
	for r, amount := range c.takes.requested {
		if v.free[r] != unlimited {
			v.free[r] += int64(times) * amount
		}
	}
	if v.m.dynamic > 0 || v.scarce {
		v.ranged -= times * v.m.rangedByAll(c.units)
	}
}

// enough reports whether there is room for the group.
func (v *vacancy) enough(n *need) bool {
	for r, free := range v.free {
		if free < 0 && n.takes.requested[r] > 0 {
			return false
		}
	}
	return !v.scarce || v.ranged <= v.m.rangeSize()
}

// giveBack has all leave that may, and come back in order of importance as far
// as there is room.
func (b *bouncer) giveBack(slot int, n *need, lower []*lodger) (preemption, bool) {
	v := b.vacancy(slot, n)
	for _, c := range lower {
		v.leave(c, 1)
	}
	if !v.enough(n) {
		return preemption{}, false
	}
	p := preemption{slot: slot, highest: -1 << 31}
	for _, c := range lower {
		if v.leave(c, -1); slices.ContainsFunc(c.units, n.inTheWay) || !v.enough(n) {
			v.leave(c, 1)
			p.add(c)
		}
	}
	return p, len(p.victims) > 0
}

// takeFew looks for the set of clumps, of no more than some priority, that makes
// the least mess and is enough.
func (b *bouncer) takeFew(slot int, n *need, lower []*lodger, best *preemption) {
	w := want{n: n, v: b.vacancy(slot, n), slot: slot, best: best, nodes: maxSets}
	highest := best.highest
	for _, c := range lower {
		switch {
		case slices.ContainsFunc(c.units, n.inTheWay):
			w.v.leave(c, 1)
			w.gone = append(w.gone, c)
			w.weight += c.weight()
		case c.priority <= highest && w.v.help(n, c) > 0:
			w.rest = append(w.rest, c)
		}
	}
	if w.v.scarce {
		return // ports are left to giveBack
	}
	slices.SortFunc(w.rest, func(x, y *lodger) int {
		return cmp.Or(cmp.Compare(w.v.help(n, y), w.v.help(n, x)), x.importance(y.clump))
	})
	w.sumUp()
	w.descend(0)
}

// maxSets bounds how many sets are looked at in a slot.
const maxSets = 400

// want is the search for a set.
type want struct {
	n    *need
	v    vacancy
	slot int
	rest []*lodger // what may go, that which helps most first
	// From each of rest on: the sums, the largest amounts, and the least weight.
	sums, most [][]int64
	lightest   []int

	gone   []*lodger
	weight int
	nodes  int
	best   *preemption
}

func (w *want) sumUp() {
	dims := len(w.v.free)
	w.lightest = make([]int, len(w.rest)+1)
	w.sums, w.most = make([][]int64, len(w.rest)+1), make([][]int64, len(w.rest)+1)
	w.sums[len(w.rest)], w.most[len(w.rest)] = make([]int64, dims), make([]int64, dims)
	for i, c := range slices.Backward(w.rest) {
		sum, most := slices.Clone(w.sums[i+1]), slices.Clone(w.most[i+1])
		for r, amount := range c.takes.requested {
			sum[r] += amount
			most[r] = max(most[r], amount)
		}
		w.sums[i], w.most[i] = sum, most
		w.lightest[i] = c.weight()
		if i+1 < len(w.rest) {
			w.lightest[i] = min(w.lightest[i], w.lightest[i+1])
		}
	}
}

// descend tries each of rest from the given one on, and what may go with it.
func (w *want) descend(from int) {
	if w.v.enough(w.n) {
		p := preemption{slot: w.slot, highest: -1 << 31}
		for _, c := range w.gone {
			p.add(c)
		}
		if len(p.victims) > 0 && p.before(*w.best) {
			*w.best = p
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
	more := 1
	for r, free := range w.v.free {
		if free >= 0 || w.n.takes.requested[r] == 0 {
			continue
		}
		if w.sums[from][r] < -free {
			return true
		}
		more = max(more, int((-free+w.most[from][r]-1)/w.most[from][r]))
	}
	return w.weight+more*w.lightest[from] > w.best.weight
}

// weight is that of a victim.
func (c clump) weight() int { return c.priority - leastPriority + 1 }

// help is how much of what is missing a clump makes up, in 1/2048 of that.
func (v *vacancy) help(n *need, c *lodger) int64 {
	sum := int64(0)
	for r, free := range v.free {
		if short := -free; short > 0 && n.takes.requested[r] > 0 {
			sum += min(c.takes.requested[r], short) * wholeShare / short
		}
	}
	return sum
}

func (p *preemption) add(c *lodger) {
	p.victims = append(p.victims, c.units...)
	p.highest = max(p.highest, c.priority)
	p.weight += c.weight()
	p.size += int64(c.size)
}
