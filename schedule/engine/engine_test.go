package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/engine"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/schedule/unitfile"
	"github.com/strakeproject/strake/unit"
)

func TestNewNamesTheFieldThatIsWrong(t *testing.T) {
	reg := registry.New(nil, registry.Options{})
	for _, c := range []struct {
		cfg  engine.Config
		want string
	}{
		{engine.Config{MachineID: "m1"}, "engine config: Registry is missing"},
		{engine.Config{Registry: reg}, "engine config: MachineID is missing"},
		{engine.Config{Registry: reg, MachineID: "m1", Schedule: schedule.Options{Strategy: 9}}, "engine config: Schedule: unknown strategy 9"},
		{engine.Config{Registry: reg, MachineID: "m1", Interval: time.Millisecond}, "engine config: Interval 1ms is less than 200ms"},
	} {
		if _, err := engine.New(c.cfg); err == nil || err.Error() != c.want {
			t.Errorf("New(%+v): got error %v, want %s", c.cfg, err, c.want)
		}
	}
}

func TestRunRefusesASecondCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		e, err := engine.New(engine.Config{Registry: w.reg, MachineID: "m1"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Run(ctx); err != nil {
			t.Errorf("first Run: %v", err)
		}
		if err := e.Run(ctx); err == nil {
			t.Error("second Run: no error")
		}
	})
}

func launch(t *testing.T, reg *registry.Registry, name string, options ...string) {
	t.Helper()
	f, err := unit.Parse([]byte("[Service]\nExecStart=/bin/true\n[X-Fleet]\n" + strings.Join(options, "\n") + "\n"))
	if err == nil {
		err = reg.CreateUnit(t.Context(), name, f, registry.Launched)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func placements(t *testing.T, reg *registry.Registry) map[string]string {
	t.Helper()
	units, err := reg.Units(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]string{}
	for _, u := range units {
		at[u.Name] = u.Machine
	}
	return at
}

// While a lease is stolen two engines lead for a moment. Whatever they write,
// a unit has one machine, and stays there.
func TestTwoLeadersDoNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		for _, id := range []string{"m1", "m2", "m3"} {
			if err := w.join(id, nil); err != nil {
				t.Fatal(err)
			}
		}
		must(t, w.startEngine("m1"))
		time.Sleep(time.Second)
		must(t, w.startEngine("m2"))
		time.Sleep(1500 * time.Millisecond) // m1 has just renewed; m2 looks before the next time
		if _, err := w.store.Delete(t.Context(), registry.DefaultPrefix+"lease/engine-leader", kv.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if log := w.takeLog(); !strings.Contains(log, "m2: \"engine leadership acquired\"") || strings.Contains(log, "lost") {
			t.Fatalf("m1 and m2 should both believe to lead:\n%s", log)
		}
		for i := range 50 {
			launch(t, w.reg, fmt.Sprintf("u%d.service", i))
		}
		synctest.Wait()
		before := placements(t, w.reg)
		count := map[string]int{}
		for name, id := range before {
			if count[id]++; id == "" {
				t.Errorf("%s is on no machine", name)
			}
		}
		for id, n := range count {
			if n < 10 || n > 25 {
				t.Errorf("%s has %d of 50 units", id, n)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for name, id := range placements(t, w.reg) {
			if id != before[name] {
				t.Errorf("%s went from %s to %s", name, before[name], id)
			}
		}
		log := w.takeLog()
		if n := strings.Count(log, "leadership lost"); n != 1 || strings.Contains(log, "unit is moved") {
			t.Errorf("leadership was lost %d times, want once, and nothing moved:\n%s", n, log)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// flaky fails creations of schedule keys, before or after they take place.
type flaky struct {
	kv.Store
	mu            sync.Mutex
	before, after int // how many are left; protected by mu
}

func (f *flaky) Create(ctx context.Context, key, value string, opts kv.CreateOptions) (kv.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if kv.Base(key) != "target" {
		return f.Store.Create(ctx, key, value, opts)
	}
	if f.before > 0 {
		f.before--
		return kv.Event{}, &kv.Error{Code: kv.CodeRaftInternal, Err: kv.ErrNotApplied}
	}
	ev, err := f.Store.Create(ctx, key, value, opts)
	if f.after > 0 {
		f.after--
		return kv.Event{}, &kv.Error{Code: kv.CodeRaftInternal, Err: kv.ErrOutcomeUnknown}
	}
	return ev, err
}

func TestFailedWritesAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		must(t, w.join("m1", nil))
		must(t, w.join("m2", nil))
		store := &flaky{Store: w.store, before: 3, after: 2}
		e, err := engine.New(engine.Config{
			Registry:  registry.New(store, registry.Options{}),
			MachineID: "m1",
			Logger:    slog.New(logTo(w, "m1")),
		})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		for i := range 6 {
			launch(t, w.reg, fmt.Sprintf("u%d.service", i))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for name, id := range placements(t, w.reg) {
			if id == "" {
				t.Errorf("%s is on no machine\n%s", name, w.takeLog())
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if store.before+store.after > 0 {
			t.Errorf("failures that did not happen: %d and %d", store.before, store.after)
		}
	})
}

func TestANewerClusterIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		if _, err := w.store.Set(t.Context(), registry.DefaultPrefix+"engine/version", "2", kv.SetOptions{}); err != nil {
			t.Fatal(err)
		}
		must(t, w.startEngine("m1"))
		time.Sleep(time.Minute)
		synctest.Wait()
		log := w.takeLog()
		if strings.Count(log, "\n") != 1 || !strings.Contains(log, registry.ErrNewerEngine.Error()) {
			t.Errorf("log: got\n%swant one line that says %v", log, registry.ErrNewerEngine)
		}
		if l, err := w.reg.Leader(t.Context()); err != nil || l != (registry.Leader{}) {
			t.Errorf("leader: got %+v, %v, want none", l, err)
		}
	})
}

// A thousand units at once, then the loss of a machine: all of it in no time of
// the fake clock, and with no write too many.
func TestManyUnitsAreScheduledInOneGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		for i := range 10 {
			must(t, w.join(fmt.Sprintf("m%d", i), nil))
		}
		for i := range 1000 {
			launch(t, w.reg, fmt.Sprintf("u%03d.service", i))
		}
		before := w.store.Index()
		must(t, w.startEngine("m0"))
		start := time.Now()
		synctest.Wait()
		// The lease, the engine version, and a schedule for each unit.
		if n := w.store.Index() - before; n != 1002 {
			t.Errorf("writes: got %d, want 1002", n)
		}
		before = w.store.Index()
		w.machines["m3"].die()
		must(t, w.machines["m3"].presence.Leave(t.Context()))
		synctest.Wait()
		if n := w.store.Index() - before; n != 101 {
			t.Errorf("writes after the loss of a machine: got %d, want 101", n)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v, want no time at all", d)
		}
		count := map[string]int{}
		for _, id := range placements(t, w.reg) {
			count[id]++
		}
		for id, n := range count {
			if n < 111 || n > 112 {
				t.Errorf("%s has %d units, want 111 or 112", id, n)
			}
		}
	})
}

