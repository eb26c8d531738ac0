package agent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// desired picks from units, ordered by name, those that machine should hold, in
// that order: what the engine scheduled to it, and the global units that it
// admits beside those.
func desired(machine registry.Machine, units []registry.Unit) []registry.Unit {
	var here, globals []registry.Unit
	var on []schedule.Unit
	for _, u := range units {
		switch {
		case u.Target == registry.Inactive:
		case u.Global():
			globals = append(globals, u)
		case u.Machine == machine.ID:
			here = append(here, withPorts(u))
			on = append(on, u.Schedulable())
		}
	}
	for _, g := range globals {
		s := g.Schedulable()
		if ok, _ := schedule.AdmitsGlobal(machine.Schedulable(), on, s); ok {
			here = append(here, g)
			on = append(on, s)
		}
	}
	slices.SortFunc(here, func(a, b registry.Unit) int { return strings.Compare(a.Name, b.Name) })
	return here
}

// withPorts tells a service which ports were chosen for it, in the environment
// variables PORT0, PORT1 and so on. That makes it another file: with other ports
// it is loaded anew.
func withPorts(u registry.Unit) registry.Unit {
	if len(u.Ports) == 0 || unit.Name(u.Name).Suffix() != ".service" {
		return u
	}
	options := u.File.Options()
	for i, p := range u.Ports {
		options = append(options, unit.Option{Section: "Service", Name: "Environment", Value: fmt.Sprintf("PORT%d=%d", i, p)})
	}
	if f, err := unit.NewFile(options); err == nil { // nothing here is new but the ports
		u.File, u.Hash = f, f.Hash()
	}
	return u
}
