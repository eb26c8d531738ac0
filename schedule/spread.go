package schedule

import (
	"slices"
	"strings"
)

// topology is the domains that some metadata keys make of the machines: those
// with equal values of all of them, and of none if they lack one.
type topology struct {
	keys []string
	// wider is the topology of all keys but the last, nil for one key.
	wider   *topology
	domains []domain
	number  map[string]int // of a domain, by its values
	of      []int          // domain by slot, -1 for none
}

type domain struct {
	values []string
	slots  bitset
	within int // the domain of wider that this one is part of
}

// team is the units of a spread group. It is kept for groups in which an active
// unit asks for spread or for a limit.
type team struct {
	name string
	at   tally // placed active units, by slot
	// limits counts the active units that ask for a limit, by that.
	limits  map[int]int
	spreads []*spread
	askers  int // active units that ask for anything
}

// spread counts a team by domains.
type spread struct {
	topology *topology
	counts   []int
}

// group is the name of the spread group of a unit.
func (u *Unit) group() string {
	if u.Spread.Group != "" {
		return u.Spread.Group
	}
	if i := strings.IndexByte(u.Name, '@'); i >= 0 {
		return u.Name[:i+1]
	}
	return u.Name
}

// asksCompany reports whether it matters to a unit where others of its group are.
func (u *Unit) asksCompany() bool { return len(u.Spread.Keys) > 0 || u.MaxPerMachine > 0 }

// joinTeam gives a unit its team, if there is one.
func (s *Scheduler) joinTeam(u *unit) {
	if u.spec.Global {
		return
	}
	if u.active() && u.spec.asksCompany() {
		s.formTeam(u.spec.group()).ask(s, u.spec, 1)
		s.soilTeam(u.spec.group())
	}
	if len(s.teams) > 0 {
		if t := s.teams[u.spec.group()]; t != nil {
			s.own(u).team = t
		}
	}
	for i := range u.spec.Spread.Keys {
		if u.active() {
			t := s.own(u)
			t.spreads = append(t.spreads, u.team.spreadOver(s, u.spec.Spread.Keys[:i+1]))
		}
	}
}

// leaveTeam takes back what a unit, which is placed nowhere, asks of its team.
func (s *Scheduler) leaveTeam(u *unit) {
	if u.team != nil && u.active() && u.spec.asksCompany() {
		u.team.ask(s, u.spec, -1)
		s.soilTeam(u.team.name)
	}
	if u.ties != s.loose {
		u.team, u.spreads = nil, nil
	}
}

// formTeam returns the team of that name. If it is new, units of that group that
// are known already join it.
func (s *Scheduler) formTeam(name string) *team {
	t := s.teams[name]
	if t != nil {
		return t
	}
	t = &team{name: name, limits: map[int]int{}}
	s.teams[name] = t
	if s.rebuilding {
		return t
	}
	for _, v := range s.ofGroup(name) {
		if v.known && !v.spec.Global && v.team == nil && v.spec.group() == name {
			s.own(v).team = t
			if v.at >= 0 {
				t.at.add(v.at, 1)
			}
		}
	}
	return t
}

func (t *team) ask(s *Scheduler, u *Unit, n int) {
	if t.askers += n; t.askers == 0 {
		s.garbage++
	}
	if u.MaxPerMachine > 0 {
		if t.limits[u.MaxPerMachine] += n; t.limits[u.MaxPerMachine] == 0 {
			delete(t.limits, u.MaxPerMachine)
		}
	}
}

// soilTeam has the places of a team validated: its limit may have changed.
func (s *Scheduler) soilTeam(name string) {
	if t := s.teams[name]; t != nil {
		for slot := range t.at.slots {
			s.dirty.set(slot)
		}
	}
}

// limit is how many units of the team may share a machine; 0 for any number.
func (t *team) limit() int {
	least := 0
	for n := range t.limits {
		if least == 0 || n < least {
			least = n
		}
	}
	return least
}

// spreadOver returns the team's counts by some keys.
func (t *team) spreadOver(s *Scheduler, keys []string) *spread {
	topo := s.topologyOf(keys)
	if i := slices.IndexFunc(t.spreads, func(sp *spread) bool { return sp.topology == topo }); i >= 0 {
		return t.spreads[i]
	}
	sp := &spread{topology: topo}
	t.spreads = append(t.spreads, sp)
	for slot := range t.at.slots {
		sp.add(s, slot, t.at.at(slot))
	}
	return sp
}

// holdTeam counts a unit in a slot for its team, or with n = -1 no more.
func (s *Scheduler) holdTeam(u *unit, slot, n int) {
	if u.team == nil {
		return
	}
	u.team.at.add(slot, n)
	for _, sp := range u.team.spreads {
		sp.add(s, slot, n)
	}
}

