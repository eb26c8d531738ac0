package registry

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/strakeproject/strake/kv"
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
	units    map[string]*unitRecord
	machines map[string]*machineRecord
	states   map[string]map[string]UnitState // by unit and machine
	files    map[unit.Hash]*fileRecord
	wanted   map[unit.Hash]struct{} // those of files that are not fetched

	changedUnits    map[string]struct{}
	changedMachines map[string]struct{}
	changedStates   map[string]struct{} // names of units
}

// unitRecord is what the keys below job/<unit> hold.
type unitRecord struct {
	object    *object // nil: no object key
	broken    error   // why the object cannot be read
	created   uint64
	target    string // a state, or whatever somebody wrote there
	machine   string
	heartbeat string
	// Invariant: holds is the hash whose fileRecord lists this unit; zero when
	// the unit's file is of no interest.
	holds unit.Hash
	// options caches what the file of holds says; nil: not asked for yet.
	options *unit.Options
}

// machineRecord is what the keys below machines/<id> hold.
type machineRecord struct {
	object  *Machine // nil: not alive
	dynamic map[string]string
}

// fileRecord is a unit file that some units have, or that somebody has pinned
// because they are about to.
type fileRecord struct {
	units   map[string]struct{}
	pins    int
	fetched bool
	file    *unit.File // nil after fetched: cannot be read
}

func newMirror(scope Scope) *mirror {
	return &mirror{
		scope:           scope,
		units:           make(map[string]*unitRecord),
		machines:        make(map[string]*machineRecord),
		states:          make(map[string]map[string]UnitState),
		files:           make(map[unit.Hash]*fileRecord),
		wanted:          make(map[unit.Hash]struct{}),
		changedUnits:    make(map[string]struct{}),
		changedMachines: make(map[string]struct{}),
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
			} {
				if there {
					paths = append(paths, []string{"job", name, field})
				}
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
		}
	}
	return paths
}

// apply takes in one change of the store.
func (m *mirror) apply(keys layout, ev kv.Event) {
	path := keys.split(ev.Node.Key)
	switch ev.Action {
	case kv.ActionDelete, kv.ActionExpire, kv.ActionCompareAndDelete:
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
		m.dropAll("job", "states", "machines")
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
		}
	}
}

func (m *mirror) putJob(name, field string, n kv.Node) {
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
	}
	m.jobChanged(name, before, rec)
	if rec.object == nil && rec.target == "" && rec.machine == "" && rec.heartbeat == "" {
		delete(m.units, name)
	}
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
	same := before.target == rec.target && before.machine == rec.machine && before.heartbeat == rec.heartbeat &&
		before.created == rec.created && before.holds == rec.holds && (before.object == nil) == (rec.object == nil)
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

// hold makes h the file that the record needs; zero for none.
func (m *mirror) hold(name string, rec *unitRecord, h unit.Hash) {
	if h == rec.holds {
		return
	}
	if f := m.files[rec.holds]; f != nil {
		delete(f.units, name)
		m.sweep(rec.holds)
	}
	rec.holds, rec.options = h, nil
	if h.IsZero() {
		return
	}
	f := m.files[h]
	if f == nil {
		f = &fileRecord{units: make(map[string]struct{})}
		m.files[h] = f
		m.wanted[h] = struct{}{}
	}
	f.units[name] = struct{}{}
}

// sweep forgets a file that nobody needs.
func (m *mirror) sweep(h unit.Hash) {
	if f := m.files[h]; len(f.units) == 0 && f.pins == 0 {
		delete(m.files, h)
		delete(m.wanted, h)
	}
}

// pin takes in a unit file before the change that makes it needed, so that a
// unit that gets another file is never without one. Unpin it after the change.
func (m *mirror) pin(h unit.Hash, f *unit.File) {
	if m.files[h] == nil {
		m.files[h] = &fileRecord{units: make(map[string]struct{}), fetched: true, file: f}
	}
	m.files[h].pins++
	m.offerFile(h, f)
}

func (m *mirror) unpin(h unit.Hash) {
	m.files[h].pins--
	m.sweep(h)
}

// needs returns the hash of a unit file that a change will make a unit need and
// that is not there; zero for none.
func (m *mirror) needs(keys layout, ev kv.Event) unit.Hash {
	path := keys.split(ev.Node.Key)
	if len(path) != 3 || path[0] != "job" || path[2] != "object" || ev.Node.Value == "" {
		return unit.Hash{}
	}
	rec := unitRecord{}
	if old := m.units[path[1]]; old != nil {
		rec = *old
	}
	o, err := decodeObject(ev.Node.Value)
	rec.object, rec.broken = &o, err
	if f := m.files[o.UnitHash]; !m.relevant(&rec) || f != nil && f.fetched {
		return unit.Hash{}
	}
	return o.UnitHash
}

// missing lists the unit files that are needed and not there.
func (m *mirror) missing() []unit.Hash {
	return slices.SortedFunc(maps.Keys(m.wanted), func(a, b unit.Hash) int { return bytes.Compare(a[:], b[:]) })
}

// offerFile takes in a unit file, if it is needed; nil is one that cannot be
// read.
func (m *mirror) offerFile(h unit.Hash, f *unit.File) {
	file := m.files[h]
	if file == nil || file.fetched {
		return
	}
	file.fetched, file.file = true, f
	delete(m.wanted, h)
	for _, name := range slices.Collect(maps.Keys(file.units)) {
		rec := m.units[name]
		if rec.object.Global == nil && f != nil {
			o, _, err := unit.ParseOptions(name, f)
			global := err == nil && o.Global
			rec.object.Global = &global
		}
		if !m.relevant(rec) {
			m.hold(name, rec, unit.Hash{})
			continue
		}
		m.changedUnits[name] = struct{}{}
	}
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
		if err != nil {
			return Unit{}, fmt.Errorf("%w: %w", errCorrupt, err)
		}
		rec.options = &o
	}
	u.Options = *rec.options
	if u.Global() {
		u.Machine = ""
	}
	if m.scope.States {
		_, published := m.states[name][u.Machine]
		u.Current = u.current(published)
	}
	return u, nil
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
}

func (m *mirror) dropMachine(id string, path []string) {
	rec := m.machines[id]
	if rec == nil {
		return
	}
	switch {
	case len(path) == 0:
		m.machineChanged(id, rec)
		rec.object, rec.dynamic = nil, nil
	case path[0] == "object":
		m.machineChanged(id, rec)
		rec.object = nil
	case path[0] == "metadata" && len(path) == 1:
		m.machineChanged(id, rec)
		clear(rec.dynamic)
	case path[0] == "metadata":
		m.machineChanged(id, rec)
		delete(rec.dynamic, path[1])
	}
	if rec.object == nil && len(rec.dynamic) == 0 {
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
