package schedule

import (
	"cmp"
	"slices"
	"strings"
)

// Limits of pre-emption, of a plan and for one group.
const (
	defaultMaxVictims  = 100
	maxVictimsPerGroup = 10
)

// preemption is making room in a slot for a group: who has to leave.
type preemption struct {
	mess
	victims []*unit
}

// mess is what making room in a slot comes to.
type mess struct {
	highest int   // of the priorities of the clumps that leave
	weight  int   // of these priorities, each counted from the least one up
	units   int   // that leave
	size    int64 // of the clumps
	slot    int
}

// before reports whether a is less of a mess than b.
func (a mess) before(b mess) bool {
	switch {
	case a.highest != b.highest:
		return a.highest < b.highest
	case a.weight != b.weight:
		return a.weight < b.weight
	case a.units != b.units:
		return a.units < b.units
	case a.size != b.size:
		return a.size < b.size
	}
	return a.slot < b.slot
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
			s.evict(v, CodePreempted, g.name())
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

// need is a group that needs room.
type need struct {
	group
	asks   []ask
	groups []string // the spread groups of the units
	// picky: someone may conflict with it, or hold its ports.
	picky bool
	// peers: someone has to be where another is.
	peers bool
	// moving: the others are to be moved, whatever their priority, not to be
	// pre-empted.
	moving bool
}

// ask is what a group requests of a resource.
type ask struct {
	r int
	n int64
}

func newNeed(s *Scheduler, g group) need {
	n := need{group: g}
	for r, amount := range g.takes.requested {
		if amount > 0 {
			n.asks = append(n.asks, ask{r, amount})
		}
	}
	for _, u := range g.units {
		n.groups = append(n.groups, u.spec.group())
		n.picky = n.picky || len(u.conflicts)+len(u.conflictHits)+len(u.spec.Ports)+len(u.spec.Given) > 0
		n.peers = n.peers || len(u.peers) > 0
	}
	return n
}

// inTheWay reports whether a unit has to leave where the group comes.
func (n *need) inTheWay(u *unit) bool {
	return n.picky && slices.ContainsFunc(n.units, func(v *unit) bool { return v.conflictsWith(u) || v.portsClash(u) })
}

// bars reports whether any of a clump has to leave where the group comes.
func (n *need) bars(c *lodger) bool { return n.picky && slices.ContainsFunc(c.units, n.inTheWay) }

// spares reports whether a clump does not leave for the group, whatever its
// priority.
func (n *need) spares(c *lodger) bool {
	if n.moving {
		return !c.mayMove()
	}
	if c.fixed || slices.ContainsFunc(c.units, n.isOneOf) {
		return true
	}
	if !n.peers {
		return false
	}
	for _, u := range n.units {
		if slices.ContainsFunc(c.units, func(v *unit) bool { return slices.Contains(u.peers, v.name) }) {
			return true
		}
	}
	return false
}

// isOneOf reports whether a unit is of a spread group of the need.
func (n *need) isOneOf(u *unit) bool {
	return slices.ContainsFunc(n.groups, func(name string) bool {
		// A group that is not named is the beginning of the name.
		return (u.spec.Spread.Group != "" || strings.HasPrefix(u.name, name)) && u.spec.group() == name
	})
}

// leastMess finds the slot where room for a group is made best, with so many
// victims at most. It looks closely only at slots that promise to be better than
// the best so far: by the priority of whom has to leave, which is soon known, and
// among those of one priority by a mess that theirs is no less than.
func (b *bouncer) leastMess(g group, limit int) (best preemption, ok bool) {
	if limit <= 0 {
		return best, false
	}
	n := newNeed(b.s, g)
	all := b.promises[:0]
	for slot := range b.s.couldTake(g.units).all {
		if highest, can := b.highestAtLeast(slot, &n); can {
			all = append(all, mess{highest: highest, slot: slot})
		}
	}
	b.promises = all
	for first, end := 0, 0; first < len(all); first = end {
		end = first + leastFirst(all[first:])
		if ok && all[first].highest > best.highest {
			break
		}
		for i := first; i < end; i++ {
			all[i] = b.atLeast(all[i].slot, &n, all[i].highest)
		}
		slices.SortFunc(all[first:end], compareMess)
		for _, promise := range all[first:end] {
			if ok && !promise.before(best.mess) {
				break
			}
			if ok && !b.atLeastOf(promise, &n).before(best.mess) {
				continue
			}
			if p, can := b.at(promise.slot, &n); can && p.units <= limit && (!ok || p.before(best.mess)) {
				best, ok = p, true
			}
		}
	}
	return best, ok
}

func compareMess(a, b mess) int {
	if a.before(b) {
		return -1
	}
	return 1
}

// leastFirst brings those of the least highest priority to the front, and
// returns how many there are.
func leastFirst(all []mess) (n int) {
	for i, p := range all {
		if p.highest < all[0].highest {
			n = 0
		}
		if n == 0 || p.highest == all[0].highest {
			all[n], all[i] = p, all[n]
			n++
		}
	}
	return n
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
