package schedule

import (
	"maps"
	"slices"
)

// Violation is a placement that must not stay as it is.
type Violation struct {
	Unit, Machine string
	Reason
}

// String is "web.service on m1: conflict: with db.service".
func (v Violation) String() string { return v.Unit + " on " + v.Machine + ": " + v.Reason.String() }

// Check returns what is wrong with the placements of a cluster, by unit: nothing
// for one that a plan has made whole. Of two units that cannot stay together it
// names the one to leave; of units that request more in sum than their machine
// has, or want one port, each that has a part in it. Nothing is wrong with a
// unit that has not left a draining machine yet, and a spread that has become
// uneven may stay so. It looks at pairs of units, by the rules and without
// the indexes that Compute uses, so each is a test of the other.
func Check(c Cluster) []Violation {
	units := make(map[string]Unit, len(c.Units))
	for _, u := range c.Units {
		units[u.Name] = u
	}
	machines := make(map[string]Machine, len(c.Machines))
	for _, m := range c.Machines {
		machines[m.ID] = m
	}
	sharing := c.sharing()
	rings := replaceRings(c.Units)
	limits := c.limits()

	var out []Violation
	for _, name := range slices.Sorted(maps.Keys(c.Placed)) {
		id := c.Placed[name]
		u, known := units[name]
		m, alive := machines[id]
		var reasons []Reason
		switch {
		case !known:
			reasons = []Reason{{Code: CodeUnknown}}
		case !u.Active:
			reasons = []Reason{{Code: CodeInactive}}
		case u.Global:
			reasons = []Reason{{Code: CodeGlobal}}
		case !alive:
			reasons = []Reason{{Code: CodeMachineLost}}
		default:
			on := sharing[id]
			reasons = []Reason{
				whyNotID(m, u),
				whyNotDedicated(m, u),
				whyNotMetadata(m, u),
				whyNotRequire(m, u),
				c.whyNotPeer(m, on, u),
				namedReason(CodeConflict, "with ", on, func(v Unit) bool { return inConflict(u, v) && leavesBefore(&u, &v) }),
				namedReason(CodeReplaced, "by ", on, func(v Unit) bool { return replaces(v, u) && rings[v.Name] != rings[u.Name] }),
				overLimit(on, u, limits[u.group()]),
				whyNotPort(m, without(on, u), u, true),
				whyNotResource(m, without(on, u), u),
			}
		}
		for _, r := range reasons {
			if r.Code != "" {
				out = append(out, Violation{name, id, r})
			}
		}
	}
	return out
}

// overLimit counts the units of the same spread group that stay before u.
func overLimit(on []Unit, u Unit, limit int) Reason {
	if limit == 0 {
		return Reason{}
	}
	before := slices.DeleteFunc(slices.Clone(on), func(v Unit) bool { return v.Name == u.Name || !leavesBefore(&u, &v) })
	return whyNotCrowded(before, u, limit)
}

// without returns the units other than u.
func without(units []Unit, u Unit) []Unit {
	return slices.DeleteFunc(slices.Clone(units), func(v Unit) bool { return v.Name == u.Name })
}

// sharing returns the units on each machine, global ones included.
func (c Cluster) sharing() map[string][]Unit {
	on := map[string][]Unit{}
	var globals []Unit
	for _, u := range c.Units {
		switch id := c.Placed[u.Name]; {
		case !u.Active:
		case u.Global:
			globals = append(globals, u)
		case id != "":
			on[id] = append(on[id], u)
		}
	}
	for _, m := range c.Machines {
		on[m.ID] = withGlobals(m, on[m.ID], globals)
	}
	return on
}
