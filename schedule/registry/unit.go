package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/schedule/unitfile"
	"github.com/strakeproject/strake/unit"
)

// State is one of the three states that a unit can be asked to be in and can
// be in. It says nothing about success: a unit that was started and failed is
// Launched.
type State string

// The states of a unit.
const (
	// Inactive: stored, on no machine.
	Inactive State = "inactive"
	// Loaded: on a machine, not started.
	Loaded State = "loaded"
	// Launched: on a machine, and its start has been asked for.
	Launched State = "launched"
)

// ParseState returns the state that word names, or an [*InvalidError].
func ParseState(word string) (State, error) {
	switch s := State(word); s {
	case Inactive, Loaded, Launched:
		return s, nil
	}
	return "", invalidf("invalid unit state %q: expect inactive, loaded or launched", word)
}

// Unit is a unit of the cluster.
type Unit struct {
	Name string
	File *unit.File
	Hash unit.Hash // of File
	// Options are File's [X-Fleet] options, expanded for Name.
	Options unit.Options
	// Target is the state the unit should have.
	Target State
	// Machine is the ID of the machine the unit is scheduled to; empty when it
	// is not, and always empty for a global unit.
	Machine string
	// Launched is the ID of the machine whose agent last reported the unit as
	// launched there, and goes on doing so. Empty in a View without states.
	Launched string
	// Current is the state that the unit is in as far as the registry shows:
	// Inactive unless its machine publishes a state for it, then Loaded or
	// Launched. Empty for a global unit, and in a View without states.
	Current State
	// Created is the store index at which the unit was created: smaller means
	// earlier. Other content keeps it.
	Created uint64
	// Pinned is the machine that the unit is bound to since it was first
	// placed, if its options want that; empty before.
	Pinned string
	// Ports are the dynamic ports that were chosen for the unit on Machine.
	Ports []uint16

	derive unitfile.Derive
}

// Global reports whether the unit runs on every machine that admits it.
func (u Unit) Global() bool { return u.Options.Global }

// current derives Current; published says whether the machine that the unit is
// scheduled to publishes a state for it.
func (u Unit) current(published bool) State {
	switch {
	case u.Global():
		return ""
	case u.Machine == "" || !published:
		return Inactive
	case u.Launched != u.Machine:
		return Loaded
	}
	return Launched
}

// CreateUnit adds a unit. A name, file or state that fleet's rules refuse is an
// [*InvalidError], and so is a template that is to be anything but Inactive;
// a name that is taken is ErrUnitExists.
func (r *Registry) CreateUnit(ctx context.Context, name string, f *unit.File, target State) error {
	global, err := checkUnit(name, f, target)
	if err != nil {
		return err
	}
	if err := r.storeFile(ctx, f); err != nil {
		return fmt.Errorf("unit %s: %w", name, err)
	}
	defer r.pin(f)()
	// Whoever creates the object has created the unit; only then may the
	// target state be touched. A reader between the two sees an inactive unit.
	if _, err := r.create(ctx, r.keys.object(name), encodeObject(name, f.Hash(), global), 0); err != nil {
		if errors.Is(err, kv.ErrKeyExists) {
			return fmt.Errorf("unit %s: %w", name, ErrUnitExists)
		}
		return fmt.Errorf("unit %s: %w", name, err)
	}
	return r.setTarget(ctx, name, target)
}

// ReplaceUnit gives an existing unit other content and a target state, under
// the rules of CreateUnit. It does not move the unit.
func (r *Registry) ReplaceUnit(ctx context.Context, name string, f *unit.File, target State) error {
	global, err := checkUnit(name, f, target)
	if err != nil {
		return err
	}
	if err := r.storeFile(ctx, f); err != nil {
		return fmt.Errorf("unit %s: %w", name, err)
	}
	defer r.pin(f)()
	// An update, not a write: a unit destroyed meanwhile stays destroyed, and
	// the object keeps its age.
	key := r.keys.object(name)
	_, err = r.write(ctx, "update", key, func(ctx context.Context) (kv.Event, error) {
		return r.store.Update(ctx, key, encodeObject(name, f.Hash(), global), kv.UpdateOptions{})
	})
	if err != nil {
		return notFound(name, err)
	}
	return r.setTarget(ctx, name, target)
}

