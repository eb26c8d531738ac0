package agent

import (
	"slices"
	"strings"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
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
			here = append(here, u)
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
