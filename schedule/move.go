package schedule

// This file moves units that could stay where they are.

// berth is where a unit was before it was lifted.
type berth struct {
	unit *unit
	id   string
	had  []uint16
}

// lift takes units from their places for a stated cause.
func (s *Scheduler) lift(units []*unit, cause Code, by string) []berth {
	var berths []berth
	for _, u := range units {
		berths = append(berths, berth{u, u.bound, u.spec.Given})
		s.evict(u, cause, by)
	}
	return berths
}

// putBack undoes lift.
func (s *Scheduler) putBack(berths []berth) {
	for _, b := range berths {
		s.rebind(b.unit, b.id, b.had)
	}
}

// move takes a clump to the slot of mask that ranks first, and reports whether
// there is one that takes it whole. Otherwise it stays.
func (s *Scheduler) move(c clump, mask bitset, cause Code) bool {
	from := c.units[0].at
	mask.clear(from)
	berths := s.lift(c.units, cause, "")
	if s.placeWithin(c.units, mask); c.units[0].at < 0 {
		s.putBack(berths)
		return false
	}
	return true
}

// moved counts the units that the plan moves from one machine to another.
func (s *Scheduler) moved() int {
	n := 0
	for _, u := range s.touched {
		if u.from != "" && u.bound != "" && u.from != u.bound {
			n++
		}
	}
	return n
}