// SetTarget asks for a unit to be in a state. A template can only be Inactive;
// anything else is an [*InvalidError].
func (r *Registry) SetTarget(ctx context.Context, name string, target State) error {
	if err := checkTarget(name, target); err != nil {
		return err
	}
	if _, err := r.read(ctx, r.keys.object(name), false); err != nil {
		return notFound(name, err)
	}
	return r.setTarget(ctx, name, target)
}

func (r *Registry) setTarget(ctx context.Context, name string, target State) error {
	if _, err := r.set(ctx, r.keys.targetState(name), string(target), 0); err != nil {
		return fmt.Errorf("unit %s: %w", name, err)
	}
	return nil
}

// DestroyUnit removes a unit, readable or not, whatever its state. The machine
// it is scheduled to learns of that and stops it.
func (r *Registry) DestroyUnit(ctx context.Context, name string) error {
	if err := unit.CheckName(name); err != nil {
		return &InvalidError{Err: err}
	}
	if _, err := r.read(ctx, r.keys.object(name), false); err != nil {
		return notFound(name, err)
	}
	return notFound(name, r.remove(ctx, r.keys.job(name), kv.DeleteOptions{Dir: true, Recursive: true}))
}

// Unit reads one unit.
func (r *Registry) Unit(ctx context.Context, name string) (Unit, error) {
	if err := unit.CheckName(name); err != nil {
		return Unit{}, &InvalidError{Err: err}
	}
	job, err := r.read(ctx, r.keys.job(name), true)
	if err != nil {
		return Unit{}, notFound(name, err)
	}
	m := newMirror(Scope{States: true}, r.derive)
	m.load(r.keys, job.Node)
	if !m.has(name) {
		return Unit{}, fmt.Errorf("unit %s: %w", name, ErrUnitNotFound)
	}
	if err := r.fetch(ctx, m, m.missing()); err != nil {
		return Unit{}, fmt.Errorf("unit %s: %w", name, err)
	}
	if id := m.units[name].machine; id != "" {
		switch st, err := r.read(ctx, r.keys.state(name, id), false); {
		case err == nil:
			m.load(r.keys, st.Node)
		case !errors.Is(err, kv.ErrKeyNotFound):
			return Unit{}, fmt.Errorf("unit %s: %w", name, err)
		}
	}
	u, err := m.unit(name)
	if err != nil {
		return Unit{}, fmt.Errorf("unit %s: %w", name, err)
	}
	return u, nil
}

// Units reads all units, ordered by name. Entries that cannot be read are left
// out and logged.
func (r *Registry) Units(ctx context.Context) ([]Unit, error) {
	m := newMirror(Scope{States: true}, r.derive)
	for _, key := range []string{r.keys.jobs(), r.keys.states()} {
		if _, err := r.loadTree(ctx, m, key); err != nil {
			return nil, err
		}
	}
	if err := r.fetch(ctx, m, m.missing()); err != nil {
		return nil, err
	}
	var units []Unit
	for name := range m.names() {
		u, err := m.unit(name)
		if err != nil {
			r.log.Warn("unit is left out", "unit", name, "err", err)
			continue
		}
		units = append(units, u)
	}
	return units, nil
}

// storeFile writes the text of f under its hash, unless it is there.
func (r *Registry) storeFile(ctx context.Context, f *unit.File) error {
	h := f.Hash()
	_, err := r.create(ctx, r.keys.blob(h), encodeBlob(f), 0)
	if err != nil && !errors.Is(err, kv.ErrKeyExists) {
		return err
	}
	return nil
}

