package agent_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/schedule/agent"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

const ttl = 12 * time.Second

// world is one machine's agent with a registry to order it about, all inside a
// synctest bubble.
type world struct {
	*testing.T
	store  *outage
	reg    *registry.Registry // the users' and the engine's, always reachable
	runner *fakeRunner
	agent  *agent.Agent
	stop   context.CancelFunc // ends the agent's Run as a crash would
	ended  chan error         // gets what Run returns
}

func inWorld(t *testing.T, f func(*world)) {
	synctest.Test(t, func(t *testing.T) {
		store, err := tree.NewLocal()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		w := &world{T: t, store: &outage{Store: store}, reg: registry.New(store, registry.Options{}), runner: newFakeRunner()}
		w.begin()
		f(w)
		w.stop()
	})
}

// begin starts an agent for the runner.
func (w *world) begin() {
	a, err := agent.New(agent.Config{
		Registry: registry.New(w.store, registry.Options{}),
		Runner:   w.runner,
		Machine:  registry.Machine{ID: "m1", Identity: "disk-1"},
		TTL:      ttl,
	})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	w.agent, w.stop, w.ended = a, cancel, ended
	go func() { ended <- a.Run(ctx) }()
	synctest.Wait()
}

func (w *world) create(name string, target registry.State, text string) {
	w.Helper()
	f, err := unit.Parse([]byte(text))
	w.ok(err)
	w.ok(w.reg.CreateUnit(w.Context(), name, f, target))
}

// scheduled creates a unit on the machine.
func (w *world) scheduled(name string, target registry.State) {
	w.Helper()
	w.create(name, target, "[Service]\nExecStart=/bin/true\n")
	w.ok(w.reg.Schedule(w.Context(), name, "m1"))
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// want compares what the runner holds and what the registry shows with a text
// like "a.service active launched", one unit after the other.
func (w *world) want(when, want string) {
	w.Helper()
	synctest.Wait()
	var got []string
	states, err := w.reg.States(w.Context())
	w.ok(err)
	shown := make(map[string]string)
	for _, s := range states {
		if s.Machine == "m1" {
			shown[s.Unit] = s.State.Active
		}
	}
	for name, active := range w.runner.active() {
		word := "unpublished"
		if shown[name] == active {
			word = "published"
			if u, err := w.reg.Unit(w.Context(), name); err == nil {
				word = string(u.Current)
			}
		}
		delete(shown, name)
		got = append(got, fmt.Sprintf("%s %s %s", name, active, word))
	}
	for name := range shown {
		got = append(got, name+" is published and not there")
	}
	slices.Sort(got)
	if s := strings.Join(got, "; "); s != want {
		w.Fatalf("%s:\n got %q\nwant %q", when, s, want)
	}
}

func (w *world) machines() int {
	machines, err := w.reg.Machines(w.Context())
	w.ok(err)
	return len(machines)
}

func TestAgentFollowsWhatIsWanted(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx := w.Context()
		w.scheduled("a.service", registry.Launched)
		w.scheduled("b.service", registry.Loaded)
		w.create("g.service", registry.Launched, "[X-Fleet]\nGlobal=yes\n")
		w.create("x.service", registry.Launched, "[Service]\nExecStart=/bin/true\n")
		w.want("scheduled", "a.service active launched; b.service inactive loaded; g.service active ")

		w.ok(w.reg.SetTarget(ctx, "a.service", registry.Loaded))
		w.ok(w.reg.SetTarget(ctx, "b.service", registry.Launched))
		w.want("states swapped", "a.service inactive loaded; b.service active launched; g.service active ")

		w.ok(w.reg.Unschedule(ctx, "a.service", "m1"))
		w.ok(w.reg.DestroyUnit(ctx, "b.service"))
		w.ok(w.reg.SetTarget(ctx, "g.service", registry.Inactive))
		w.want("gone", "")
	})
}