// add counts units in a slot. Those on a draining machine are as good as gone.
func (sp *spread) add(s *Scheduler, slot, n int) {
	if d := sp.topology.of[slot]; d >= 0 && !s.draining.has(slot) {
		for len(sp.counts) <= d {
			sp.counts = append(sp.counts, 0)
		}
		sp.counts[d] += n
	}
}

func (sp *spread) count(d int) int {
	if d < len(sp.counts) {
		return sp.counts[d]
	}
	return 0
}

// topologyOf returns the topology of some keys.
func (s *Scheduler) topologyOf(keys []string) *topology {
	name := strings.Join(keys, "\x00")
	if t := s.topologies[name]; t != nil {
		return t
	}
	t := &topology{keys: slices.Clone(keys), number: map[string]int{}}
	if len(keys) > 1 {
		t.wider = s.topologyOf(keys[:len(keys)-1])
	}
	s.topologies[name] = t
	for slot := range s.machines {
		t.locate(slot, s.machines[slot].Metadata)
	}
	return t
}

// locate puts a slot into its domain.
func (t *topology) locate(slot int, metadata map[string]string) {
	for len(t.of) <= slot {
		t.of = append(t.of, -1)
	}
	if d := t.of[slot]; d >= 0 {
		t.domains[d].slots.clear(slot)
		t.of[slot] = -1
	}
	values := make([]string, len(t.keys))
	for i, key := range t.keys {
		v, ok := metadata[key]
		if !ok {
			return
		}
		values[i] = v
	}
	name := strings.Join(values, "\x00")
	d, ok := t.number[name]
	if !ok {
		d = len(t.domains)
		t.number[name] = d
		within := 0
		if t.wider != nil {
			within = t.wider.of[slot]
		}
		t.domains = append(t.domains, domain{values: values, within: within})
	}
	t.of[slot] = d
	t.domains[d].slots.set(slot)
}

// locateAll puts a slot into its domains, the wider ones first.
func (s *Scheduler) locateAll(slot int) {
	for _, t := range s.topologies {
		if t.wider == nil {
			s.locateWithin(t, slot)
		}
	}
}

func (s *Scheduler) locateWithin(t *topology, slot int) {
	t.locate(slot, s.machines[slot].Metadata)
	for _, narrower := range s.topologies {
		if narrower.wider == t {
			s.locateWithin(narrower, slot)
		}
	}
}

// dropUneven drops from mask the slots where a unit, with those of its team that
// come with it, would make a hard spread too uneven.
func (s *Scheduler) dropUneven(mask bitset, u *unit, with []*unit) {
	if u.spec.Spread.MaxSkew == 0 || len(u.spreads) == 0 {
		return
	}
	coming := u.mates(with)
	could := s.open.copyTo(nil)
	s.keepSuitable(could, u)
	for _, sp := range u.spreads {
		var allowed bitset
		for d := range sp.topology.domains {
			least := sp.least(d, could)
			if least >= 0 && sp.count(d)+coming-least <= u.spec.Spread.MaxSkew {
				allowed.or(sp.topology.domains[d].slots)
			}
		}
		mask.and(allowed)
	}
}

// least is the smallest count of the domains beside d that have a slot in could;
// -1 for none.
func (sp *spread) least(d int, could bitset) int {
	least := -1
	for other, dom := range sp.topology.domains {
		if dom.within == sp.topology.domains[d].within && dom.slots.meets(could) {
			if n := sp.count(other); least < 0 || n < least {
				least = n
			}
		}
	}
	return least
}

// mates counts a unit and those of its team among others that are to come with
// it.
func (u *unit) mates(with []*unit) int {
	n := 1
	for _, v := range with {
		if v != u && v.team == u.team && v.at < 0 {
			n++
		}
	}
	return n
}

// dropCrowded drops from mask the slots that have as many of the unit's team as
// may be.
func (s *Scheduler) dropCrowded(mask bitset, u *unit, with []*unit) {
	if u.team == nil || len(u.team.limits) == 0 {
		return
	}
	left := u.team.limit() - u.mates(with)
	if left < 0 {
		clear(mask)
		return
	}
	for slot := range u.team.at.slots {
		if u.team.at.at(slot) > left {
			mask.clear(slot)
		}
	}
}

// evictCrowd keeps as many units of each team as may share a machine, in the
// order of evictConflicts.
func (s *Scheduler) evictCrowd(slot int) {
	crowded := func(u *unit) bool {
		return u.team != nil && len(u.team.limits) > 0 && u.team.at.at(slot) > u.team.limit()
	}
	if len(s.teams) == 0 || !slices.ContainsFunc(s.machines[slot].residents, crowded) {
		return
	}
	var leave []*unit
	stay := map[*team]int{}
	for _, u := range s.stayers(slot) {
		if !crowded(u) {
			continue
		}
		if stay[u.team]++; stay[u.team] > u.team.limit() {
			leave = append(leave, u)
		}
	}
	for _, u := range leave {
		s.evict(u, CodeMaxPerMachine, "")
	}
}
