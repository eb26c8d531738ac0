package schedule

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// This file looks for what would give a unit a place.

// Change is something that would let a machine take a unit, as things are: one
// of the fields after Machine is set.
type Change struct {
	Machine string `json:"machine"`
	// Reopen: the machine is no longer cordoned.
	Reopen bool `json:"reopen,omitempty"`
	// Metadata are added to those of the machine.
	Metadata map[string]string `json:"metadata,omitempty"`
	// Free is how much more of each resource there would have to be left.
	Free *Resources `json:"free,omitempty"`
	// Moves are of other units, three at most: Rebalance makes them, with the
	// goal Fit.
	Moves []Move `json:"moves,omitempty"`
	// Preempt are units of lower priority, which leave if Options.Preempt is
	// set.
	Preempt []string `json:"preempt,omitempty"`
}

// Move is of a unit to a machine.
type Move struct {
	Unit string `json:"unit"`
	To   string `json:"to"`
}

// String is "on m1, if cache.service moved to m2".
func (c Change) String() string {
	var what []string
	switch {
	case c.Reopen:
		what = append(what, "it were not cordoned")
	case c.Free != nil:
		for _, name := range c.Free.names() {
			what = append(what, fmt.Sprintf("%s more %s were free", formatAmount(name, c.Free.of(name)), name))
		}
	case len(c.Moves) > 0:
		for _, m := range c.Moves {
			what = append(what, m.Unit+" moved to "+m.To)
		}
	case len(c.Preempt) > 0:
		what = append(what, strings.Join(c.Preempt, ", ")+" could be pre-empted")
	}
	for _, key := range slices.Sorted(maps.Keys(c.Metadata)) {
		what = append(what, key+" were "+c.Metadata[key])
	}
	return "on " + c.Machine + ", if " + strings.Join(what, " and ")
}

// maxFitMoves is how many units are moved at most to make room for another.
const maxFitMoves = 3

// fitTries is on how many machines that is tried.
const fitTries = 16

// wouldFitIf lists changes, one of each kind, each of which lets a plan place a
// unit that has no place.
func (s *Scheduler) wouldFitIf(u *unit) []Change {
	var out []Change
	try := func(c *Change, apply func(lab *Scheduler)) {
		if c == nil {
			return
		}
		lab := s.Clone()
		apply(lab)
		if lab.whole(); lab.units.named(u.name).at >= 0 {
			out = append(out, *c)
		}
	}
	reopen, metadata, free := s.smallChanges(u)
	for _, c := range []*Change{reopen, metadata, free} {
		try(c, func(lab *Scheduler) { lab.apply(*c) })
	}
	if c := s.fittingMoves(u); c != nil {
		out = append(out, *c)
	}
	if c := s.fittingVictims(u); c != nil {
		try(c, func(lab *Scheduler) { lab.opts.Preempt, lab.opts.MaxVictims = true, 0 })
	}
	return out
}

// apply makes a change to a machine.
func (s *Scheduler) apply(c Change) {
	slot := s.slots[c.Machine]
	m := s.machines[slot].Machine
	if c.Reopen {
		m.State = Open
	}
	if len(c.Metadata) > 0 {
		meta := maps.Clone(c.Metadata)
		maps.Copy(meta, m.Metadata)
		m.Metadata = meta
	}
	if c.Free != nil {
		sum := m.Capacity.plus(*c.Free)
		m.Capacity = &sum
	}
	s.settled = false
	s.dirty.set(slot)
	s.change(slot, m)
}

// smallChanges looks at the machines that fail a unit for one code only.
func (s *Scheduler) smallChanges(u *unit) (reopen, metadata, free *Change) {
	least := int32(0)
	for slot, code := range s.nearMisses(u) {
		m := s.machines[slot].Machine
		switch code {
		case CodeCordoned:
			if reopen == nil {
				reopen = &Change{Machine: m.ID, Reopen: true}
			}
		case CodeMetadata:
			if add := lackingMetadata(m, *u.spec); metadata == nil && add != nil {
				metadata = &Change{Machine: m.ID, Metadata: add}
			}
		case CodeResource:
			if m.Capacity == nil {
				continue
			}
			short, share := s.shortage(slot, u)
			if free == nil || share < least {
				free, least = &Change{Machine: m.ID, Free: &short}, share
			}
		}
	}
	return reopen, metadata, free
}

// nearMisses yields the slots that fail a unit for one code, and that code.
func (s *Scheduler) nearMisses(u *unit) func(yield func(slot int, code Code) bool) {
	verdicts := s.verdicts(u)
	return func(yield func(slot int, code Code) bool) {
		for slot := range s.alive.all {
			var code Code
			n := 0
			for _, v := range verdicts {
				if !v.pass.has(slot) {
					n++
					code = v.code
				}
			}
			if n == 1 && !yield(slot, code) {
				return
			}
		}
	}
}