func TestAgentReplacesAUnitWhoseFileHasChanged(t *testing.T) {
	inWorld(t, func(w *world) {
		w.scheduled("a.service", registry.Launched)
		w.want("first", "a.service active launched")
		w.runner.log = nil
		f, err := unit.Parse([]byte("[Service]\nExecStart=/bin/false\n"))
		w.ok(err)
		w.ok(w.reg.ReplaceUnit(w.Context(), "a.service", f, registry.Launched))
		w.want("second", "a.service active launched")
		if got, want := strings.Join(w.runner.log, ", "), "unload a.service, load a.service, start a.service"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestMetadataDecidesOnGlobalUnits(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create("g.service", registry.Launched, "[X-Fleet]\nGlobal=yes\nMachineMetadata=role=db\n")
		w.want("without metadata", "")
		w.ok(w.reg.SetMetadata(w.Context(), "m1", "role", "db"))
		w.want("with metadata", "g.service active ")
		w.ok(w.reg.SetMetadata(w.Context(), "m1", "role", ""))
		w.want("metadata removed", "")
	})
}

func TestOneBadUnitDoesNotHinderOthers(t *testing.T) {
	inWorld(t, func(w *world) {
		w.runner.refuse("load", "bad.service", true)
		w.scheduled("bad.service", registry.Launched)
		w.scheduled("good.service", registry.Launched)
		w.want("refused", "good.service active launched")
		w.runner.refuse("load", "bad.service", false)
		time.Sleep(6 * time.Second)
		w.want("tried again", "bad.service active launched; good.service active launched")

		w.runner.refuse("unload", "bad.service", true)
		w.ok(w.reg.DestroyUnit(w.Context(), "bad.service"))
		time.Sleep(time.Minute)
		w.want("unload refused", "bad.service active published; good.service active launched")
		w.runner.refuse("unload", "bad.service", false)
		time.Sleep(6 * time.Second)
		w.want("unloaded", "good.service active launched")

		w.runner.refuse("load", "worse.service", true)
		w.scheduled("worse.service", registry.Launched)
		w.want("another", "good.service active launched")
		w.ok(w.reg.DestroyUnit(w.Context(), "worse.service"))
		w.runner.log = nil
		time.Sleep(time.Minute)
		if len(w.runner.log) != 0 {
			t.Errorf("a unit that was destroyed is tried again: %v", w.runner.log)
		}
	})
}

func TestSlowStopDoesNotHinderOthers(t *testing.T) {
	inWorld(t, func(w *world) {
		w.scheduled("slow.service", registry.Launched)
		w.want("running", "slow.service active launched")
		w.runner.slow("slow.service", time.Minute)
		w.ok(w.reg.Unschedule(w.Context(), "slow.service", "m1"))
		w.scheduled("next.service", registry.Launched)
		time.Sleep(6 * time.Second)
		w.want("stopping", "next.service active launched; slow.service active inactive")
		time.Sleep(time.Minute)
		w.want("stopped", "next.service active launched")
	})
}

func TestUnitIsLeftAloneUntilItIsGone(t *testing.T) {
	inWorld(t, func(w *world) {
		w.runner.linger("a.service", time.Minute)
		w.scheduled("a.service", registry.Launched)
		w.want("running", "a.service active launched")
		w.runner.log = nil
		f, err := unit.Parse([]byte("[Service]\nExecStart=/bin/false\n"))
		w.ok(err)
		w.ok(w.reg.ReplaceUnit(w.Context(), "a.service", f, registry.Launched))
		time.Sleep(30 * time.Second)
		w.want("stopping", "a.service deactivating launched")
		time.Sleep(31 * time.Second)
		w.want("gone and back", "a.service active launched")
		if got, want := strings.Join(w.runner.log, ", "), "unload a.service, load a.service, start a.service"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		begin := time.Now()
		w.ok(w.agent.Shutdown(w.Context()))
		if d := time.Since(begin).Round(time.Second); d != time.Minute {
			t.Errorf("shutdown took %v, want the minute that the unit needs to stop", d)
		}
		w.want("shut down", "")
	})
}

func TestCrashLeavesEverythingAndANewAgentTakesOver(t *testing.T) {
	inWorld(t, func(w *world) {
		w.scheduled("a.service", registry.Launched)
		w.scheduled("b.service", registry.Launched)
		w.want("running", "a.service active launched; b.service active launched")
		w.stop()
		w.ok(<-w.ended)
		w.want("crashed", "a.service active launched; b.service active launched")
		if w.machines() != 1 {
			t.Fatal("crashed: the machine is gone before its time")
		}
		w.ok(w.reg.DestroyUnit(w.Context(), "b.service"))

		w.runner.log = nil
		w.begin()
		w.want("taken over", "a.service active launched")
		if got, want := strings.Join(w.runner.log, ", "), "unload b.service"; got != want {
			t.Errorf("taken over: the runner was told to %q, want %q", got, want)
		}
		time.Sleep(2 * ttl)
		w.want("later", "a.service active launched")

		w.stop()
		w.ok(<-w.ended)
		time.Sleep(ttl)
		if w.machines() != 0 {
			t.Error("the machine of an agent that crashed does not expire")
		}
		w.want("expired", "a.service active unpublished")
	})
}

func TestShutdownLeavesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.scheduled("a.service", registry.Launched)
		w.create("g.service", registry.Launched, "[X-Fleet]\nGlobal=yes\n")
		elsewhere := registry.UnitState{Unit: "g.service", Machine: "m2", State: unit.State{Name: "g.service", Hash: unit.Hash{1}}}
		w.ok(w.reg.PublishState(w.Context(), elsewhere, time.Hour))
		w.want("running", "a.service active launched; g.service active ")
		w.ok(w.agent.Shutdown(w.Context()))
		w.ok(<-w.ended)
		w.want("shut down", "")
		if w.machines() != 0 {
			t.Error("the machine is still registered")
		}
		states, err := w.reg.States(w.Context())
		w.ok(err)
		if len(states) != 1 || states[0].Machine != "m2" {
			t.Errorf("got states %v, want that of the other machine alone", states)
		}
	})
}

