package registry

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/unit"
)

// Scope says how much of the registry a View takes in. The zero value is all
// units and machines, without unit states: what an engine needs.
type Scope struct {
	// Machine limits the view to what the agent of the machine with that ID
	// needs: units scheduled to it, global units, and the machine itself.
	Machine string
	// States takes in unit states, published and current, which change far more
	// often than all else.
	States bool
}

// Changes are what differs since they were last taken: created, changed and
// removed ones alike, each list ordered. Look in the View for what they are
// now.
type Changes struct {
	Units    []string // unit names
	Machines []string // machine IDs
	States   []string // names of units of which a machine's state has changed
	// Silent are those of Machines that are gone without having signed off:
	// their time ran out, or nobody saw how they went.
	Silent []string
	// Rebalance: there is an order to rebalance that was not there, or the
	// reverse.
	Rebalance bool
}

// View is an image of a registry, kept current by watches. It includes every
// write made through its own Registry as soon as that write has returned, and
// those of others after a moment. While the store cannot be reached it shows
// the last that was known. All methods are safe for concurrent use.
//
//	watch job/      ─┐
//	watch machines/ ─┼─> apply ──> mirror ──> Changed ──> the reader: Take, Unit, Machine, ...
//	watch states/   ─┤
//	watch engine/   ─┤
//	own writes      ─┘
//
// One goroutine for each directory reads, watches and applies; they end with
// the context given to Follow, or by Close.
type View struct {
	r       *Registry
	cancel  context.CancelFunc
	running sync.WaitGroup
	changed chan struct{} // holds one token while Take has something to give

	mu sync.Mutex
	// m is protected by mu.
	m *mirror
	// own has one entry for each directory followed; the slice is immutable,
	// what it points to is protected by mu.
	own []*ownWrites
}

// Follow reads what scope takes in and returns a View of it, in which
// everything counts as changed. It fails if that first reading does. Afterwards
// the view outlives all trouble with the store until ctx ends or it is closed.
func (r *Registry) Follow(ctx context.Context, scope Scope) (*View, error) {
	ctx, cancel := context.WithCancel(ctx)
	v := &View{r: r, cancel: cancel, changed: make(chan struct{}, 1), m: newMirror(scope, r.derive)}
	for _, dir := range r.keys.followed(scope) {
		v.own = append(v.own, newOwnWrites(dir))
	}
	r.mu.Lock()
	r.views[v] = struct{}{}
	r.mu.Unlock()

	var followers []*follower
	for _, own := range v.own {
		f := &follower{r: r, v: v, dir: own.dir, own: own}
		if err := f.load(ctx); err != nil {
			v.Close()
			return nil, err
		}
		followers = append(followers, f)
	}
	for _, f := range followers {
		v.running.Go(func() { f.run(ctx) })
	}
	return v, nil
}

// followed lists the directories that a scope takes in.
func (l layout) followed(scope Scope) []string {
	dirs := []string{l.jobs(), l.machines(), l.engine()}
	if scope.Machine != "" {
		dirs = []string{l.jobs(), l.machine(scope.Machine)}
	}
	if scope.States {
		dirs = append(dirs, l.states())
	}
	return dirs
}

// Close ends the view's watches. What it shows then stays.
func (v *View) Close() {
	v.cancel()
	v.running.Wait()
	v.r.mu.Lock()
	defer v.r.mu.Unlock()
	delete(v.r.views, v)
}

// Changed delivers a value when Take has something to give.
func (v *View) Changed() <-chan struct{} { return v.changed }

// Take returns what has changed since the last Take.
func (v *View) Take() Changes {
	v.mu.Lock()
	defer v.mu.Unlock()
	select {
	case <-v.changed:
	default:
	}
	c := Changes{
		Units:    slices.Sorted(maps.Keys(v.m.changedUnits)),
		Machines: slices.Sorted(maps.Keys(v.m.changedMachines)),
		States:   slices.Sorted(maps.Keys(v.m.changedStates)),

		Silent:    slices.Sorted(maps.Keys(v.m.silent)),
		Rebalance: v.m.changedOrder,
	}
	v.m.changedOrder = false
	clear(v.m.silent)
	clear(v.m.changedUnits)
	clear(v.m.changedMachines)
	clear(v.m.changedStates)
	return c
}

