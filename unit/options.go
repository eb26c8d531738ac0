package unit

import (
	"fmt"
	"path"
)

// fleetSection is where placement options stand; systemd ignores it, as all
// sections that begin with "X-".
const fleetSection = "X-Fleet"

// Options are the placement options of a unit, those of the [X-Fleet] section,
// and what its other settings say of its size. The zero Options let a unit run
// on any one machine.
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

	// The fields below are not fleet's. Older programs ignore their options.

	// Request is what the unit must have of a machine, all for itself.
	Request Resources
	// Limits is what the unit's own settings let it take at most, or keep for
	// it: CPUQuota, MemoryMax and their like. It says how large the unit is
	// likely to be, where Request does not.
	Limits Resources
	// Ports are ports of the machine that no other unit there may hold.
	// DynamicPorts is how many more the unit wants, whichever they are.
	Ports        []Port
	DynamicPorts int
	// Priority, -1000 to 1000, says which unit comes first where there is not
	// room for all.
	Priority int
	// NotPreemptible units are not moved for others, NotMovable ones only for
	// units of higher priority.
	NotPreemptible, NotMovable bool
	// Spread are the metadata keys over whose values the units of the
	// SpreadGroup are spread, the widest first: zone, then rack in the zone.
	// MaxSkew is by how many units the values may differ; 0 means as even as
	// can be. An empty SpreadGroup is that of the unit's template.
	Spread      []string
	MaxSkew     int
	SpreadGroup string
	// MaxPerMachine is how many units of the SpreadGroup may share a machine;
	// 0 for any number.
	MaxPerMachine int
	// SoftConflicts are patterns as in Conflicts, of units that had better be
	// elsewhere.
	SoftConflicts []string
	// Require are conditions that the machine's metadata must meet, all of
	// them, and Prefer conditions that they had better meet.
	Require []Condition
	Prefer  []Preference
	// PinFirst binds the unit to the machine where it is first placed.
	PinFirst bool
}

// Condition is a condition on metadata, in the language of the scheduler: this
// package does not look into it.
type Condition struct {
	Text string
	// Line is that of the option in the text that was parsed; 0 if unknown.
	Line int
}

// Preference is a condition with its weight, -100 to 100.
type Preference struct {
	Weight int
	Condition
}

// Port is a port of a machine, of TCP or UDP.
type Port struct {
	Number uint16
	UDP    bool
}

// Warning is a finding about options that does not stop a unit.
type Warning struct {
	Key string
	// Line is that of the option in the text that was parsed; 0 if unknown.
	Line int
	Text string
}

// OptionError tells why the options of a unit cannot be. Its text for options
// that exclude each other by fleet's rules is fleet's.
type OptionError struct {
	Key string // the first option at fault
	// Line is that of the option in the text that was parsed; 0 if unknown, or
	// if the fault is one that fleet reports.
	Line   int
	Reason string
}

// Error gives the reason, after the line if it is known.
func (e *OptionError) Error() string {
	if e.Line == 0 {
		return e.Reason
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
}

// ParseOptions reads and checks the [X-Fleet] section of the unit's file, and
// what its own section says of its size. Keys are case-sensitive; the
// X-Condition spellings count as the modern ones.
//
// A value that begins and ends with a quote is a list, split at spaces outside
// quotes; any other is one value, quotes and all. Conflicts, SoftConflicts,
// Resources and Ports are split at white space besides. Of options that can have
// one value only the last counts, but for MachineID the first, as in fleet.
// Specifiers (see [Name.Expand]) are expanded before anything is checked, but
// for a template, whose name does not say yet what they stand for: there, values
// with specifiers pass unchecked.
//
// The error is an [*OptionError]: options that fleet refuses in combination, in
// fleet's order; a hard constraint without a value, which would be met nowhere;
// or a value of an option that fleet did not have and that cannot be
// understood. Values that fleet ignored, such as metadata without "=", and
// unknown options are warnings.
func ParseOptions(name string, f *File) (Options, []Warning, error) {
	r := optionReader{name: Name(name), file: f}
	r.unknownKeys()
	o := r.fleetOptions()
	if err := o.contradiction(); err != nil {
		return Options{}, r.warnings, err
	}
	r.sizeOptions(&o)
	r.placeOptions(&o)
	r.combinations(o)
	if r.fault != nil {
		return Options{}, r.warnings, r.fault
	}
	return o, r.warnings, nil
}

// matches reports whether a pattern fits; a bad pattern fits nothing.
func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
