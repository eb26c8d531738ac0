package schedule

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Explain says what each machine of a cluster has to say about a unit, with
// everything else where Cluster.Placed has it. It depends on the cluster alone,
// so anyone who can read the cluster can explain it. Errors are as in Compute,
// or that the cluster has no such unit.
func Explain(c Cluster, unit string) (Explanation, error) {
	s := New(Options{})
	if err := s.Reset(c); err != nil {
		return Explanation{}, err
	}
	u := s.units.named(unit)
	if u == nil || !u.known {
		return Explanation{}, fmt.Errorf("unit %q is not in the cluster", unit)
	}
	s.link()
	for slot := range s.alive.all {
		s.admitGlobals(slot)
	}
	return s.explainFully(u), nil
}

// explainFully is explain, and what would help.
func (s *Scheduler) explainFully(u *unit) Explanation {
	e := s.explain(u)
	if u.active() && !u.spec.Global && u.bound == "" && e.Admitting == 0 {
		e.WouldFitIf = s.wouldFitIf(u)
	}
	return e
}

// explainUnplaced explains each unit that wants a place and has none.
func (s *Scheduler) explainUnplaced() []Explanation {
	var out []Explanation
	units := slices.Collect(s.pending.all)
	for _, g := range s.globals {
		if g.on.empty() {
			units = append(units, g)
		}
	}
	slices.SortFunc(units, compareUnits)
	for _, u := range units {
		out = append(out, s.explain(u))
	}
	return out
}

// verdict is the slots that pass one test.
type verdict struct {
	code Code
	pass bitset
}

// explain tests all machines for a unit as if it were nowhere.
func (s *Scheduler) explain(u *unit) Explanation {
	e := Explanation{Unit: u.name, Global: u.spec.Global, Considered: s.alive.count()}
	if !u.active() {
		e.Never = &Reason{Code: CodeInactive}
		return e
	}
	if u.at >= 0 {
		e.Placed = u.bound
	}
	verdicts := s.verdicts(u)
	rest := s.alive.copyTo(nil)
	nearest := map[int]NearMiss{}
	for i, v := range verdicts {
		failing := rest.copyTo(nil)
		failing.andNot(v.pass)
		rest.and(v.pass)
		if failing.empty() {
			continue
		}
		alone := failing.copyTo(nil)
		for _, other := range verdicts[i+1:] {
			alone.and(other.pass)
		}
		r := s.rejection(u, v.code, failing, alone.count())
		e.Rejected = append(e.Rejected, r)
		s.addNearest(nearest, u, r, alone)
	}
	e.Admitting = rest.count()
	for _, slot := range slices.Sorted(maps.Keys(nearest)) {
		if len(e.Nearest) < sampleNearest {
			e.Nearest = append(e.Nearest, nearest[slot])
		}
	}
	return e
}

// addNearest adds the first few machines of those that fail only for one
// rejection, unless there is no more to say of them than that says already.
func (s *Scheduler) addNearest(to map[int]NearMiss, u *unit, r Rejection, alone bitset) {
	if r.Code == CodeMachineID {
		return // another machine will not become that one
	}
	n := 0
	for slot := range alone.all {
		if n++; n > sampleNearest {
			break
		}
		reason := s.reason(u, r.Code, []int{slot})
		if r.Alone < r.Machines || reason != r.Reason {
			to[slot] = NearMiss{s.machines[slot].ID, reason}
		}
	}
}

// verdicts tests each code by itself, in their order.
func (s *Scheduler) verdicts(u *unit) []verdict {
	restore := s.stepAside(u)
	defer restore()
	return s.verdictsAside(u)
}

// verdictsAside is verdicts for a unit that has stepped aside.
func (s *Scheduler) verdictsAside(u *unit) []verdict {
	all := func() bitset { return s.alive.copyTo(nil) }
	except := func(drop func(b bitset)) bitset {
		b := all()
		drop(b)
		return b
	}
	only := func(pass func(slot int) bool) bitset {
		return except(func(b bitset) {
			for slot := range b.all {
				if !pass(slot) {
					b.clear(slot)
				}
			}
		})
	}
	machine := func(slot int) Machine { return s.machines[slot].Machine }
	return []verdict{
		{CodeCordoned, only(func(slot int) bool { return machine(slot).State != Cordoned || u.spec.Global || slot == u.at })},
		{CodeDraining, only(func(slot int) bool { return !machine(slot).leaving() || u.spec.Global })},
		{CodeMachineID, except(func(b bitset) { s.keepID(b, u) })},
		{CodeDedicated, only(func(slot int) bool { return !s.dedicated.has(slot) || machine(slot).dedicatedTo(u.spec) })},
		{CodeMetadata, only(func(slot int) bool {
			return s.meets(u, slot) || matchesMetadata(machine(slot).Metadata, u.spec.Metadata)
		})},
		{CodeRequire, only(func(slot int) bool { return s.meets(u, slot) || u.spec.Require.Matches(machine(slot).Metadata) })},
		{CodePeer, except(func(b bitset) { s.keepPeers(b, u, nil) })},
		{CodeConflict, except(func(b bitset) { s.dropConflicts(b, u) })},
		{CodeReplaced, except(func(b bitset) { s.dropOusted(b, u) })},
		{CodeMaxPerMachine, except(func(b bitset) { s.dropCrowded(b, u, nil) })},
		{CodePort, only(func(slot int) bool { return s.portsFree(slot, u) })},
		{CodeResource, only(func(slot int) bool { return s.fitsAlone(slot, u) })},
		{CodeSpread, except(func(b bitset) {
			s.dropUneven(b, u, nil)
			if u.at >= 0 {
				b.set(u.at)
			}
		})},
	}
}