// pin shows the open views a unit file that a write is about to make them need.
// Call the function that it returns after the write.
func (r *Registry) pin(f *unit.File) (unpin func()) {
	files := fileSet{f.Hash(): f}
	r.mu.Lock()
	defer r.mu.Unlock()
	var undo []func()
	for v := range r.views {
		undo = append(undo, v.pin(files))
	}
	return func() {
		for _, f := range undo {
			f()
		}
	}
}

// loadTree reads key and all below it into m, and returns the store index of
// that reading. A key that does not exist is an empty directory.
func (r *Registry) loadTree(ctx context.Context, m *mirror, key string) (uint64, error) {
	ev, err := r.read(ctx, key, true)
	if e, ok := errors.AsType[*kv.Error](err); ok && e.Code == kv.CodeKeyNotFound {
		return e.Index, nil
	}
	if err != nil {
		return 0, err
	}
	m.load(r.keys, ev.Node)
	return ev.Index, nil
}

// fetchOneByOne is how many unit files are fetched singly before reading all
// of them at once is cheaper.
const fetchOneByOne = 32

// fetch gets unit files into m. One that does not exist or cannot be parsed
// leaves its units unreadable; that is not an error here.
func (r *Registry) fetch(ctx context.Context, m fileTaker, hashes []unit.Hash) error {
	if len(hashes) > fetchOneByOne {
		return r.fetchAll(ctx, m, hashes)
	}
	for _, h := range hashes {
		ev, err := r.read(ctx, r.keys.blob(h), false)
		if err != nil && !errors.Is(err, kv.ErrKeyNotFound) {
			return err
		}
		if err == nil {
			var f *unit.File
			if f, err = decodeBlob(ev.Node.Value); err == nil {
				m.offerFile(h, f)
				continue
			}
		}
		r.log.Warn("unit file cannot be read", "key", r.keys.blob(h), "err", err)
		m.offerFile(h, nil)
	}
	return nil
}

func (r *Registry) fetchAll(ctx context.Context, m fileTaker, hashes []unit.Hash) error {
	ev, err := r.read(ctx, r.keys.blobs(), true)
	if err != nil && !errors.Is(err, kv.ErrKeyNotFound) {
		return err
	}
	texts := make(map[string]string, len(ev.Node.Nodes))
	for _, n := range ev.Node.Nodes {
		texts[kv.Base(n.Key)] = n.Value
	}
	for _, h := range hashes {
		f, err := decodeBlob(texts[h.String()])
		if err != nil {
			r.log.Warn("unit file cannot be read", "key", r.keys.blob(h), "err", err)
			f = nil
		}
		m.offerFile(h, f)
	}
	return nil
}

// fileTaker is what unit files are fetched for; a nil file is one that cannot
// be read.
type fileTaker interface {
	offerFile(unit.Hash, *unit.File)
}

// fileSet is a fileTaker that keeps all.
type fileSet map[unit.Hash]*unit.File

func (s fileSet) offerFile(h unit.Hash, f *unit.File) { s[h] = f }

// checkUnit applies every rule for the content and target of a unit, and says
// whether it is global.
func checkUnit(name string, f *unit.File, target State) (global bool, err error) {
	if err := checkTarget(name, target); err != nil {
		return false, err
	}
	u, _, err := unitfile.Read(name, f, unitfile.Estimate)
	if err != nil {
		return false, &InvalidError{Err: err}
	}
	return u.Global, nil
}

func checkTarget(name string, target State) error {
	if err := unit.CheckName(name); err != nil {
		return &InvalidError{Err: err}
	}
	if strings.HasPrefix(name, "_") {
		return invalidf("unit name cannot start in %q", "_")
	}
	if _, err := ParseState(string(target)); err != nil {
		return err
	}
	if target != Inactive && unit.Name(name).IsTemplate() {
		return invalidf("cannot activate template %q", name)
	}
	return nil
}

// notFound turns the store's missing key into a missing unit.
func notFound(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kv.ErrKeyNotFound):
		return fmt.Errorf("unit %s: %w", name, ErrUnitNotFound)
	}
	return fmt.Errorf("unit %s: %w", name, err)
}
