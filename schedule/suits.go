package schedule

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// This file holds the rules that a machine meets or not whatever is placed.

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

// whyUnsuitable is the first reason why a machine does not suit a unit, whatever
// else is there.
func whyUnsuitable(m Machine, u Unit) Reason {
	for _, r := range []Reason{whyNotID(m, u), whyNotDedicated(m, u), whyNotMetadata(m, u), whyNotRequire(m, u)} {
		if r.Code != "" {
			return r
		}
	}
	return Reason{}
}

func whyNotDedicated(m Machine, u Unit) Reason {
	if m.dedicatedTo(&u) {
		return Reason{}
	}
	return Reason{CodeDedicated, "to " + m.Dedicated}
}

func whyNotRequire(m Machine, u Unit) Reason {
	if u.Require.Matches(m.Metadata) {
		return Reason{}
	}
	return Reason{CodeRequire, detailRequire(u)}
}

func detailRequire(u Unit) string { return "not " + u.Require.grouped() }

// whyNotOpen looks at the state of a machine. A cordoned one keeps what it has.
func (c Cluster) whyNotOpen(m Machine, u Unit) Reason {
	switch {
	case m.leaving() && !u.Global:
		return Reason{Code: CodeDraining}
	case m.State == Cordoned && !u.Global && c.Placed[u.Name] != m.ID:
		return Reason{Code: CodeCordoned}
	}
	return Reason{}
}