// Unit returns the unit of that name, if the view takes it in and it can be
// read.
func (v *View) Unit(name string) (Unit, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	u, err := v.m.unit(name)
	return u, err == nil
}

// Units returns all units of the view that can be read, ordered by name.
func (v *View) Units() []Unit {
	v.mu.Lock()
	defer v.mu.Unlock()
	units := make([]Unit, 0, len(v.m.units))
	for name := range v.m.names() {
		if u, err := v.m.unit(name); err == nil {
			units = append(units, u)
		}
	}
	return units
}

// Machine returns the machine of that ID, if it is alive.
func (v *View) Machine(id string) (Machine, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.m.machine(id)
}

// Machines returns all machines that are alive, ordered by ID.
func (v *View) Machines() []Machine {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Collect(v.m.allMachines())
}

// Rebalance returns the order to rebalance, if there is one. A view of one
// machine has none.
func (v *View) Rebalance() (RebalanceOrder, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.m.order == nil {
		return RebalanceOrder{}, false
	}
	return *v.m.order, true
}

// States returns the published states of a unit, ordered by machine. It is
// empty for a scope without states.
func (v *View) States(name string) []UnitState {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.m.statesOf(name)
}

// change runs f on the mirror and tells the reader if something came of it.
func (v *View) change(f func(*mirror)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(v.m)
	if len(v.m.changedUnits)+len(v.m.changedMachines)+len(v.m.changedStates) == 0 && !v.m.changedOrder {
		return
	}
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// offerFile takes in a unit file that a unit of the view may need.
func (v *View) offerFile(h unit.Hash, f *unit.File) {
	v.change(func(m *mirror) { m.offerFile(h, f) })
}

// pin takes in unit files before the change that makes them needed. Call the
// function that it returns after the change.
func (v *View) pin(files fileSet) (unpin func()) {
	v.change(func(m *mirror) {
		for h, f := range files {
			m.pin(h, f)
		}
	})
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		for h := range files {
			v.m.unpin(h)
		}
	}
}

// lacks lists those of the hashes whose unit files are not there.
func (v *View) lacks(hashes []unit.Hash) []unit.Hash {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.DeleteFunc(hashes, func(h unit.Hash) bool {
		f := v.m.files[h]
		return f != nil && f.fetched
	})
}

// needs returns the hash of a unit file that a change will make the view need;
// zero for none.
func (v *View) needs(ev kv.Event) unit.Hash {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.m.needs(v.r.keys, ev)
}

// missing lists the unit files that the view needs.
func (v *View) missing() []unit.Hash {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.m.missing()
}

// applyOwn takes in a write of our own Registry, if it lies in a directory that
// is followed.
func (v *View) applyOwn(ev kv.Event) {
	ev.Index = ev.Node.ModifiedIndex
	for _, own := range v.own {
		if !kv.Below(ev.Node.Key, own.dir) {
			continue
		}
		v.change(func(m *mirror) {
			for _, ev := range own.add(ev) {
				m.apply(v.r.keys, ev)
			}
		})
	}
}

// applyWatched takes in a change that a watch delivered.
func (v *View) applyWatched(own *ownWrites, ev kv.Event) {
	v.change(func(m *mirror) {
		if !own.cover(ev) {
			m.apply(v.r.keys, ev)
			for _, later := range own.after(ev) {
				m.apply(v.r.keys, later)
			}
		}
		own.forget(ev.Index)
	})
}

// reload replaces what is known below a directory by a reading of it made at
// index.
func (v *View) reload(own *ownWrites, index uint64, found kv.Node) {
	v.change(func(m *mirror) {
		m.replace(v.r.keys, own.dir, found)
		own.forget(index)
		for _, later := range own.events {
			m.apply(v.r.keys, later)
		}
	})
}
