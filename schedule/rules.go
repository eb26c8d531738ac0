package schedule

import (
	"slices"
	"strings"
)

// This file holds the rules pair by pair, as they read. The Scheduler answers
// the same questions from indexes; the tests hold the two together.

// AdmitsGlobal reports whether machine m runs the global unit u, and the reason
// if not. On are the units that already have their place there: those placed on
// m, and the global units that were admitted before. Walk global units in order
// of name; then scheduler and machine come to the same set. So a unit that is
// placed stands before a global one, and of two global units the lesser name.
//
// The state of the machine does not matter. What runs on a cordoned or draining
// machine stays if it is global, and nothing that both sides know tells it from
// a unit that would be new there: to refuse the one would be to stop the other.
func AdmitsGlobal(m Machine, on []Unit, u Unit) (bool, Reason) {
	if !u.Active {
		return false, Reason{Code: CodeInactive}
	}
	for _, r := range []Reason{whyUnsuitable(m, u), whyNotConflict(on, u), whyNotPort(m, on, u, false), whyNotResource(m, on, u)} {
		if r.Code != "" {
			return false, r
		}
	}
	return true, Reason{}
}

// WhyNot returns every reason why a unit may not be on a machine, given what is
// placed elsewhere; nil if it may be there, or is.
func WhyNot(c Cluster, unit, machine string) []Reason {
	u, ok := c.unit(unit)
	if !ok {
		return []Reason{{Code: CodeUnknown}}
	}
	if !u.Active {
		return []Reason{{Code: CodeInactive}}
	}
	m, ok := c.machine(machine)
	if !ok {
		return []Reason{{Code: CodeMachineLost, Detail: machine + " is not in the cluster"}}
	}
	on := c.on(m, u)
	reasons := []Reason{
		c.whyNotOpen(m, u), whyNotID(m, u), whyNotDedicated(m, u), whyNotMetadata(m, u), whyNotRequire(m, u), c.whyNotPeer(m, on, u),
		whyNotConflict(on, u), c.whyNotReplaced(on, u), whyNotCrowded(on, u, c.limits()[u.group()]), whyNotPort(m, on, u, c.Placed[u.Name] == m.ID), whyNotResource(m, on, u), c.whyNotSpread(m, u),
	}
	return slices.DeleteFunc(reasons, func(r Reason) bool { return r.Code == "" })
}

// on returns the units on machine m other than u: those placed there and,
// beside them, the global units; those before u if u is global.
func (c Cluster) on(m Machine, u Unit) []Unit {
	var on, globals []Unit
	for _, v := range c.Units {
		switch {
		case !v.Active:
		case v.Global && !(u.Global && v.Name >= u.Name):
			globals = append(globals, v)
		case !v.Global && c.Placed[v.Name] == m.ID:
			on = append(on, v)
		}
	}
	on = withGlobals(m, on, globals)
	return slices.DeleteFunc(on, func(v Unit) bool { return v.Name == u.Name })
}

// withGlobals adds to the units placed on a machine the global units that it
// admits beside them.
func withGlobals(m Machine, on, globals []Unit) []Unit {
	for _, g := range slices.SortedFunc(slices.Values(globals), func(a, b Unit) int { return strings.Compare(a.Name, b.Name) }) {
		if ok, _ := AdmitsGlobal(m, on, g); ok {
			on = append(on, g)
		}
	}
	return on
}

func (c Cluster) unit(name string) (Unit, bool) {
	i := slices.IndexFunc(c.Units, func(u Unit) bool { return u.Name == name })
	if i < 0 {
		return Unit{}, false
	}
	return c.Units[i], true
}

func (c Cluster) machine(id string) (Machine, bool) {
	i := slices.IndexFunc(c.Machines, func(m Machine) bool { return m.ID == id })
	if i < 0 {
		return Machine{}, false
	}
	return c.Machines[i], true
}

// namedReason names the first few of the units that meet a condition.
func namedReason(code Code, word string, on []Unit, is func(Unit) bool) Reason {
	var names []string
	for _, v := range on {
		if is(v) {
			names = append(names, v.Name)
		}
	}
	if names == nil {
		return Reason{}
	}
	return Reason{code, word + nameList(names)}
}

// nameList lists names, the first few of many.
func nameList(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > sampleUnits {
		return strings.Join(names[:sampleUnits], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

// leavesBefore reports whether a, of two units that cannot stay together, is
// the one to leave: the one of lower priority, else the later, else the greater
// name.
func leavesBefore(a, b *Unit) bool {
	if a.Priority != b.Priority {
		return a.Priority < b.Priority
	}
	if a.Generation != b.Generation {
		return a.Generation > b.Generation
	}
	return a.Name > b.Name
}
