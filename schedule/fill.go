package schedule

import (
	"cmp"
	"slices"

	"github.com/strakeproject/strake/schedule/internal/packing"
)

// This file fills machine by machine, rather than placing group by group.

const (
	// fineBatch is how many groups are not too many to look at each one for each
	// machine.
	fineBatch = 2000
	// fewPerMachine is the mean share from which that pays.
	fewPerMachine = wholeShare / 8
)

// searched fills machine by machine and searches for sets that fit well.
func (s *Scheduler) searched(groups []group) bool {
	p := packing.Problem{Reopen: 2, Tries: 50, Coarse: true}
	if fine(groups) {
		p = packing.Problem{Reopen: -1, Tries: 200}
	}
	if s.opts.Effort == Thorough {
		p.Tries *= 10
	}
	return s.fill(groups, p)
}

// searchedLate is searched with other sets of those that fit as well.
func (s *Scheduler) searchedLate(groups []group) bool {
	p := packing.Problem{Reopen: -1, Tries: 200, Late: true}
	if s.opts.Effort == Thorough {
		p.Tries *= 10
	}
	return s.fill(groups, p)
}

// greedily fills machine by machine with what leaves least.
func (s *Scheduler) greedily(groups []group) bool {
	return s.fill(groups, packing.Problem{Coarse: !fine(groups)})
}

// fine reports whether there is time to look at each group for each machine.
func fine(groups []group) bool {
	sum := 0
	for _, g := range groups {
		sum += int(g.size)
	}
	return len(groups) <= fineBatch && sum > fewPerMachine*len(groups)
}

// fill places the groups that ask for resources alone by a packing, after those
// that ask for more, and what is left over as usual.
func (s *Scheduler) fill(groups []group, p packing.Problem) bool {
	plain, rest := groups, []group(nil)
	if !s.dedicated.empty() || s.ledger.reporting != int64(s.alive.count()) {
		plain, rest = nil, groups
	} else if !allPlain(groups) {
		plain, rest = partition(groups)
	}
	s.spreadFirst(rest)
	slots := s.fillOrder()
	dims := s.ledger.byName()
	bins, items := make([]int64, 0, len(slots)*len(dims)), make([]int64, 0, len(plain)*len(dims))
	p.Bins, p.Items = make([][]int64, 0, len(slots)), make([][]int64, 0, len(plain))
	for _, slot := range slots {
		for _, r := range dims {
			bins = append(bins, s.ledger.free[slot*s.ledger.width+r])
		}
		p.Bins = append(p.Bins, bins[len(bins)-len(dims):])
	}
	for i := range plain {
		for _, r := range dims {
			items = append(items, plain[i].takes.requested[r])
		}
		p.Items = append(p.Items, items[len(items)-len(dims):])
	}
	into := p.Fill()
	var left []group
	for i, g := range plain {
		if into[i] < 0 {
			left = append(left, g)
			continue
		}
		s.parts++
		for _, u := range g.units {
			s.bind(u, slots[into[i]], s.parts, nil)
		}
	}
	s.inOrder(left)
	return false
}

// allPlain reports whether no group asks for more than resources.
func allPlain(groups []group) bool {
	return !slices.ContainsFunc(groups, func(g group) bool { return !g.plain })
}

// partition splits groups into those that ask for resources alone and others.
func partition(groups []group) (plain, rest []group) {
	n := 0
	for i := range groups {
		if groups[i].plain {
			n++
		}
	}
	plain, rest = make([]group, 0, n), make([]group, 0, len(groups)-n)
	for i := range groups {
		if groups[i].plain {
			plain = append(plain, groups[i])
		} else {
			rest = append(rest, groups[i])
		}
	}
	return plain, rest
}

// fillOrder returns the machines in the order in which to fill them: those in
// use first, and then so that what they have in sum is in the proportion in
// which it is in demand. Otherwise the last ones would be filled with what is
// left over, which wants all of one resource and little of another.
func (s *Scheduler) fillOrder() []int {
	var order []int
	byShape := map[[2]int64][]int{}
	var shapes [][2]int64
	l := &s.ledger
	x, y := l.axes()[0], l.axes()[1]
	var sum [2]int64
	for slot := range s.open.all {
		row := slot * l.width
		has := [2]int64{int64(l.meanOf(x, l.nominal[row+x])), int64(l.meanOf(y, l.nominal[row+y]))}
		if len(s.machines[slot].residents) > 0 {
			order = append(order, slot)
			sum[0], sum[1] = sum[0]+has[0], sum[1]+has[1]
			continue
		}
		if byShape[has] == nil {
			shapes = append(shapes, has)
		}
		byShape[has] = append(byShape[has], slot)
	}
	slices.SortFunc(shapes, func(a, b [2]int64) int {
		return cmp.Or(cmp.Compare(b[0]+b[1], a[0]+a[1]), cmp.Compare(b[0], a[0]))
	})
	wantX, wantY := l.pressure(x)+1, l.pressure(y)+1
	for len(shapes) > 0 {
		best, least := 0, int64(-1)
		for i, has := range shapes {
			off := (sum[0]+has[0])*wantY - (sum[1]+has[1])*wantX
			if off = max(off, -off); least < 0 || off < least {
				best, least = i, off
			}
		}
		has := shapes[best]
		order = append(order, byShape[has][0])
		sum[0], sum[1] = sum[0]+has[0], sum[1]+has[1]
		if byShape[has] = byShape[has][1:]; len(byShape[has]) == 0 {
			shapes = slices.Delete(shapes, best, best+1)
		}
	}
	return order
}

// meanOf is an amount in 1/2048 of what the mean machine has.
func (l *ledger) meanOf(r int, n int64) int32 {
	return share(n, max(1, l.reported[r]/max(1, l.reporting)))
}

// worth is the size of a machine: its shares of the mean machine, each weighed
// by how much that resource is in demand.
func (s *Scheduler) worth(slot int) int64 {
	l := &s.ledger
	sum := int64(0)
	for r := range l.names {
		if l.demand[r] > 0 && l.reported[r] > 0 {
			sum += int64(l.meanOf(r, l.nominal[slot*l.width+r])) * l.pressure(r)
		}
	}
	return sum
}
