package unit

import (
	"fmt"
	"path"
	"slices"
)

// fleetSection is where placement options stand; systemd ignores it, as all
// sections that begin with "X-".
const fleetSection = "X-Fleet"

// Options are the placement options of a unit, those of the [X-Fleet] section.
// The zero Options let a unit run on any one machine.
type Options struct {
	// MachineID is the only machine for the unit: a full machine id or its
	// first 8 characters.
	MachineID string
	// MachineOf are units with all of which the unit must share its machine.
	MachineOf []string
	// MachineMetadata is what the machine's metadata must hold: for each key
	// one of the values.
	MachineMetadata map[string][]string
	// Conflicts and Replaces are path.Match patterns of unit names: never to
	// share a machine with a match, or to push a match to another machine.
	Conflicts, Replaces []string
	// Global units run on every machine that suits them.
	Global bool
}

// Warning is a finding about options that does not stop a unit.
type Warning struct {
	Key string
	// Line is that of the option in the text that was parsed; 0 if unknown.
	Line int
	Text string
	// Unknown marks a key that is none of fleet's. A scheduler with options of
	// its own passes over those it knows.
	Unknown bool
}

// OptionError tells why the options of a unit cannot be. Its text for options
// that exclude each other is fleet's.
type OptionError struct {
	Key    string // the first option at fault
	Reason string
}

// Error gives the reason.
func (e *OptionError) Error() string { return e.Reason }

// The spellings of each option; earlier ones come first where values are
// merged.
var (
	machineIDKeys = []string{"MachineID", "X-ConditionMachineID", "X-ConditionMachineBootID"}
	machineOfKeys = []string{"X-ConditionMachineOf", "MachineOf"}
	metadataKeys  = []string{"X-ConditionMachineMetadata", "MachineMetadata"}
	conflictsKeys = []string{"X-Conflicts", "Conflicts"}
	replacesKeys  = []string{"Replaces"}
	globalKeys    = []string{"Global"}
)

// ParseOptions reads and checks the [X-Fleet] section of the unit's file. Keys
// are case-sensitive; the X-Condition spellings count as the modern ones.
//
// A value that begins and ends with a quote is a list, split at spaces outside
// quotes; any other is one value, quotes and all. Conflicts alone is split at
// white space besides. Specifiers (see [Name.Expand]) are expanded before
// anything is checked, but for a template, whose name does not say yet what
// they stand for.
//
// The error is an [*OptionError]: options that fleet refuses in combination, in
// fleet's order, or a hard constraint without a value, which would be met
// nowhere. Values that are ignored, such as metadata without "=", are warnings.
func ParseOptions(name string, f *File) (Options, []Warning, error) {
	r := optionReader{name: Name(name), file: f}
	r.unknownKeys()
	var o Options
	if ids := r.required(machineIDKeys); len(ids) > 0 {
		o.MachineID = ids[0]
	}
	o.MachineOf = r.required(machineOfKeys)
	o.MachineMetadata = r.metadata()
	o.Conflicts = r.fields(conflictsKeys)
	o.Replaces = texts(r.filled(replacesKeys))
	o.Global = r.boolean(globalKeys)
	if err := o.contradiction(); err != nil {
		return Options{}, r.warnings, err
	}
	if r.fault != nil {
		return Options{}, r.warnings, r.fault
	}
	return o, r.warnings, nil
}

// contradiction finds options that exclude each other, first hit in fleet's
// order.
func (o Options) contradiction() *OptionError {
	for _, with := range []struct {
		verb     string
		patterns []string
	}{{"conflict", o.Conflicts}, {"replace", o.Replaces}} {
		for _, peer := range o.MachineOf {
			if i := slices.IndexFunc(with.patterns, func(p string) bool { return matches(p, peer) }); i >= 0 {
				return &OptionError{"MachineOf", fmt.Sprintf("unresolvable requirements: peer %q matches %s %q", peer, with.verb, with.patterns[i])}
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
			return &OptionError{c.key, c.key + " cannot be used with " + c.other}
		}
	}
	return nil
}

// matches reports whether a pattern fits; a bad pattern fits nothing.
func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
