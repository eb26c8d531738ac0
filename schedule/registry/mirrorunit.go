package registry

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/schedule/unitfile"
	"github.com/strakeproject/strake/unit"
)

// unitRecord is what the keys below job/<unit> hold.
type unitRecord struct {
	object    *object // nil: no object key
	broken    error   // why the object cannot be read
	created   uint64
	target    string // a state, or whatever somebody wrote there
	machine   string
	heartbeat string
	pin       string            // a machine
	ports     map[string]string // by machine; never modified
	// Invariant: holds is the hash whose fileRecord lists this unit; zero when
	// the unit's file is of no interest.
	holds unit.Hash
	// options caches what the file of holds says; nil: not asked for yet.
	options *unit.Options
}

func (m *mirror) putJob(name, field string, n kv.Node) {
	if field == "job-state" && !m.scope.States {
		return // of use only for Current, and it changes with every start and stop
	}
	rec := m.units[name]
	if rec == nil {
		rec = &unitRecord{}
		m.units[name] = rec
	}
	before := *rec
	switch field {
	case "object":
		o, err := decodeObject(n.Value)
		rec.object, rec.broken, rec.created = &o, err, n.CreatedIndex
	case "target-state":
		rec.target = n.Value
	case "target":
		rec.machine = n.Value
	case "job-state":
		rec.heartbeat = n.Value
	case "pin":
		rec.pin = n.Value
	}
	m.jobChanged(name, before, rec)
}

func (m *mirror) dropJob(name string, field []string) {
	rec := m.units[name]
	if rec == nil {
		return
	}
	before := *rec
	switch {
	case len(field) == 0:
		*rec = unitRecord{holds: rec.holds, options: rec.options}
	case field[0] == "object":
		rec.object, rec.broken, rec.created = nil, nil, 0
	case field[0] == "target-state":
		rec.target = ""
	case field[0] == "target":
		rec.machine = ""
	case field[0] == "job-state":
		rec.heartbeat = ""
	case field[0] == "pin":
		rec.pin = ""
	case field[0] == "ports" && len(field) == 1:
		rec.ports = nil
	case field[0] == "ports":
		rec.ports = maps.Clone(rec.ports)
		delete(rec.ports, field[1])
	}
	m.jobChanged(name, before, rec)
	if rec.object == nil && rec.target == "" && rec.machine == "" && rec.heartbeat == "" && rec.pin == "" && len(rec.ports) == 0 {
		delete(m.units, name)
	}
}

// putPorts takes in the ports that were chosen for a unit on a machine.
func (m *mirror) putPorts(name, id, value string) {
	rec := m.units[name]
	if rec == nil {
		rec = &unitRecord{}
		m.units[name] = rec
	}
	before := *rec
	rec.ports = maps.Clone(rec.ports)
	if rec.ports == nil {
		rec.ports = make(map[string]string)
	}
	rec.ports[id] = value
	m.jobChanged(name, before, rec)
}

// jobChanged settles which file the record needs, and marks the unit as changed
// if a reader of this scope could tell.
func (m *mirror) jobChanged(name string, before unitRecord, rec *unitRecord) {
	relevant := m.relevant(rec)
	var want unit.Hash
	if relevant {
		want = rec.object.UnitHash
	}
	m.hold(name, rec, want)
	if !relevant && !m.relevant(&before) {
		return
	}
	if f := m.files[rec.holds]; relevant && (f == nil || !f.fetched) {
		return // offerFile will mark it, once there is something to see
	}
	same := before.target == rec.target && before.machine == rec.machine && before.heartbeat == rec.heartbeat &&
		before.created == rec.created && before.pin == rec.pin && before.ports[rec.machine] == rec.ports[rec.machine] && before.holds == rec.holds && (before.object == nil) == (rec.object == nil)
	if !same {
		m.changedUnits[name] = struct{}{}
	}
}

// relevant reports whether the scope takes in the unit. A unit whose object
// does not say whether it is global counts until its file is there.
func (m *mirror) relevant(rec *unitRecord) bool {
	if rec.object == nil || rec.broken != nil {
		return false
	}
	if m.scope.Machine == "" || rec.machine == m.scope.Machine {
		return true
	}
	return rec.object.Global == nil || *rec.object.Global
}

// has reports whether there is a unit of that name, readable or not.
func (m *mirror) has(name string) bool {
	rec := m.units[name]
	return rec != nil && rec.object != nil
}

// names yields the names of the units in scope, in order.
func (m *mirror) names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, name := range slices.Sorted(maps.Keys(m.units)) {
			if rec := m.units[name]; (m.relevant(rec) || rec.broken != nil) && !yield(name) {
				return
			}
		}
	}
}

// unit assembles a unit. The error says why it cannot be read, or is
// ErrUnitNotFound.
func (m *mirror) unit(name string) (Unit, error) {
	rec := m.units[name]
	if rec == nil || rec.object == nil {
		return Unit{}, ErrUnitNotFound
	}
	if rec.broken != nil {
		return Unit{}, fmt.Errorf("%w: %w", errCorrupt, rec.broken)
	}
	f := m.files[rec.holds]
	if f == nil || !f.fetched {
		return Unit{}, ErrUnitNotFound
	}
	if f.file == nil {
		return Unit{}, fmt.Errorf("%w: no unit file %s", errCorrupt, rec.holds)
	}
	u := Unit{
		Name:     name,
		File:     f.file,
		Hash:     rec.holds,
		Target:   Inactive,
		Machine:  rec.machine,
		Launched: rec.heartbeat,
		Created:  rec.created,
		Pinned:   rec.pin,
		derive:   m.derive,
	}
	var err error
	if rec.target != "" {
		if u.Target, err = ParseState(rec.target); err != nil {
			// Not a refusal of anything the reader said: no InvalidError.
			return Unit{}, fmt.Errorf("%w: %v", errCorrupt, err)
		}
	}
	if rec.options == nil {
		o, _, err := unit.ParseOptions(name, f.file)
		if err == nil {
			_, err = unitfile.Convert(name, o, m.derive)
		}
		if err != nil {
			return Unit{}, fmt.Errorf("%w: %w", errCorrupt, err)
		}
		rec.options = &o
	}
	u.Options = *rec.options
	if u.Global() {
		u.Machine = ""
	}
	if u.Options.DynamicPorts > 0 {
		u.Ports = parsePorts(rec.ports[u.Machine])
	}
	if m.scope.States {
		_, published := m.states[name][u.Machine]
		u.Current = u.current(published)
	}
	return u, nil
}
