package schedule

import (
	"slices"
	"strings"
)

// This file keeps the indexes of a Scheduler true to its machines and units.

// addMachine gives a machine the next slot. Its ID is the greatest.
func (s *Scheduler) addMachine(m Machine) int {
	slot := len(s.machines)
	if len(s.spare) == 0 {
		s.spare = make([]machine, 1)
	}
	s.machines = append(s.machines, &s.spare[0])
	s.spare = s.spare[1:]
	s.slots[m.ID] = slot
	s.ledger.addSlot()
	s.revive(slot, m)
	return slot
}

func (s *Scheduler) revive(slot int, m Machine) {
	s.machines[slot].Machine = m
	s.alive.set(slot)
	s.ledger.report(m, 1)
	s.ledger.setCapacity(slot, m)
	s.counts.add(slot)
	s.grid.touch(slot)
	s.dirty.set(slot)
	s.describe(slot)
}

// describe enters what a machine says of itself into the indexes.
func (s *Scheduler) describe(slot int) {
	m := s.machines[slot].Machine
	s.open.put(slot, m.State == Open)
	s.draining.put(slot, m.leaving())
	s.dedicated.put(slot, m.Dedicated != "")
	s.fitMasks(slot)
	s.locateAll(slot)
}

// entry returns the unit of that name, a new one if need be.
func (s *Scheduler) entry(name string) *unit {
	u := s.units.named(name)
	if u == nil {
		u = s.newUnit(name)
		s.units.add(u)
		s.names.add(u)
		s.findPatterns(u)
	}
	return u
}

// active reports whether the unit wants to be somewhere.
func (u *unit) active() bool { return u.known && u.spec.Active }

// forget takes a unit out of the indexes, before its spec changes.
func (s *Scheduler) forget(u *unit) {
	if !u.known {
		return
	}
	s.detach(u)
	if u.active() && u.spec.Global {
		for slot := range u.on.all {
			s.dismissGlobals(slot)
		}
		s.globals = slices.DeleteFunc(s.globals, func(g *unit) bool { return g == u })
		s.dirty = s.alive.copyTo(s.dirty)
	}
	s.leaveTeam(u)
	s.names.leaveGroup(u)
	for _, p := range slices.Concat(u.conflicts, u.replaces, u.soft) {
		if p.refs--; p.refs == 0 {
			s.garbage++
		}
	}
	if u.active() {
		s.ledger.want(u, -1)
	}
	s.releaseMask(u.need)
	s.relink = s.relink || s.replaces.any()
	for _, k := range u.prefers {
		s.releaseMask(k)
	}
	u.need = nil
	if u.ties != s.loose {
		u.peers, u.conflicts = nil, nil
	}
	if u.rareTies != s.loose.rareTies {
		u.prefers, u.replaces, u.soft = nil, nil, nil
	}
}

// usePatterns gives a unit the patterns and peers of its spec.
func (s *Scheduler) usePatterns(u *unit) {
	for _, glob := range distinct(u.spec.Conflicts) {
		p, isNew := s.conflicts.use(glob)
		t := s.own(u)
		t.conflicts = append(t.conflicts, p)
		if isNew {
			s.findNames(p, func(v *unit) *[]*pattern { return &s.own(v).conflictHits })
		}
	}
	if u.spec.Global {
		return
	}
	if peers := peersOf(*u.spec); peers != nil {
		s.own(u).peers = peers
	}
	for _, glob := range distinct(u.spec.SoftConflicts) {
		p, isNew := s.softConflicts.use(glob)
		t := s.ownRare(u)
		t.soft = append(t.soft, p)
		if isNew {
			s.findNames(p, func(v *unit) *[]*pattern { return &s.ownRare(v).softHits })
		}
	}
	for _, glob := range distinct(u.spec.Replaces) {
		p, isNew := s.replaces.use(glob)
		t := s.ownRare(u)
		t.replaces = append(t.replaces, p)
		if isNew {
			s.findNames(p, func(v *unit) *[]*pattern { return &s.ownRare(v).replaceHits })
		}
	}
}

func distinct(globs []string) []string {
	if len(globs) < 2 {
		return globs
	}
	return slices.Compact(slices.Sorted(slices.Values(globs)))
}

// findNames adds a new pattern to the units whose names match. While the
// indexes are rebuilt, patterns come first and there is nothing to add to.
func (s *Scheduler) findNames(p *pattern, hits func(*unit) *[]*pattern) {
	if s.rebuilding {
		return
	}
	for v := range s.matching(p) {
		if !strings.HasPrefix(v.name, p.prefix) || !p.matches(v.name) {
			continue
		}
		h := hits(v)
		*h = append(*h, p)
		if v.at >= 0 {
			p.matching.add(v.at, 1)
		}
		for slot := range v.on.all {
			p.matching.add(slot, 1)
		}
	}
}

// findPatterns finds the patterns that match a new name.
func (s *Scheduler) findPatterns(u *unit) {
	if hits := s.conflicts.match(u.name); hits != nil {
		s.own(u).conflictHits = hits
	}
	if hits := s.softConflicts.match(u.name); hits != nil {
		s.ownRare(u).softHits = hits
	}
	if hits := s.replaces.match(u.name); hits != nil {
		s.ownRare(u).replaceHits = hits
	}
}

