package registry

import (
	"strings"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/schedule/unitfile"
	"github.com/strakeproject/strake/unit"
)

// mirror is what a registry's keys say, as far as its scope reaches, and which
// units and machines have changed since that was last asked. It does no I/O and
// is not safe for concurrent use.
//
// Keys come in by load and apply in any order; unit files by offerFile. A unit
// shows once its object and its file are there:
//
//	job/<unit>/object ── hash ──> missing() ── fetched by the driver ──> offerFile()
//	                                                                        │
//	     changes() <── the unit is marked as changed <──────────────────────┘
type mirror struct {
	scope    Scope
	derive   unitfile.Derive
	units    map[string]*unitRecord
	machines map[string]*machineRecord
	states   map[string]map[string]UnitState // by unit and machine
	files    map[unit.Hash]*fileRecord
	wanted   map[unit.Hash]struct{} // those of files that are not fetched

	order *RebalanceOrder // nil for none

	changedUnits    map[string]struct{}
	changedMachines map[string]struct{}
	// silent are those of changedMachines that ran out of time, as against
	// those that signed off.
	silent        map[string]struct{}
	changedStates map[string]struct{} // names of units
	changedOrder  bool
}

func newMirror(scope Scope, derive unitfile.Derive) *mirror {
	return &mirror{
		scope:           scope,
		derive:          derive,
		units:           make(map[string]*unitRecord),
		machines:        make(map[string]*machineRecord),
		states:          make(map[string]map[string]UnitState),
		files:           make(map[unit.Hash]*fileRecord),
		wanted:          make(map[unit.Hash]struct{}),
		changedUnits:    make(map[string]struct{}),
		changedMachines: make(map[string]struct{}),
		silent:          make(map[string]struct{}),
		changedStates:   make(map[string]struct{}),
	}
}

// load takes in a node of the store with all below it.
func (m *mirror) load(keys layout, n kv.Node) {
	if !n.Dir {
		m.put(keys.split(n.Key), n)
		return
	}
	for _, child := range n.Nodes {
		m.load(keys, child)
	}
}

// replace takes in a reading of everything below dir, which found holds: what
// is not in it is gone. It changes only what differs.
func (m *mirror) replace(keys layout, dir string, found kv.Node) {
	there := make(map[string]struct{})
	collect(found, there)
	for _, path := range m.paths(keys.split(dir)) {
		if _, ok := there[kv.Join(string(keys), strings.Join(path, "/"))]; !ok {
			m.silence(path) // if it signed off, nobody saw it
			m.drop(path)
		}
	}
	m.load(keys, found)
}

// collect adds the keys of all files at and below n.
func collect(n kv.Node, keys map[string]struct{}) {
	if !n.Dir {
		keys[n.Key] = struct{}{}
	}
	for _, child := range n.Nodes {
		collect(child, keys)
	}
}

// paths lists the files that the mirror knows below dir, which is a directory
// of the registry or of one machine.
func (m *mirror) paths(dir []string) [][]string {
	var paths [][]string
	switch dir[0] {
	case "job":
		for name, rec := range m.units {
			for field, there := range map[string]bool{
				"object":       rec.object != nil,
				"target-state": rec.target != "",
				"target":       rec.machine != "",
				"job-state":    rec.heartbeat != "",
				"pin":          rec.pin != "",
			} {
				if there {
					paths = append(paths, []string{"job", name, field})
				}
			}
			for id := range rec.ports {
				paths = append(paths, []string{"job", name, "ports", id})
			}
		}
	case "states":
		for name, of := range m.states {
			for id := range of {
				paths = append(paths, []string{"states", name, id})
			}
		}
	case "machines":
		for id, rec := range m.machines {
			if rec.object != nil {
				paths = append(paths, []string{"machines", id, "object"})
			}
			for key := range rec.dynamic {
				paths = append(paths, []string{"machines", id, "metadata", key})
			}
			if rec.state != "" {
				paths = append(paths, []string{"machines", id, "state"})
			}
		}
	case "engine":
		if m.order != nil {
			paths = append(paths, []string{"engine", "rebalance"})
		}
	}
	return paths
}

// apply takes in one change of the store.
func (m *mirror) apply(keys layout, ev kv.Event) {
	path := keys.split(ev.Node.Key)
	switch ev.Action {
	case kv.ActionDelete, kv.ActionExpire, kv.ActionCompareAndDelete:
		if ev.Action == kv.ActionExpire {
			m.silence(path)
		}
		m.drop(path)
	default:
		if !ev.Node.Dir {
			m.put(path, ev.Node)
		}
	}
}

// put takes in one file.
func (m *mirror) put(path []string, n kv.Node) {
	switch {
	case len(path) == 3 && path[0] == "job":
		m.putJob(path[1], path[2], n)
	case len(path) == 4 && path[0] == "job" && path[2] == "ports":
		m.putPorts(path[1], path[3], n.Value)
	case len(path) == 2 && path[0] == "engine" && path[1] == "rebalance":
		m.putOrder(n)
	case len(path) == 3 && path[0] == "machines" && path[2] == "state":
		m.putMachineState(path[1], n.Value)
	case len(path) == 3 && path[0] == "states":
		m.putState(path[1], path[2], n.Value)
	case len(path) == 3 && path[0] == "machines" && path[2] == "object":
		m.putMachine(path[1], n.Value)
	case len(path) == 4 && path[0] == "machines" && path[2] == "metadata":
		rec := m.machineRecord(path[1])
		if old, ok := rec.dynamic[path[3]]; !ok || old != n.Value {
			rec.dynamic[path[3]] = n.Value
			m.machineChanged(path[1], rec)
		}
	}
}

// drop takes in the removal of a file, or of a directory with all below it.
func (m *mirror) drop(path []string) {
	if len(path) == 0 {
		m.dropAll("job", "states", "machines", "engine")
		return
	}
	if len(path) == 1 {
		m.dropAll(path[0])
		return
	}
	switch name := path[1]; path[0] {
	case "job":
		m.dropJob(name, path[2:])
	case "states":
		m.dropStates(name, path[2:])
	case "machines":
		m.dropMachine(name, path[2:])
	case "engine":
		if name == "rebalance" {
			m.dropOrder()
		}
	}
}

// dropAll empties whole directories of the registry.
func (m *mirror) dropAll(dirs ...string) {
	for _, dir := range dirs {
		switch dir {
		case "job":
			for name := range m.units {
				m.dropJob(name, nil)
			}
		case "states":
			for name := range m.states {
				m.dropStates(name, nil)
			}
		case "machines":
			for id := range m.machines {
				m.dropMachine(id, nil)
			}
		case "engine":
			m.dropOrder()
		}
	}
}
