package schedule

import "slices"

// shortlist is the machines that rank first for the units placed last, for
// others that are alike: of what a search found then, only what has changed
// since is to be looked at again.
//
//	search --> ranked  m3 m7 m1 m9     the first of those that have not changed
//	place  --> changed m3 m7           or one of these, ranked anew
//
// A slot that has not changed ranks as it did, and those that are not ranked
// rank after all that are. When all of these have changed it is time to search
// again.
type shortlist struct {
	units   []*unit // that the last search was for; nil for none
	takes   []int64 // what they request and are estimated at
	scoring Strategy
	ranked  []rank
	want    int // of ranked; fewer are all that take the units
	changed []int
}

const (
	// listed is how many machines are sought, at most: more each time as there
	// turn out to be more units alike, as to find many takes longer.
	listed = 16
	// manyChanged is when to search again is no more work than to go on.
	manyChanged = 64
)

// chooseListed is chooseFor on any open machine that may take the units, which
// are mask, so that for others that are alike these may be as well.
func (s *Scheduler) chooseListed(units []*unit, mask bitset, q *parcel) int {
	if slices.ContainsFunc(units, func(u *unit) bool { return !u.listable(units) }) {
		return s.chooseFor(units, mask, q)
	}
	return s.chooseAlike(units, mask, q)
}

// chooseAlike is chooseListed for units that are listable.
func (s *Scheduler) chooseAlike(units []*unit, mask bitset, q *parcel) int {
	if s.goesByCount(q) {
		return s.choose(mask, q)
	}
	l, want := &s.shortlist, 1
	if l.serves(s, units, q) {
		if best, ok := l.best(s, mask, q); ok {
			return best.slot
		}
		want = min(listed, 4*l.want)
	} else if !mask.moreThan(fewSlots) {
		return s.scan(mask, q).slot
	}
	l.ranked = s.grid.findFirst(s, mask, q, want, l.ranked[:0])
	l.units, l.scoring, l.want, l.changed = units, s.scoring, want, l.changed[:0]
	l.takes = append(append(l.takes[:0], q.requested...), q.weighed...)
	if len(l.ranked) == 0 {
		return -1
	}
	return l.ranked[0].slot
}

// note tells that a slot has changed.
func (l *shortlist) note(slot int) {
	switch {
	case l.units == nil || slices.Contains(l.changed, slot):
	case len(l.changed) == manyChanged:
		l.units = nil
	default:
		l.changed = append(l.changed, slot)
	}
}

// best returns the slot that ranks first, -1 for none, unless that takes a
// search.
func (l *shortlist) best(s *Scheduler, mask bitset, q *parcel) (best rank, ok bool) {
	i := slices.IndexFunc(l.ranked, func(r rank) bool { return !slices.Contains(l.changed, r.slot) })
	if i < 0 && len(l.ranked) == l.want {
		return nowhere, false
	}
	best = nowhere
	if i >= 0 {
		best = l.ranked[i]
	}
	for _, slot := range l.changed {
		if !mask.has(slot) || !s.ledger.fits(slot, q) {
			continue
		}
		if r := s.rankWith(slot, q); r.before(best) {
			best = r
		}
	}
	return best, true
}

// serves reports whether the list is one for units like these.
func (l *shortlist) serves(s *Scheduler, units []*unit, q *parcel) bool {
	n := len(q.requested)
	if len(l.units) != len(units) || l.scoring != s.scoring || len(l.takes) != 2*n ||
		!slices.Equal(l.takes[:n], q.requested) || !slices.Equal(l.takes[n:], q.weighed) {
		return false
	}
	for i, u := range units {
		if !u.alike(l.units[i]) {
			return false
		}
	}
	return true
}

// listable reports whether the answer for a unit depends on nothing but what a
// machine has and holds, whatever is on others.
func (u *unit) listable(company []*unit) bool {
	stranger := func(name string) bool {
		return !slices.ContainsFunc(company, func(v *unit) bool { return v.name == name })
	}
	return u.team == nil && (u.modest || u.spec.DynamicPorts == 0) && len(u.had) == 0 &&
		len(u.prefers)+len(u.soft)+len(u.softHits)+len(u.ousts)+len(u.oustedBy) == 0 && !slices.ContainsFunc(u.peers, stranger)
}

// alike reports whether the same machines may take two units that are listable.
func (u *unit) alike(v *unit) bool {
	switch {
	case u.need != v.need || u.modest != v.modest:
		return false
	case u.ties != v.ties && !(slices.Equal(u.conflicts, v.conflicts) && slices.Equal(u.conflictHits, v.conflictHits)):
		return false
	}
	return u.modest || u.spec.MachineID == v.spec.MachineID && slices.Equal(u.spec.Ports, v.spec.Ports)
}