// arrive enters a unit into the indexes, as its spec and binding say.
func (s *Scheduler) arrive(u *unit) {
	s.settled = false
	if u.known {
		if u.need = s.needMask(u.spec); u.need != nil {
			s.needy = u
		}
		for _, p := range u.spec.Prefer {
			t := s.ownRare(u)
			t.prefers = append(t.prefers, s.useMask("prefer "+p.Expr.String(), func(m Machine) bool { return p.Expr.Matches(m.Metadata) }))
		}
		s.names.joinGroup(u)
		s.joinTeam(u)
		s.relink = s.relink || s.replaces.any()
	}
	if u.active() {
		s.ledger.want(u, 1)
	}
	if u.active() && u.spec.Global {
		i, _ := slices.BinarySearchFunc(s.globals, u, compareUnits)
		s.globals = slices.Insert(s.globals, i, u)
		s.dirty = s.alive.copyTo(s.dirty)
	}
	s.settle(u)
}

func compareUnits(a, b *unit) int { return strings.Compare(a.name, b.name) }

// settle makes what depends on a unit's binding follow it.
func (s *Scheduler) settle(u *unit) {
	s.settled = false
	wants := u.active() && !u.spec.Global
	slot := -1
	if wants && u.bound != "" {
		if at, seen := s.slots[u.bound]; seen && s.alive.has(at) {
			slot = at
		}
	}
	if u.at != slot {
		s.detach(u)
		s.attach(u, slot)
	}
	switch {
	case u.bound != "" && u.at < 0:
		s.pending.drop(u)
		s.stray.add(u)
	case u.bound == "" && wants:
		s.stray.drop(u)
		s.pending.add(u)
	default:
		s.stray.drop(u)
		s.pending.drop(u)
	}
	if !u.known && u.bound == "" {
		s.units.drop(u)
		s.names.drop(u)
	}
}

// isPending reports whether a unit is to be placed.
func (s *Scheduler) isPending(u *unit) bool {
	return s.pending.has(u)
}

// attach gives a unit a place, unless slot is -1.
func (s *Scheduler) attach(u *unit, slot int) {
	if slot < 0 {
		return
	}
	s.moveIn(u, slot)
	s.hold(u, slot, 1)
}

// inhabited reports whether any unit has a place in a slot.
func (s *Scheduler) inhabited(slot int) bool {
	return s.counts.of(slot) > len(s.machines[slot].globals)
}

// moveIn makes a unit a resident of a slot.
func (s *Scheduler) moveIn(u *unit, slot int) {
	m := s.machines[slot]
	u.at, u.pos = slot, int32(len(m.residents))
	m.residents = append(m.residents, u)
	s.housed++
}

// detach takes a unit from its place, if it has one.
func (s *Scheduler) detach(u *unit) {
	if u.at < 0 {
		return
	}
	m := s.machines[u.at]
	last := len(m.residents) - 1
	m.residents[u.pos] = m.residents[last]
	m.residents[u.pos].pos = u.pos
	m.residents[last] = nil
	m.residents = m.residents[:last]
	s.housed--
	s.hold(u, u.at, -1)
	u.at = -1
}

// hold enters what a unit holds in a slot into all books, or with n = -1 takes
// it out.
func (s *Scheduler) hold(u *unit, slot, n int) {
	s.ledger.take(slot, u, int64(n))
	s.countIn(slot, n)
	s.holdTies(u, slot, n)
}

// holdTies is hold for what others have to do with where the unit is.
func (s *Scheduler) holdTies(u *unit, slot, n int) {
	s.machines[slot].stamp++
	if u.ties != s.loose {
		u.count(slot, n)
		s.holdTeam(u, slot, n)
	}
	if !u.modest {
		s.holdPorts(u, slot, n)
	}
}

// countIn notes that a slot holds so many units more.
func (s *Scheduler) countIn(slot, n int) {
	s.shortlist.note(slot)
	s.counts.change(slot, n)
	s.grid.touch(slot)
	s.dirty.set(slot)
}

// count adds n to the tallies of a slot in which the unit counts.
func (u *unit) count(slot, n int) {
	for _, p := range u.conflicts {
		p.carrying.add(slot, n)
	}
	for _, p := range u.conflictHits {
		p.matching.add(slot, n)
	}
	for _, p := range u.soft {
		p.carrying.add(slot, n)
	}
	for _, p := range u.softHits {
		p.matching.add(slot, n)
	}
}

// conflictsAt reports whether anything counted in a slot conflicts with the
// unit, which is not counted there.
func (u *unit) conflictsAt(slot int) bool {
	return slices.ContainsFunc(u.conflicts, func(p *pattern) bool { return p.matching.at(slot) > 0 }) ||
		slices.ContainsFunc(u.conflictHits, func(p *pattern) bool { return p.carrying.at(slot) > 0 })
}

// conflictsWith is inConflict by patterns.
func (u *unit) conflictsWith(v *unit) bool {
	hits := func(a, b *unit) bool {
		return slices.ContainsFunc(a.conflicts, func(p *pattern) bool { return slices.Contains(b.conflictHits, p) })
	}
	return u != v && (hits(u, v) || hits(v, u))
}
