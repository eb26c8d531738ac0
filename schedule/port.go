package schedule

import "slices"

// This file keeps account of ports. A port that is asked for by number is held
// like a conflict; those that are left to the scheduler are counted against the
// machine's range, and given numbers when the unit is placed.

// heldPorts yields the ports a unit holds by number, each once, the ones it was
// given included.
func (u *Unit) heldPorts(yield func(Port) bool) {
	for i, p := range u.Ports {
		if !slices.Contains(u.Ports[:i], p) && !yield(p) {
			return
		}
	}
	for _, n := range u.Given {
		if !yield(Port{n, false}) || !yield(Port{n, true}) {
			return
		}
	}
}

// holdPorts enters the ports a unit holds in a slot, or with n = -1 takes them
// out.
func (s *Scheduler) holdPorts(u *unit, slot, n int) {
	if len(u.spec.Ports) == 0 && u.spec.DynamicPorts == 0 {
		return
	}
	for p := range u.spec.heldPorts {
		t := s.ports[p]
		if t == nil {
			t = &tally{}
			s.ports[p] = t
		}
		t.add(slot, n)
		if t.empty() {
			delete(s.ports, p)
		}
	}
	m := s.machines[slot]
	m.ranged += n * m.rangedBy(u.spec)
	if u.spec.DynamicPorts > 0 {
		m.dynamic += n
		s.ranges.put(slot, m.dynamic > 0)
	}
}

// rangedBy is how much of the machine's range a unit takes.
func (m *Machine) rangedBy(u *Unit) int {
	n := u.DynamicPorts
	for i, p := range u.Ports {
		if m.inRange(p.Number) && !slices.Contains(u.Ports[:i], p) {
			n++
		}
	}
	return n
}

func (m *Machine) inRange(n uint16) bool { return m.PortRange[0] <= n && n <= m.PortRange[1] && n > 0 }

// rangeSize is how many ports the machine's range has.
func (m *Machine) rangeSize() int {
	if m.PortRange[1] == 0 {
		return 0
	}
	return int(m.PortRange[1]-max(1, m.PortRange[0])) + 1
}

// dropPorts drops from mask the slots where ports are taken that a unit wants,
// or too few are left for it and those that come with it.
func (s *Scheduler) dropPorts(mask bitset, u *unit, with []*unit) {
	for _, p := range u.spec.Ports {
		if t := s.ports[p]; t != nil {
			t.clearFrom(mask)
		}
	}
	if len(u.spec.Ports) == 0 && u.spec.DynamicPorts == 0 {
		return
	}
	if slot, ok := s.slots[u.from]; ok && mask.has(slot) && s.takenMeanwhile(u, slot) {
		mask.clear(slot)
	}
	slots := mask.allWith(s.ranges) // where no unit has dynamic ports, the range does not matter
	if slices.ContainsFunc(with, func(v *unit) bool { return v.spec.DynamicPorts > 0 }) {
		slots = mask.all
	}
	for slot := range slots {
		if s.machines[slot].rangeTooSmall(with...) {
			mask.clear(slot)
		}
	}
}

// rangeTooSmall reports whether the range lacks ports for units that come. Where
// no unit leaves the choice to the scheduler, the range does not matter.
func (m *machine) rangeTooSmall(coming ...*unit) bool {
	n, dynamic := m.ranged, m.dynamic
	for _, u := range coming {
		if u.at < 0 || u.aside {
			n += m.rangedBy(u.spec)
			dynamic += u.spec.DynamicPorts
		}
	}
	return dynamic > 0 && n > m.rangeSize()
}

// ranges reports whether a unit takes any of a machine's range.
func (u *unit) ranges(m *machine) bool { return m.rangedBy(u.spec) > 0 }

// rangedByAll is how much of the machine's range units take.
func (m *Machine) rangedByAll(units []*unit) int {
	n := 0
	for _, u := range units {
		n += m.rangedBy(u.spec)
	}
	return n
}

// portsFree reports whether a slot has the ports for a unit.
func (s *Scheduler) portsFree(slot int, u *unit) bool {
	taken := func(p Port) bool { return s.portTaken(p, slot) }
	if u.at == slot {
		for p := range u.spec.heldPorts {
			if taken(p) {
				return false
			}
		}
	}
	return !slices.ContainsFunc(u.spec.Ports, taken) &&
		!(u.spec.DynamicPorts+len(u.spec.Ports) > 0 && s.machines[slot].rangeTooSmall(u))
}

// takenMeanwhile reports whether a unit that left a slot in this plan would not
// get the ports back that it had. It does not return then: nothing would tell
// it that its ports are others.
func (s *Scheduler) takenMeanwhile(u *unit, slot int) bool {
	return slices.ContainsFunc(u.had, func(n uint16) bool {
		return s.portTaken(Port{n, false}, slot) || s.portTaken(Port{n, true}, slot)
	})
}

// choosePorts chooses the ports of a unit that comes to a slot: the lowest free
// ones of the range, but for those that units ask for by number that come with
// it.
func (s *Scheduler) choosePorts(u *unit, slot int, with []*unit) []uint16 {
	if u.spec.DynamicPorts == 0 {
		return nil
	}
	m := s.machines[slot]
	if u.from == m.ID {
		return u.had
	}
	var chosen []uint16
	for n := max(1, int(m.PortRange[0])); len(chosen) < u.spec.DynamicPorts && n <= int(m.PortRange[1]); n++ {
		p := uint16(n)
		taken := s.portTaken(Port{p, false}, slot) || s.portTaken(Port{p, true}, slot)
		asked := slices.ContainsFunc(with, func(v *unit) bool {
			return slices.ContainsFunc(v.spec.Ports, func(q Port) bool { return q.Number == p })
		})
		if !taken && !asked {
			chosen = append(chosen, p)
		}
	}
	return chosen
}

func (s *Scheduler) portTaken(p Port, slot int) bool {
	t := s.ports[p]
	return t != nil && t.at(slot) > 0
}

// portsClash reports whether two units want the same port.
func (u *unit) portsClash(v *unit) bool {
	return u != v && len(u.spec.Ports)+len(u.spec.Given) > 0 && u.spec.sharesPort(v.spec)
}

// evictPorts keeps, of units that want the same ports or too many, those that
// may stay, in the order of evictConflicts.
func (s *Scheduler) evictPorts(slot int) {
	m := s.machines[slot]
	twice := func(u *unit) bool {
		for p := range u.spec.heldPorts {
			if s.ports[p].at(slot) > 1 {
				return true
			}
		}
		return false
	}
	if !m.rangeTooSmall() && !slices.ContainsFunc(m.residents, twice) {
		return
	}
	units := s.stayers(slot)
	for _, u := range units {
		s.holdPorts(u, slot, -1)
	}
	var keep, leave []*unit
	for _, u := range units {
		s.holdPorts(u, slot, 1)
		if slices.ContainsFunc(keep, u.portsClash) || u.ranges(m) && m.rangeTooSmall() {
			s.holdPorts(u, slot, -1)
			leave = append(leave, u)
			continue
		}
		keep = append(keep, u)
	}
	for _, u := range leave {
		s.holdPorts(u, slot, 1)
		by := ""
		if i := slices.IndexFunc(keep, u.portsClash); i >= 0 {
			by = keep[i].name
		}
		s.evict(u, CodePort, by)
	}
}
