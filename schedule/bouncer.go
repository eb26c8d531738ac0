package schedule

import "slices"

// bouncer knows who is where, so that a group that needs room need not ask
// every unit.
type bouncer struct {
	s     *Scheduler
	slots []lodging

	// Memory for one search after the other.
	promises []mess
	lower    []*lodger
	helps    []int64
	want     want
}

// lodging is what there is in a slot.
type lodging struct {
	stamp int // that of the machine then, and 1 more; 0 for none
	// priorities are those of the units that are not fixed, ascending; upTo is
	// what could be taken from units of each or lower, by resource.
	priorities []int
	upTo       []int64
	// clumps, the most important first, if listed.
	clumps []*lodger
	listed bool
}

// lodger is a clump that is somewhere.
type lodger struct {
	clump
	fixed bool // not to be pre-empted by any
}

// lodging looks at a slot, unless nothing has changed there.
func (b *bouncer) lodging(slot int) *lodging {
	m := b.s.machines[slot]
	l := &b.slots[slot]
	if l.stamp == m.stamp+1 {
		return l
	}
	*l = lodging{stamp: m.stamp + 1, priorities: l.priorities[:0], upTo: l.upTo[:0], clumps: l.clumps[:0]}
	dims := len(b.s.ledger.names)
	for _, u := range m.residents {
		if u.fixed() {
			continue
		}
		i, ok := slices.BinarySearch(l.priorities, u.spec.Priority)
		if !ok {
			l.priorities = slices.Insert(l.priorities, i, u.spec.Priority)
			l.upTo = append(l.upTo, make([]int64, dims)...)
			copy(l.upTo[(i+1)*dims:], l.upTo[i*dims:])
			clear(l.upTo[i*dims : (i+1)*dims])
		}
		b.s.ledger.addAmounts(l.upTo[i*dims:], &u.spec.Request, u.request, 1)
	}
	for i := dims; i < len(l.upTo); i++ {
		l.upTo[i] += l.upTo[i-dims]
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
	residents := b.s.machines[slot].residents
	if slices.ContainsFunc(residents, func(u *unit) bool { return len(u.peers) > 0 }) {
		for _, c := range b.s.clumps(slot) {
			l.clumps = append(l.clumps, &lodger{clump: c, fixed: slices.ContainsFunc(c.units, (*unit).fixed)})
		}
	} else {
		l.clumps = b.singles(l.clumps, slot)
	}
	slices.SortFunc(l.clumps, func(a, b *lodger) int { return b.importance(a.clump) })
	return l.clumps
}

// singles appends the units of a slot, where none has to be with another.
func (b *bouncer) singles(to []*lodger, slot int) []*lodger {
	l := &b.s.ledger
	units := slices.Clone(b.s.machines[slot].residents)
	lodgers := make([]lodger, len(units))
	dims := len(l.names)
	amounts := make([]int64, len(units)*dims)
	for i, u := range units {
		c := clump{units: units[i : i+1 : i+1], name: u.name, priority: u.spec.Priority}
		c.takes.requested = amounts[i*dims:][:dims:dims]
		l.addAmounts(c.takes.requested, &u.spec.Request, u.request, 1)
		c.size = l.dominant(slot, &c.takes)
		lodgers[i] = lodger{c, u.fixed()}
		to = append(to, &lodgers[i])
	}
	return to
}

// highestAtLeast is a priority that the most important victim in a slot has at
// least; false if there would be no room if all that may leave did.
func (b *bouncer) highestAtLeast(slot int, n *need) (int, bool) {
	l := &b.s.ledger
	free := l.free[slot*l.width:]
	if enough(n, free, nil) {
		return leastPriority, true
	}
	at := b.lodging(slot)
	for i, p := range at.priorities {
		if p >= n.priority {
			break
		}
		if enough(n, free, at.upTo[i*len(l.names):]) {
			return p, true
		}
	}
	return 0, false
}

// enough reports whether there is what a group asks for, with more than is free.
func enough(n *need, free, more []int64) bool {
	for _, ask := range n.asks {
		have := free[ask.r]
		if have != unlimited && more != nil {
			have += more[ask.r]
		}
		if ask.n > have {
			return false
		}
	}
	return true
}

// atLeast is what making room in a slot comes to at least, if the most important
// victim has at least the priority given. It looks at resources alone: either
// one clump makes up what is missing, or so many that the largest amounts would
// be enough.
func (b *bouncer) atLeast(slot int, n *need, highest int) mess {
	v := &b.want.v
	b.vacancy(v, slot, n)
	if len(v.short) == 0 {
		return mess{highest: highest, slot: slot}
	}
	single, lightest := mess{highest: highest + 1, slot: slot}, 0
	sum, most := b.want.fresh(len(v.short))
	for _, c := range b.clumps(slot) {
		if c.fixed || c.priority > highest {
			continue
		}
		lightest = c.weight() // the last is the least important
		all := true
		for i, r := range v.short {
			amount := c.takes.requested[r]
			sum[i] += amount
			most[i] = max(most[i], amount)
			all = all && v.free[i]+amount >= 0
		}
		if all {
			if one := c.mess(slot); one.before(single) {
				single = one
			}
		}
	}
	count := 2
	for i, free := range v.free {
		if free+sum[i] < 0 {
			return single // at a higher priority
		}
		count = max(count, int((-free+most[i]-1)/most[i]))
	}
	several := mess{highest: highest, weight: highest - leastPriority + 1 + (count-1)*lightest, units: count, slot: slot}
	for i, r := range v.short {
		// The size of each is cut to a whole number.
		whole := b.s.ledger.nominal[slot*b.s.ledger.width+r]
		several.size = max(several.size, int64(share(-v.free[i], whole))-int64(count-1))
	}
	if single.before(several) {
		return single
	}
	return several
}

// atLeastOf is a promise of atLeast that counts what clumps make up of all that
// is missing, not only of each resource: fewer than those that help most cannot
// be enough.
func (b *bouncer) atLeastOf(promise mess, n *need) mess {
	v := &b.want.v
	if b.vacancy(v, promise.slot, n); len(v.short) < 2 || promise.units < 2 {
		return promise
	}
	helps, lightest := b.helps[:0], 0
	for _, c := range b.clumps(promise.slot) {
		if c.fixed || c.priority > promise.highest {
			continue
		}
		lightest = c.weight()
		help := int64(0)
		for i, r := range v.short {
			short := -v.free[i]
			help += (min(c.takes.requested[r], short)*wholeShare + short - 1) / short
		}
		helps = append(helps, help)
	}
	b.helps = helps
	slices.Sort(helps)
	count, lacking := 0, int64(len(v.short)*wholeShare)
	for _, help := range slices.Backward(helps) {
		if lacking <= 0 {
			break
		}
		lacking -= help
		count++
	}
	if more := count - promise.units; more > 0 {
		promise.weight += more * lightest
		promise.size -= int64(more)
		promise.units += more
	}
	return promise
}

// weight is that of a victim.
func (c clump) weight() int { return c.priority - leastPriority + 1 }

// mess is what it comes to if the clump leaves.
func (c clump) mess(slot int) mess {
	return mess{c.priority, c.weight(), len(c.units), int64(c.size), slot}
}