// meets reports whether a slot's machine is in the mask of what a unit needs, or
// it needs nothing.
func (s *Scheduler) meets(u *unit, slot int) bool { return u.need == nil || u.need.bits.has(slot) }

// stepAside uncounts a unit where it has a place, and, for a global unit, those
// that are admitted after it. The function returned counts them again.
func (s *Scheduler) stepAside(u *unit) (restore func()) {
	aside := func(n int) {
		if u.at >= 0 {
			s.hold(u, u.at, n)
		}
		if !u.spec.Global {
			return
		}
		for _, g := range s.globals {
			if g.name < u.name {
				continue
			}
			for slot := range g.on.all {
				s.hold(g, slot, n)
			}
		}
	}
	aside(-1)
	u.aside = true
	return func() {
		aside(1)
		u.aside = false
	}
}

func (s *Scheduler) rejection(u *unit, code Code, slots bitset, alone int) Rejection {
	r := Rejection{Machines: slots.count(), Alone: alone}
	failing := slices.Collect(slots.all)
	sample := failing[:min(len(failing), sampleMachines)]
	for _, slot := range sample {
		r.Sample = append(r.Sample, s.machines[slot].ID)
	}
	if code == CodeResource {
		sample = failing // the amounts are of all
	}
	r.Reason = s.reason(u, code, sample)
	return r
}

// reason gives the particulars of a code on some machines that fail it.
func (s *Scheduler) reason(u *unit, code Code, slots []int) Reason {
	switch code {
	case CodeMachineID:
		return Reason{code, detailID(*u.spec)}
	case CodeMetadata:
		var machines []Machine
		for _, slot := range slots {
			machines = append(machines, s.machines[slot].Machine)
		}
		return Reason{code, detailMetadata(*u.spec, machines...)}
	case CodePeer:
		return Reason{code, s.detailPeers(u, slots)}
	case CodeConflict:
		return Reason{code, "with " + nameList(s.namesAt(slots, func(v *unit) bool {
			return u.conflictsWith(v) && !(u.spec.Global && v.spec.Global && v.name > u.name)
		}))}
	case CodeCordoned, CodeDraining:
		return Reason{Code: code}
	case CodeDedicated:
		return Reason{code, s.detailDedicated(slots)}
	case CodeRequire:
		return Reason{code, detailRequire(*u.spec)}
	case CodeMaxPerMachine:
		return Reason{code, detailCrowded(*u.spec, u.team.limit())}
	case CodePort:
		if names := s.namesAt(slots, u.wantsPortOf); names != nil {
			return Reason{code, detailPort + nameList(names)}
		}
		return Reason{code, detailRange}
	case CodeResource:
		return Reason{code, s.detailResources(u, slots)}
	case CodeSpread:
		return Reason{code, detailSpread(*u.spec)}
	default:
		return Reason{code, "by " + nameList(s.namesAt(slots, func(v *unit) bool { return slices.Contains(u.oustedBy, v) }))}
	}
}

// detailDedicated says what some machines are kept for.
func (s *Scheduler) detailDedicated(slots []int) string {
	var to []string
	for _, slot := range slots {
		to = append(to, s.machines[slot].Dedicated)
	}
	return "to " + nameList(to)
}

// wantsPortOf reports whether a unit asks for a port that another holds.
func (u *unit) wantsPortOf(v *unit) bool {
	spec := *u.spec
	spec.Given = nil
	return u != v && spec.sharesPort(v.spec)
}

// detailResources says what is short on any of some machines, and how much
// there is where there is most.
func (s *Scheduler) detailResources(u *unit, slots []int) string {
	var parts []string
	for _, name := range u.spec.Request.names() {
		need, most, short := u.spec.Request.of(name), int64(0), false
		for _, slot := range slots {
			free := s.ledger.free[slot*s.ledger.width+s.ledger.number[name]]
			if need > free {
				short = true
				most = max(most, free)
			}
		}
		if short && len(slots) > 1 {
			parts = append(parts, fmt.Sprintf("%s: needs %s, at most %s free", name, formatAmount(name, need), formatAmount(name, most)))
		} else if short {
			parts = append(parts, detailResource(name, need, most))
		}
	}
	return strings.Join(parts, ", ")
}

// namesAt names the units on some machines that meet a condition.
func (s *Scheduler) namesAt(slots []int, is func(*unit) bool) []string {
	var names []string
	for _, slot := range slots {
		for _, v := range slices.Concat(s.machines[slot].residents, s.machines[slot].globals) {
			if is(v) {
				names = append(names, v.name)
			}
		}
	}
	return names
}

// detailPeers says which peers are missing on any of some machines.
func (s *Scheduler) detailPeers(u *unit, slots []int) string {
	var parts []string
	for _, name := range u.peers {
		p := s.units.named(name)
		known := p != nil && p.known
		missing := func(slot int) bool { return !known || !p.active() || p.at != slot && !p.on.has(slot) }
		if !slices.ContainsFunc(slots, missing) {
			continue
		}
		var spec Unit
		at := ""
		if known {
			spec = *p.spec
			if p.at >= 0 {
				at = p.bound
			}
		}
		parts = append(parts, detailPeer(name, known, spec, at))
	}
	return strings.Join(parts, ", ")
}
