package agent

import (
	"cmp"
	"maps"
	"slices"

	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// held is a unit that the runner holds for this agent.
type held struct {
	hash unit.Hash
	// state is Loaded, or Launched once a start has been asked for.
	state registry.State
}

// verb is what a task does. Their order is that in which a round does them:
// what leaves makes room for what comes.
type verb int

const (
	unload verb = iota
	load
	stop
	start
)

func (v verb) String() string { return [...]string{"unload", "load", "stop", "start"}[v] }

// task is one thing to do about one unit, and why.
type task struct {
	verb   verb
	unit   string
	reason string
}

// plan returns what turns the units that the runner holds into those that are
// wanted, in the order in which to do it. The tasks of one unit depend on each
// other, those of different units do not.
//
//	wanted             held                tasks
//	no                 yes                 unload
//	yes                no                  load, start if launched
//	yes                with another file   unload, load, start if launched
//	launched           loaded              start
//	loaded             launched            stop
func plan(want []registry.Unit, have map[string]held) []task {
	var tasks []task
	add := func(v verb, name, reason string) { tasks = append(tasks, task{v, name, reason}) }
	wanted := make(map[string]bool, len(want))
	for _, u := range want {
		wanted[u.Name] = true
		h, ok := have[u.Name]
		fresh := !ok || h.hash != u.Hash
		switch {
		case ok && fresh:
			add(unload, u.Name, "unit loaded but hash differs to expected")
			add(load, u.Name, "unit loaded but hash differs to expected")
		case fresh:
			add(load, u.Name, "unit scheduled here but not loaded")
		}
		switch {
		case u.Target == registry.Launched && fresh:
			add(start, u.Name, "unit scheduled here and desired state is launched")
		case u.Target == registry.Launched && h.state != registry.Launched:
			add(start, u.Name, "unit currently loaded but desired state is launched")
		case u.Target == registry.Loaded && !fresh && h.state == registry.Launched:
			add(stop, u.Name, "unit currently launched but desired state is loaded")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if !wanted[name] {
			add(unload, name, "unit loaded but not scheduled here")
		}
	}
	slices.SortStableFunc(tasks, func(a, b task) int {
		return cmp.Or(cmp.Compare(a.verb, b.verb), cmp.Compare(a.unit, b.unit))
	})
	return tasks
}

// adopt is what to take a unit for that the runner held before this agent came.
func adopt(s unit.State) held {
	switch s.Active {
	case "active", "activating", "reloading":
		return held{hash: s.Hash, state: registry.Launched}
	}
	return held{hash: s.Hash, state: registry.Loaded}
}