// The engine stands in for a store that does not come up: it must end.
func TestRunEndsWithItsContextWhateverTheStoreDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := tree.NewLocal()
		must(t, err)
		defer store.Close()
		gate := &outage{Store: store}
		gate.set(true)
		e, err := engine.New(engine.Config{Registry: registry.New(gate, registry.Options{}), MachineID: "m1"})
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := e.Run(ctx); err != nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("Run: got %v after %v, want nil after the hour", err, ctx.Err())
		}
	})
}

// An engine that packs, in a cluster where limits count for requests.
func TestAnEnginePlacesAsItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		for _, id := range []string{"m1", "m2"} {
			must(t, w.join(id, []string{"cpu=1"}))
		}
		e, err := engine.New(engine.Config{
			Registry:  registry.New(w.store, registry.Options{Derive: unitfile.Request}),
			MachineID: "m1",
			Schedule:  schedule.Options{Strategy: schedule.Pack, Preempt: true},
		})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		quota := func(name, cpu string, options ...string) {
			f, err := unit.Parse([]byte("[Service]\nCPUQuota=" + cpu + "\n[X-Fleet]\n" + strings.Join(options, "\n") + "\n"))
			must(t, err)
			must(t, w.reg.CreateUnit(t.Context(), name, f, registry.Launched))
			synctest.Wait()
		}
		quota("a.service", "30%")
		quota("b.service", "30%")
		quota("c.service", "50%")
		if got, want := fmt.Sprint(placements(t, w.reg)), "map[a.service:m1 b.service:m1 c.service:m2]"; got != want {
			t.Errorf("packed: got %s, want %s", got, want)
		}
		quota("d.service", "80%", "Priority=1")
		if got, want := fmt.Sprint(placements(t, w.reg)), "map[a.service:m1 b.service:m1 c.service: d.service:m2]"; got != want {
			t.Errorf("with one of higher priority: got %s, want %s", got, want)
		}
		cancel()
		must(t, <-ended)
	})
}
