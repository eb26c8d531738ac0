package unit

import (
	"fmt"
	"slices"
)

// contradiction finds options that exclude each other by fleet's rules, first
// hit in fleet's order.
func (o Options) contradiction() *OptionError {
	for _, with := range []struct {
		verb     string
		patterns []string
	}{{"conflict", o.Conflicts}, {"replace", o.Replaces}} {
		for _, peer := range o.MachineOf {
			if i := slices.IndexFunc(with.patterns, func(p string) bool { return matches(p, peer) }); i >= 0 {
				return &OptionError{Key: "MachineOf", Reason: fmt.Sprintf("unresolvable requirements: peer %q matches %s %q", peer, with.verb, with.patterns[i])}
			}
		}
	}
	machineID, peers := o.MachineID != "", len(o.MachineOf) > 0
	conflicts, replaces := len(o.Conflicts) > 0, len(o.Replaces) > 0
	for _, c := range []struct {
		key, other string
		both       bool
	}{
		{"MachineID", "Peers", machineID && peers},
		{"MachineID", "Conflicts", machineID && conflicts},
		{"MachineID", "Global", machineID && o.Global},
		{"MachineID", "Replaces", machineID && replaces},
		{"Global", "Peers", o.Global && peers},
		{"Global", "Replaces", o.Global && replaces},
		{"Conflicts", "Replaces", conflicts && replaces},
	} {
		if c.both {
			return &OptionError{Key: c.key, Reason: c.key + " cannot be used with " + c.other}
		}
	}
	return nil
}

// combinations finds options that exclude each other and that fleet did not
// have.
func (r *optionReader) combinations(o Options) {
	for _, c := range []struct {
		key, other string
		both       bool
	}{
		{"Spread", "Global", o.Global && len(o.Spread) > 0},
		{"MaxPerMachine", "Global", o.Global && o.MaxPerMachine > 0},
		{"Pin", "Global", o.Global && o.PinFirst},
		{"Ports", "Global: dynamic ports are given to one machine", o.Global && o.DynamicPorts > 0},
		{"Spread", "MachineID", o.MachineID != "" && len(o.Spread) > 0},
	} {
		if c.both {
			r.refuse(value{key: c.key, line: r.lineOf(c.key)}, "cannot be used with %s", c.other)
		}
	}
}
