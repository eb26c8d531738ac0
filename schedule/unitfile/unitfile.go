package unitfile

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/unit"
)

// Derive says what to make of the limits in a unit's own settings, MemoryMax and
// the like, where its options do not say what it requests. It should be the same
// for all programs of a cluster.
type Derive int

const (
	// Estimate takes them for what the unit is likely to use: they have a say
	// in which machine is best, and keep the unit from none.
	Estimate Derive = iota
	// Request takes them for requests.
	Request
	// Off ignores them.
	Off
)

// Read returns what the scheduler has to know of the unit of that name and file:
// an active unit, with no Generation. Warnings are findings that do not stop it;
// an error is a [*unit.OptionError].
func Read(name string, f *unit.File, d Derive) (schedule.Unit, []unit.Warning, error) {
	o, warnings, err := unit.ParseOptions(name, f)
	if err != nil {
		return schedule.Unit{}, warnings, err
	}
	u, err := Convert(name, o, d)
	return u, warnings, err
}

// Convert is Read for options. The error, a [*unit.OptionError], is for a
// condition that cannot be read.
func Convert(name string, o unit.Options, d Derive) (schedule.Unit, error) {
	u := schedule.Unit{
		Name:           name,
		Active:         true,
		Priority:       o.Priority,
		MachineID:      o.MachineID,
		Metadata:       o.MachineMetadata,
		MachineOf:      o.MachineOf,
		Conflicts:      o.Conflicts,
		Replaces:       o.Replaces,
		Global:         o.Global,
		Request:        schedule.Resources(o.Request),
		SoftConflicts:  o.SoftConflicts,
		DynamicPorts:   o.DynamicPorts,
		Spread:         schedule.Spread{Keys: o.Spread, MaxSkew: o.MaxSkew, Group: o.SpreadGroup},
		MaxPerMachine:  o.MaxPerMachine,
		NotPreemptible: o.NotPreemptible,
		NotMovable:     o.NotMovable,
	}
	for _, p := range o.Ports {
		u.Ports = append(u.Ports, schedule.Port(p))
	}
	switch d {
	case Estimate:
		// What is requested is counted already.
		if o.Request.CPU == 0 {
			u.Estimate.CPU = o.Limits.CPU
		}
		if o.Request.Memory == 0 {
			u.Estimate.Memory = o.Limits.Memory
		}
	case Request:
		u.Request.CPU = cmp.Or(o.Request.CPU, o.Limits.CPU)
		u.Request.Memory = cmp.Or(o.Request.Memory, o.Limits.Memory)
	}
	return u, conditions(&u, o)
}

// conditions reads Require and Prefer.
func conditions(u *schedule.Unit, o unit.Options) error {
	var all []string
	for _, c := range o.Require {
		e, err := schedule.ParseExpr(c.Text)
		if err != nil {
			return &unit.OptionError{Key: "Require", Line: c.Line, Reason: fmt.Sprintf("Require: %v", err)}
		}
		u.Require = e
		all = append(all, "("+c.Text+")")
	}
	if len(all) > 1 {
		var err error
		if u.Require, err = schedule.ParseExpr(strings.Join(all, " && ")); err != nil {
			return &unit.OptionError{Key: "Require", Line: o.Require[0].Line, Reason: fmt.Sprintf("Require, taken together: %v", err)}
		}
	}
	for _, p := range o.Prefer {
		e, err := schedule.ParseExpr(p.Text)
		if err != nil {
			return &unit.OptionError{Key: "Prefer", Line: p.Line, Reason: fmt.Sprintf("Prefer: %v", err)}
		}
		u.Prefer = append(u.Prefer, schedule.Preference{Weight: p.Weight, Expr: e})
	}
	return nil
}