func TestUnitsOutliveAnOutageOfTheRegistry(t *testing.T) {
	inWorld(t, func(w *world) {
		w.scheduled("a.service", registry.Launched)
		w.want("running", "a.service active launched")
		w.runner.log = nil
		w.store.begin()
		w.runner.set("a.service", "failed")
		time.Sleep(10 * ttl)
		w.want("outage", "a.service failed unpublished")
		if w.machines() != 0 {
			t.Fatal("outage: the machine is still registered")
		}
		w.store.end()
		time.Sleep(8 * time.Second)
		w.want("afterwards", "a.service failed launched")
		if w.machines() != 1 {
			t.Error("afterwards: the machine is not registered")
		}
		if w.runner.log != nil {
			t.Errorf("the runner was told to %s, want nothing", w.runner.log)
		}
	})
}

func TestAgentWaitsForTheMachineID(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stop()
		w.ok(<-w.ended)
		time.Sleep(ttl)
		clone, err := w.reg.Join(w.Context(), registry.Machine{ID: "m1", Identity: "disk-2"}, "x", ttl)
		w.ok(err)
		w.scheduled("a.service", registry.Launched)
		w.begin()
		select {
		case <-w.agent.Joined():
			t.Fatal("joined while a clone holds the machine ID")
		default:
		}
		w.ok(clone.Leave(w.Context()))
		<-w.agent.Joined()
		w.want("clone left", "a.service active launched")
	})
}

func TestEarlierProcessGivesWay(t *testing.T) {
	inWorld(t, func(w *world) {
		earlier := w.ended
		stop := w.stop
		defer stop()
		w.begin()
		time.Sleep(ttl)
		select {
		case err := <-earlier:
			if !errors.Is(err, registry.ErrSuperseded) {
				t.Errorf("got %v, want ErrSuperseded", err)
			}
		default:
			t.Error("the earlier agent still runs")
		}
	})
}

// outage is a store that can be out of reach.
type outage struct {
	kv.Store
	mu      sync.Mutex
	down    bool
	watches []context.CancelFunc
}

func (o *outage) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = true
	for _, cancel := range o.watches {
		cancel()
	}
}

func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = false
}

func (o *outage) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down {
		return errors.New("registry is out of reach")
	}
	return nil
}

func (o *outage) Get(ctx context.Context, key string, opts kv.GetOptions) (kv.Event, error) {
	if err := o.err(); err != nil {
		return kv.Event{}, err
	}
	return o.Store.Get(ctx, key, opts)
}

func (o *outage) Set(ctx context.Context, key, value string, opts kv.SetOptions) (kv.Event, error) {
	if err := o.err(); err != nil {
		return kv.Event{}, err
	}
	return o.Store.Set(ctx, key, value, opts)
}

func (o *outage) Create(ctx context.Context, key, value string, opts kv.CreateOptions) (kv.Event, error) {
	if err := o.err(); err != nil {
		return kv.Event{}, err
	}
	return o.Store.Create(ctx, key, value, opts)
}

func (o *outage) CompareAndSwap(ctx context.Context, key, value string, cond kv.Condition, opts kv.UpdateOptions) (kv.Event, error) {
	if err := o.err(); err != nil {
		return kv.Event{}, err
	}
	return o.Store.CompareAndSwap(ctx, key, value, cond, opts)
}

func (o *outage) Watch(ctx context.Context, key string, opts kv.WatchOptions) (*kv.Watch, error) {
	if err := o.err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	o.mu.Lock()
	o.watches = append(o.watches, cancel)
	o.mu.Unlock()
	return o.Store.Watch(ctx, key, opts)
}

