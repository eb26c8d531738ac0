package registry

import (
	"iter"
	"maps"
	"slices"
)

// machineRecord is what the keys below machines/<id> hold.
type machineRecord struct {
	object  *Machine // nil: not alive
	dynamic map[string]string
	state   string // empty for none
}

func (m *mirror) putState(name, id, value string) {
	s, err := decodeState(name, id, value)
	if err != nil {
		m.dropStates(name, []string{id})
		return
	}
	if old, ok := m.states[name][id]; ok && old == s {
		return
	}
	if m.states[name] == nil {
		m.states[name] = make(map[string]UnitState)
	}
	m.states[name][id] = s
	m.changedStates[name] = struct{}{}
}

func (m *mirror) dropStates(name string, id []string) {
	if m.states[name] == nil {
		return
	}
	m.changedStates[name] = struct{}{}
	if len(id) > 0 {
		delete(m.states[name], id[0])
	}
	if len(id) == 0 || len(m.states[name]) == 0 {
		delete(m.states, name)
	}
}

// allStates lists the states by unit and machine.
func (m *mirror) allStates() []UnitState {
	var all []UnitState
	for _, name := range slices.Sorted(maps.Keys(m.states)) {
		all = append(all, m.statesOf(name)...)
	}
	return all
}

func (m *mirror) statesOf(name string) []UnitState {
	of := m.states[name]
	states := make([]UnitState, 0, len(of))
	for _, id := range slices.Sorted(maps.Keys(of)) {
		states = append(states, of[id])
	}
	return states
}

func (m *mirror) machineRecord(id string) *machineRecord {
	rec := m.machines[id]
	if rec == nil {
		rec = &machineRecord{dynamic: make(map[string]string)}
		m.machines[id] = rec
	}
	return rec
}

func (m *mirror) putMachine(id, value string) {
	o, err := decodeMachine(id, value)
	if err != nil {
		m.dropMachine(id, []string{"object"})
		return
	}
	rec := m.machineRecord(id)
	if rec.object != nil && rec.object.equal(o) {
		return
	}
	rec.object = &o
	m.changedMachines[id] = struct{}{}
	delete(m.silent, id)
}

func (m *mirror) putMachineState(id, value string) {
	rec := m.machineRecord(id)
	if rec.state != value {
		rec.state = value
		m.machineChanged(id, rec)
	}
	if rec.object == nil && len(rec.dynamic) == 0 && rec.state == "" {
		delete(m.machines, id)
	}
}

// silence marks a machine whose object is about to vanish without a word of it.
func (m *mirror) silence(path []string) {
	if len(path) == 3 && path[0] == "machines" && path[2] == "object" {
		m.silent[path[1]] = struct{}{}
	}
}

func (m *mirror) dropMachine(id string, path []string) {
	rec := m.machines[id]
	if rec == nil {
		return
	}
	switch {
	case len(path) == 0:
		m.machineChanged(id, rec)
		rec.object, rec.dynamic, rec.state = nil, nil, ""
	case path[0] == "object":
		m.machineChanged(id, rec)
		rec.object = nil
	case path[0] == "metadata" && len(path) == 1:
		m.machineChanged(id, rec)
		clear(rec.dynamic)
	case path[0] == "metadata":
		m.machineChanged(id, rec)
		delete(rec.dynamic, path[1])
	case path[0] == "state":
		m.machineChanged(id, rec)
		rec.state = ""
	}
	if rec.object == nil && len(rec.dynamic) == 0 && rec.state == "" {
		delete(m.machines, id)
	}
}

// machineChanged marks a machine that is alive.
func (m *mirror) machineChanged(id string, rec *machineRecord) {
	if rec.object != nil {
		m.changedMachines[id] = struct{}{}
	}
}

// machine assembles a machine that is alive.
func (m *mirror) machine(id string) (Machine, bool) {
	rec := m.machines[id]
	if rec == nil || rec.object == nil {
		return Machine{}, false
	}
	o := *rec.object
	o.Metadata = maps.Clone(o.Metadata)
	o.State, _ = ParseMachineState(rec.state)
	for key, value := range rec.dynamic {
		switch {
		case value == "":
			delete(o.Metadata, key)
		case o.Metadata == nil:
			o.Metadata = map[string]string{key: value}
		default:
			o.Metadata[key] = value
		}
	}
	return o, true
}

// allMachines yields the machines that are alive, by ID.
func (m *mirror) allMachines() iter.Seq[Machine] {
	return func(yield func(Machine) bool) {
		for _, id := range slices.Sorted(maps.Keys(m.machines)) {
			if o, ok := m.machine(id); ok && !yield(o) {
				return
			}
		}
	}
}
