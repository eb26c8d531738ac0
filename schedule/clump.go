package schedule

import (
	"cmp"
	"slices"
	"strings"
)

// clump is the units of one machine that are joined by MachineOf: they come and
// go together.
type clump struct {
	units    []*unit // by name
	name     string  // the least
	priority int     // the highest
	takes    parcel
	size     int32 // the largest share of what they request
}

// clumps splits the units of a slot, by name of their first.
func (s *Scheduler) clumps(slot int) []clump {
	var out []clump
	for _, units := range s.connected(s.residents(slot)) {
		c := clump{units: units, name: units[0].name, priority: units[0].spec.Priority, takes: s.parcelOf(units)}
		for _, u := range units {
			c.priority = max(c.priority, u.spec.Priority)
		}
		c.size = s.ledger.dominant(slot, &c.takes)
		out = append(out, c)
	}
	return out
}

// importance compares clumps by priority, then by size; of equal ones the one
// with the lesser name is the more important.
func (c clump) importance(o clump) int {
	return cmp.Or(cmp.Compare(c.priority, o.priority), cmp.Compare(c.size, o.size), strings.Compare(o.name, c.name))
}

// makeRoom chooses clumps that have to leave a slot so that what is requested
// there, and q besides, is no more than there is. The answer is nil if it is so
// already, and false if all of them are not enough.
//
// A single one that is enough goes, the one of lowest priority and then the
// smallest. Otherwise, or if that spares units of lower priority, those go that
// are left when all have gone and come back as far as there is room, high
// priority first, then large ones.
func (s *Scheduler) makeRoom(slot int, q *parcel, from []clump) (leave []clump, ok bool) {
	over := s.missing(slot, q)
	if over == nil {
		return nil, true
	}
	from = slices.Clone(from)
	slices.SortFunc(from, func(a, b clump) int { return b.importance(a) })
	free := make([]int64, len(over)) // beyond what is needed
	for r, n := range over {
		free[r] = -n
	}
	single := -1
	for i, c := range from {
		enough := true
		for r, n := range over {
			free[r] += c.takes.requested[r]
			enough = enough && c.takes.requested[r] >= n
		}
		if enough && (single < 0 || c.priority < from[single].priority || c.size < from[single].size) {
			single = i
		}
	}
	for _, n := range free {
		if n < 0 {
			return nil, false
		}
	}
	for _, c := range from {
		if fitsInto(c.takes.requested, free, over) {
			for r := range over {
				free[r] -= c.takes.requested[r]
			}
		} else {
			leave = append(leave, c)
		}
	}
	if single >= 0 && from[single].priority <= leave[0].priority {
		return []clump{from[single]}, true
	}
	return leave, true
}

// fitsInto reports whether an amount fits, of the resources there is too little
// of.
func fitsInto(amount, free, over []int64) bool {
	for r := range over {
		if amount[r] > 0 && amount[r] > free[r] {
			return false
		}
	}
	return true
}

// missing is by how much a slot falls short of what is requested there and q
// besides, by resource, negative where there is enough; nil if it does not.
func (s *Scheduler) missing(slot int, q *parcel) []int64 {
	l := &s.ledger
	row := slot * l.width
	short := false
	over := make([]int64, len(l.names))
	for r := range l.names {
		over[r] = -l.free[row+r]
		if r < len(q.requested) {
			over[r] += q.requested[r]
		}
		short = short || over[r] > 0
	}
	if !short {
		return nil
	}
	return over
}