// fakeRunner runs nothing: a unit is active from its start to its stop.
type fakeRunner struct {
	mu      sync.Mutex
	states  map[string]unit.State
	refused map[string]bool          // by verb and unit
	delays  map[string]time.Duration // how long an unload takes to return
	lingers map[string]time.Duration // how long after that a unit is gone
	log     []string                 // what was done
	changed map[chan struct{}]struct{}
}

func newFakeRunner() *fakeRunner {
	return &fakeRunner{
		states:  make(map[string]unit.State),
		refused: make(map[string]bool),
		delays:  make(map[string]time.Duration),
		lingers: make(map[string]time.Duration),
		changed: make(map[chan struct{}]struct{}),
	}
}

func (r *fakeRunner) refuse(verb, name string, yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused[verb+" "+name] = yes
}

func (r *fakeRunner) slow(name string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delays[name] = d
}

func (r *fakeRunner) linger(name string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lingers[name] = d
}

// set makes a unit be in an active state of its own accord.
func (r *fakeRunner) set(name, active string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.states[name]
	s.Active = active
	r.states[name] = s
	r.wake()
}

func (r *fakeRunner) active() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := make(map[string]string)
	for name, s := range r.states {
		m[name] = s.Active
	}
	return m
}

// wake tells watchers. The caller holds mu.
func (r *fakeRunner) wake() {
	for c := range r.changed {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// each does one verb to units that it is not refused for.
func (r *fakeRunner) each(verb string, names []string, f func(name string)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, name := range names {
		r.log = append(r.log, verb+" "+name)
		if r.refused[verb+" "+name] {
			errs = append(errs, &unit.RunError{Op: verb, Unit: name, Err: errors.New("refused")})
			continue
		}
		f(name)
	}
	r.wake()
	return errors.Join(errs...)
}

func (r *fakeRunner) Load(_ context.Context, units ...unit.Unit) error {
	files := make(map[string]*unit.File)
	var names []string
	for _, u := range units {
		files[u.Name] = u.File
		names = append(names, u.Name)
	}
	return r.each("load", names, func(name string) {
		r.states[name] = unit.State{Name: name, Hash: files[name].Hash(), Load: "loaded", Active: "inactive", Sub: "dead"}
	})
}

func (r *fakeRunner) Unload(ctx context.Context, names ...string) error {
	for _, name := range names {
		r.mu.Lock()
		d := r.delays[name]
		r.mu.Unlock()
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return r.each("unload", names, func(name string) {
		if r.lingers[name] == 0 {
			delete(r.states, name)
			return
		}
		s := r.states[name]
		s.Active = "deactivating"
		r.states[name] = s
		time.AfterFunc(r.lingers[name], func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.states, name)
			r.wake()
		})
	})
}

func (r *fakeRunner) Start(_ context.Context, names ...string) error {
	return r.each("start", names, func(name string) {
		s := r.states[name]
		s.Active, s.Sub = "active", "running"
		r.states[name] = s
	})
}

func (r *fakeRunner) Stop(_ context.Context, names ...string) error {
	return r.each("stop", names, func(name string) {
		s := r.states[name]
		s.Active, s.Sub = "inactive", "dead"
		r.states[name] = s
	})
}

func (r *fakeRunner) States(context.Context) ([]unit.State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.states), func(a, b unit.State) int { return strings.Compare(a.Name, b.Name) }), nil
}

func (r *fakeRunner) Watch(ctx context.Context) iter.Seq[unit.State] {
	return func(yield func(unit.State) bool) {
		wake := make(chan struct{}, 1)
		wake <- struct{}{}
		r.mu.Lock()
		r.changed[wake] = struct{}{}
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.changed, wake)
		}()
		seen := make(map[string]unit.State)
		for {
			select {
			case <-ctx.Done():
				return
			case <-wake:
			}
			states, _ := r.States(ctx)
			var news []unit.State
			there := make(map[string]bool)
			for _, s := range states {
				there[s.Name] = true
				if seen[s.Name] != s {
					news = append(news, s)
				}
				seen[s.Name] = s
			}
			for name := range seen {
				if !there[name] {
					delete(seen, name)
					news = append(news, unit.State{Name: name, Load: "not-found"})
				}
			}
			for _, s := range news {
				if !yield(s) {
					return
				}
			}
		}
	}
}

func (r *fakeRunner) Journal(context.Context, string, unit.JournalOptions) iter.Seq2[unit.JournalEntry, error] {
	return func(func(unit.JournalEntry, error) bool) {}
}
