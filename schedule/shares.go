package schedule

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// This file holds the rules on what a machine is shared with.

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

// whyNotCrowded counts the units of the same spread group.
func whyNotCrowded(on []Unit, u Unit, limit int) Reason {
	n := 0
	for _, v := range on {
		if !v.Global && v.group() == u.group() {
			n++
		}
	}
	if u.Global || limit == 0 || n < limit {
		return Reason{}
	}
	return Reason{CodeMaxPerMachine, detailCrowded(u, limit)}
}

func detailCrowded(u Unit, limit int) string {
	return fmt.Sprintf("at most %d of %s", limit, u.group())
}

// limits is how many units of a spread group may share a machine, by group,
// where any says so.
func (c Cluster) limits() map[string]int {
	limits := map[string]int{}
	for _, v := range c.Units {
		if !v.Active || v.Global || v.MaxPerMachine == 0 {
			continue
		}
		if n, ok := limits[v.group()]; !ok || v.MaxPerMachine < n {
			limits[v.group()] = v.MaxPerMachine
		}
	}
	return limits
}

// whyNotSpread counts the units of u's spread group by domains, as they would be
// with u on machine m.
func (c Cluster) whyNotSpread(m Machine, u Unit) Reason {
	if u.Spread.MaxSkew == 0 || u.Global || c.Placed[u.Name] == m.ID {
		return Reason{}
	}
	for i := range u.Spread.Keys {
		keys := u.Spread.Keys[:i+1]
		own, ok := domainOf(m, keys)
		counts, eligible := c.spreadCounts(u, keys)
		least := -1
		for d := range eligible {
			if within(d, own) && (least < 0 || counts[d] < least) {
				least = counts[d]
			}
		}
		if !ok || least < 0 || counts[own]+1-least > u.Spread.MaxSkew {
			return Reason{CodeSpread, detailSpread(u)}
		}
	}
	return Reason{}
}

func detailSpread(u Unit) string {
	return fmt.Sprintf("%s: more than %d apart", strings.Join(u.Spread.Keys, "/"), u.Spread.MaxSkew)
}

// spreadCounts counts the other units of u's spread group by domain, and finds
// the domains that have a machine for u.
func (c Cluster) spreadCounts(u Unit, keys []string) (counts map[string]int, eligible map[string]bool) {
	counts, eligible = map[string]int{}, map[string]bool{}
	machines := map[string]Machine{}
	for _, m := range c.Machines {
		machines[m.ID] = m
		if d, ok := domainOf(m, keys); ok && m.State == Open && whyUnsuitable(m, u).Code == "" {
			eligible[d] = true
		}
	}
	for _, v := range c.Units {
		m, alive := machines[c.Placed[v.Name]]
		if d, ok := domainOf(m, keys); ok && alive && !m.leaving() && v.Active && !v.Global && v.Name != u.Name && v.group() == u.group() {
			counts[d]++
		}
	}
	return counts, eligible
}

// domainOf names the domain of a machine.
func domainOf(m Machine, keys []string) (string, bool) {
	var b strings.Builder
	for _, key := range keys {
		v, ok := m.Metadata[key]
		if !ok {
			return "", false
		}
		b.WriteString("\x00" + v)
	}
	return b.String(), true
}

// within reports whether two domains are the same but for the last key.
func within(a, b string) bool {
	i, j := strings.LastIndexByte(a, 0), strings.LastIndexByte(b, 0)
	return i >= 0 && j >= 0 && a[:i] == b[:j]
}

// whyNotPort compares the ports u wants with those of the others. Here tells
// that u is there, with the ports it was given.
func whyNotPort(m Machine, on []Unit, u Unit, here bool) Reason {
	ranged, dynamic := m.rangedBy(&u), u.DynamicPorts
	for _, v := range on {
		ranged += m.rangedBy(&v)
		dynamic += v.DynamicPorts
	}
	if !here {
		u.Given = nil
	}
	switch clash := portHolders(on, u); {
	case clash != nil:
		return Reason{CodePort, detailPort + nameList(clash)}
	case dynamic > 0 && m.rangedBy(&u) > 0 && ranged > m.rangeSize():
		return Reason{CodePort, detailRange}
	}
	return Reason{}
}

const (
	detailPort  = "held by "
	detailRange = "too few left in the range"
)

// portHolders names the units that hold a port that u wants.
func portHolders(on []Unit, u Unit) []string {
	var names []string
	for _, v := range on {
		if v.Name != u.Name && u.sharesPort(&v) {
			names = append(names, v.Name)
		}
	}
	return names
}

// sharesPort reports whether two units hold the same port.
func (u *Unit) sharesPort(v *Unit) bool {
	for p := range u.heldPorts {
		for q := range v.heldPorts {
			if p == q {
				return true
			}
		}
	}
	return false
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
