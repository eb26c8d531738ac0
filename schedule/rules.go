package schedule

import (
	"fmt"
	"maps"
	"path"
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
func AdmitsGlobal(m Machine, on []Unit, u Unit) (bool, Reason) {
	if !u.Active {
		return false, Reason{Code: CodeInactive}
	}
	for _, r := range []Reason{whyNotID(m, u), whyNotMetadata(m, u), whyNotConflict(on, u), whyNotResource(m, on, u)} {
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
		whyNotID(m, u), whyNotMetadata(m, u), c.whyNotPeer(m, on, u),
		whyNotConflict(on, u), c.whyNotReplaced(on, u), whyNotResource(m, on, u),
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

// shortID is how many characters of a machine ID name it in MachineID.
const shortID = 8

func matchesID(m Machine, id string) bool {
	return id == "" || id == m.ID || len(id) == shortID && strings.HasPrefix(m.ID, id)
}

func whyNotID(m Machine, u Unit) Reason {
	if matchesID(m, u.MachineID) {
		return Reason{}
	}
	return Reason{CodeMachineID, detailID(u)}
}

func detailID(u Unit) string { return "is not " + u.MachineID }

func matchesMetadata(have map[string]string, need map[string][]string) bool {
	for key, values := range need {
		if v, ok := have[key]; !ok || !slices.Contains(values, v) {
			return false
		}
	}
	return true
}

func whyNotMetadata(m Machine, u Unit) Reason {
	if matchesMetadata(m.Metadata, u.Metadata) {
		return Reason{}
	}
	return Reason{CodeMetadata, detailMetadata(u, m)}
}

// detailMetadata names the keys that any of the machines has wrong.
func detailMetadata(u Unit, machines ...Machine) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(u.Metadata)) {
		values := u.Metadata[key]
		wrong := func(m Machine) bool {
			v, ok := m.Metadata[key]
			return !ok || !slices.Contains(values, v)
		}
		if slices.ContainsFunc(machines, wrong) {
			parts = append(parts, fmt.Sprintf("%s is not in {%s}", key, strings.Join(values, ", ")))
		}
	}
	return strings.Join(parts, ", ")
}

// whyNotPeer looks for the units of MachineOf on machine m.
func (c Cluster) whyNotPeer(m Machine, on []Unit, u Unit) Reason {
	if u.Global {
		return Reason{}
	}
	var parts []string
	for _, name := range peersOf(u) {
		if slices.ContainsFunc(on, func(v Unit) bool { return v.Name == name }) {
			continue
		}
		peer, known := c.unit(name)
		at := c.Placed[name]
		if _, there := c.machine(at); !there {
			at = ""
		}
		parts = append(parts, detailPeer(name, known, peer, at))
	}
	if parts == nil {
		return Reason{}
	}
	return Reason{CodePeer, strings.Join(parts, ", ")}
}

// detailPeer says what is wrong with a peer that is not on a machine; at is the
// machine where it is.
func detailPeer(name string, known bool, peer Unit, at string) string {
	switch {
	case !known:
		return "needs " + name + ", which is unknown"
	case !peer.Active:
		return "needs " + name + ", which is inactive"
	case peer.Global:
		return "needs " + name + ", which is global and not there"
	case at == "":
		return "needs " + name + ", which is not placed"
	}
	return "needs " + name + ", which is on " + at
}

// peersOf returns the names in MachineOf, sorted, each once, without u itself.
func peersOf(u Unit) []string {
	if len(u.MachineOf) == 0 {
		return nil
	}
	names := slices.Compact(slices.Sorted(slices.Values(u.MachineOf)))
	return slices.DeleteFunc(names, func(name string) bool { return name == u.Name })
}

func whyNotConflict(on []Unit, u Unit) Reason {
	return namedReason(CodeConflict, "with ", on, func(v Unit) bool { return inConflict(u, v) })
}

func inConflict(a, b Unit) bool {
	return a.Name != b.Name && (anyMatches(a.Conflicts, b.Name) || anyMatches(b.Conflicts, a.Name))
}

func anyMatches(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool {
		ok, err := path.Match(glob, name)
		return ok && err == nil
	})
}

// replaces reports whether v asks for u to leave when it comes.
func replaces(v, u Unit) bool {
	return !v.Global && !u.Global && v.Name != u.Name && anyMatches(v.Replaces, u.Name)
}

func (c Cluster) whyNotReplaced(on []Unit, u Unit) Reason {
	if !slices.ContainsFunc(on, func(v Unit) bool { return replaces(v, u) }) {
		return Reason{}
	}
	rings := replaceRings(c.Units)
	return namedReason(CodeReplaced, "by ", on, func(v Unit) bool { return replaces(v, u) && rings[v.Name] != rings[u.Name] })
}

// whyNotResource compares what u requests with what the others leave.
func whyNotResource(m Machine, on []Unit, u Unit) Reason {
	var taken Resources
	for _, v := range on {
		taken = taken.plus(v.Request)
	}
	var parts []string
	for _, name := range u.Request.names() {
		if free := m.capacity(name) - taken.of(name); u.Request.of(name) > free {
			parts = append(parts, detailResource(name, u.Request.of(name), free))
		}
	}
	if parts == nil {
		return Reason{}
	}
	return Reason{CodeResource, strings.Join(parts, ", ")}
}

// capacity is what the machine has of a resource.
func (m Machine) capacity(name string) int64 {
	switch {
	case m.Capacity != nil:
		return m.Capacity.of(name)
	case name == nameCPU || name == nameMemory || name == nameDisk:
		return unlimited
	}
	return 0
}

func detailResource(name string, need, free int64) string {
	return fmt.Sprintf("%s: needs %s, %s free", name, formatAmount(name, need), formatAmount(name, max(0, free)))
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
func leavesBefore(a, b Unit) bool {
	if a.Priority != b.Priority {
		return a.Priority < b.Priority
	}
	if a.Generation != b.Generation {
		return a.Generation > b.Generation
	}
	return a.Name > b.Name
}