// lackingMetadata returns what is to be added to a machine's metadata for a
// unit; nil if something there would have to be another.
func lackingMetadata(m Machine, u Unit) map[string]string {
	add := map[string]string{}
	for key, values := range u.Metadata {
		v, ok := m.Metadata[key]
		switch {
		case ok && !slices.Contains(values, v), len(values) == 0:
			return nil
		case !ok:
			add[key] = slices.Min(values)
		}
	}
	return add
}

// shortage is what a slot lacks for a unit, and its largest share of what is
// there.
func (s *Scheduler) shortage(slot int, u *unit) (short Resources, most int32) {
	l := &s.ledger
	for _, name := range u.spec.Request.names() {
		i := slot*l.width + l.number[name]
		n := u.spec.Request.of(name) - l.free[i]
		if n <= 0 {
			continue
		}
		most = max(most, share(n, l.nominal[i]))
		switch name {
		case nameCPU:
			short.CPU = n
		case nameMemory:
			short.Memory = n
		case nameDisk:
			short.Disk = n
		default:
			if short.Counters == nil {
				short.Counters = map[string]int64{}
			}
			short.Counters[name] = n
		}
	}
	return short, most
}

// fittingMoves finds moves that make room for a unit, nil for none.
func (s *Scheduler) fittingMoves(u *unit) *Change {
	lab := s.Clone()
	if lab.whole(); lab.units.named(u.name).at >= 0 {
		return nil
	}
	lab.comeHome()
	v := lab.units.named(u.name)
	if !lab.makeWay(v, maxFitMoves) {
		return nil
	}
	c := &Change{Machine: v.bound}
	for _, w := range lab.movedByName() {
		if w.cause == CodeRebalance {
			c.Moves = append(c.Moves, Move{w.name, w.bound})
		}
	}
	return c
}

// comeHome forgets what the plan being made has moved.
func (s *Scheduler) comeHome() {
	for _, u := range s.order { // in which memory is read, with most of those touched
		u.trip, u.listing = s.home, false
	}
	for _, u := range s.touched {
		u.trip = s.home
	}
	s.order, s.amounts, s.chosen, s.touched, s.parts, s.victims, s.bouncer = nil, nil, nil, nil, 0, 0, nil
	s.shortlist.units = nil
}

// fittingVictims finds whom pre-emption would make leave for a unit, nil for
// none, or if pre-emption is on anyway.
func (s *Scheduler) fittingVictims(u *unit) *Change {
	if s.opts.Preempt {
		return nil
	}
	b := bouncer{s: s, slots: make([]lodging, len(s.machines))}
	best, ok := b.leastMess(s.newGroup([]*unit{u}, 0), maxVictimsPerGroup)
	if !ok {
		return nil
	}
	c := &Change{Machine: s.machines[best.slot].ID}
	for _, v := range best.victims {
		c.Preempt = append(c.Preempt, v.name)
	}
	slices.Sort(c.Preempt)
	return c
}

// makeWay gives a unit that has no place one, by moving others, so many at most,
// from one machine. It reports whether it could; if not nothing has changed.
func (s *Scheduler) makeWay(u *unit, moves int) bool {
	b := bouncer{s: s, slots: make([]lodging, len(s.machines))}
	n := newNeed(s, s.newGroup([]*unit{u}, 0))
	n.priority, n.moving = -leastPriority+1, true
	var ways []preemption
	for slot := range s.couldTake(n.units).all {
		if _, can := b.highestAtLeast(slot, &n); !can {
			continue
		}
		if p, can := b.at(slot, &n); can && len(p.victims) <= moves {
			ways = append(ways, p)
		}
	}
	slices.SortFunc(ways, func(x, y preemption) int {
		return cmp.Or(cmp.Compare(len(x.victims), len(y.victims)), cmp.Compare(x.size, y.size), cmp.Compare(x.slot, y.slot))
	})
	for _, p := range ways[:min(len(ways), fitTries)] {
		if s.makeWayAt(u, p) {
			return true
		}
	}
	return false
}

// makeWayAt is makeWay for one way to do it.
func (s *Scheduler) makeWayAt(u *unit, p preemption) bool {
	var done []berth
	for _, v := range p.victims {
		done = append(done, berth{v, v.bound, v.spec.Given})
	}
	slices.SortFunc(p.victims, compareUnits)
	for _, units := range s.connected(p.victims) {
		mask := s.open.copyTo(nil)
		mask.clear(p.slot)
		if !s.move(clump{units: units}, mask, CodeRebalance) {
			s.moveBack(done)
			return false
		}
	}
	s.validate(p.slot) // there may be global units that had no room
	mask := bitset{}
	mask.set(p.slot)
	if s.placeWithin([]*unit{u}, mask); u.at >= 0 {
		return true
	}
	s.moveBack(done)
	s.validate(p.slot)
	return false
}

// moveBack undoes moves.
func (s *Scheduler) moveBack(berths []berth) {
	for _, b := range berths {
		s.rebind(b.unit, "", nil)
	}
	s.putBack(berths)
}
