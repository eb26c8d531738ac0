package registry

import (
	"bytes"
	"maps"
	"slices"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/unit"
)

// fileRecord is a unit file that some units have, or that somebody has pinned
// because they are about to.
type fileRecord struct {
	units   map[string]struct{}
	pins    int
	fetched bool
	file    *unit.File // nil after fetched: cannot be read
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
