package registry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

const sleeper = "[Service]\nExecStart=/bin/sleep 9000\n"

func parse(t testing.TB, text string) *unit.File {
	t.Helper()
	f, err := unit.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// follow opens a view and takes what is in it from the start.
func follow(t testing.TB, r *registry.Registry, scope registry.Scope) *registry.View {
	t.Helper()
	v, err := r.Follow(t.Context(), scope)
	ok(t, err)
	t.Cleanup(v.Close)
	v.Take()
	return v
}

// changes waits until nothing is going on any more, and takes what has changed.
func changes(v *registry.View) string {
	synctest.Wait()
	c := v.Take()
	return fmt.Sprintf("units%v machines%v states%v", c.Units, c.Machines, c.States)
}

func expect(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %s, want %s", what, got, want)
	}
}

// hello is a state of a unit with the text of sleeper.
func hello(t testing.TB, name, machine string) registry.UnitState {
	return registry.UnitState{Unit: name, Machine: machine, State: unit.State{
		Name: name, Hash: parse(t, sleeper).Hash(), Load: "loaded", Active: "active", Sub: "running",
	}}
}

func TestViewReportsWhatOthersChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		other := registry.New(store, registry.Options{})
		v := follow(t, registry.New(store, registry.Options{}), registry.Scope{States: true})
		ctx := t.Context()

		ok(t, other.CreateUnit(ctx, "a.service", parse(t, sleeper), registry.Launched))
		expect(t, "created", changes(v), "units[a.service] machines[] states[]")
		u, found := v.Unit("a.service")
		if !found || u.File.String() != sleeper || u.Target != registry.Launched || u.Current != registry.Inactive {
			t.Fatalf("created: got %+v, %v", u, found)
		}

		_, err := other.Join(ctx, registry.Machine{ID: "m1"}, "x", time.Minute)
		ok(t, err)
		ok(t, other.Schedule(ctx, "a.service", "m1"))
		expect(t, "scheduled", changes(v), "units[a.service] machines[m1] states[]")

		ok(t, other.PublishState(ctx, hello(t, "a.service", "m1"), 20*time.Second))
		ok(t, other.Launch(ctx, "a.service", "m1", 20*time.Second))
		expect(t, "running", changes(v), "units[a.service] machines[] states[a.service]")
		if u, _ := v.Unit("a.service"); u.Current != registry.Launched {
			t.Fatalf("running: got current state %q", u.Current)
		}

		ok(t, other.RefreshState(ctx, hello(t, "a.service", "m1"), 40*time.Second))
		ok(t, other.PublishState(ctx, hello(t, "a.service", "m1"), 40*time.Second))
		expect(t, "published again", changes(v), "units[] machines[] states[]")

		time.Sleep(21 * time.Second)
		expect(t, "job state expired", changes(v), "units[a.service] machines[] states[]")
		time.Sleep(20 * time.Second)
		expect(t, "state expired", changes(v), "units[] machines[] states[a.service]")
		time.Sleep(20 * time.Second)
		expect(t, "machine expired", changes(v), "units[] machines[m1] states[]")
		if got := len(v.Machines()); got != 0 {
			t.Fatalf("machine expired: %d machines are left", got)
		}

		ok(t, other.DestroyUnit(ctx, "a.service"))
		expect(t, "destroyed", changes(v), "units[a.service] machines[] states[]")
		if _, found := v.Unit("a.service"); found {
			t.Fatal("destroyed: the unit is still there")
		}
	})
}

func TestViewOfAnAgentTakesInItsOwnAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		other := registry.New(store, registry.Options{})
		ctx := t.Context()
		v := follow(t, registry.New(store, registry.Options{}), registry.Scope{Machine: "m1"})

		ok(t, other.CreateUnit(ctx, "a.service", parse(t, sleeper), registry.Launched))
		ok(t, other.Schedule(ctx, "a.service", "m2"))
		ok(t, other.PublishState(ctx, hello(t, "a.service", "m2"), time.Minute))
		ok(t, other.Launch(ctx, "a.service", "m2", time.Minute))
		ok(t, other.SetMetadata(ctx, "m2", "k", "v"))
		expect(t, "elsewhere", changes(v), "units[] machines[] states[]")
		select {
		case <-v.Changed():
			t.Fatal("elsewhere: the agent was woken")
		default:
		}

		ok(t, other.CreateUnit(ctx, "g.service", parse(t, "[X-Fleet]\nGlobal=yes\n"), registry.Launched))
		expect(t, "global", changes(v), "units[g.service] machines[] states[]")

		ok(t, other.Reschedule(ctx, "a.service", "m2", "m1"))
		expect(t, "came", changes(v), "units[a.service] machines[] states[]")
		if u, _ := v.Unit("a.service"); u.File.String() != sleeper {
			t.Fatalf("came: got file %q", u.File)
		}
		ok(t, other.Launch(ctx, "a.service", "m1", time.Minute))
		expect(t, "launched", changes(v), "units[] machines[] states[]")
		ok(t, other.Reschedule(ctx, "a.service", "m1", "m2"))
		expect(t, "went", changes(v), "units[a.service] machines[] states[]")
		if got := len(v.Units()); got != 1 {
			t.Fatalf("went: got %d units, want the global one alone", got)
		}
	})
}

func TestViewShowsOwnWritesAtOnce(t *testing.T) {
	store := openStore(t)
	r := registry.New(store, registry.Options{})
	v := follow(t, r, registry.Scope{})
	ctx := t.Context()
	for i := range 200 {
		ok(t, r.CreateUnit(ctx, "a.service", parse(t, sleeper), registry.Launched))
		ok(t, r.Schedule(ctx, "a.service", "m1"))
		ok(t, r.Reschedule(ctx, "a.service", "m1", "m2"))
		if u, found := v.Unit("a.service"); !found || u.Machine != "m2" || u.Target != registry.Launched {
			t.Fatalf("round %d: after own writes the view has %+v, %v", i, u, found)
		}
		ok(t, r.DestroyUnit(ctx, "a.service"))
		if u, found := v.Unit("a.service"); found {
			t.Fatalf("round %d: after its destruction the view has %+v", i, u)
		}
	}
}

// shaky is a store whose watches can be made to break and to forget.
type shaky struct {
	kv.Store
	down   atomic.Bool
	forget atomic.Bool
	cut    atomic.Pointer[context.CancelFunc]
}

func (s *shaky) Watch(ctx context.Context, key string, opts kv.WatchOptions) (*kv.Watch, error) {
	if s.down.Load() {
		return nil, errors.New("store is down")
	}
	if s.forget.Load() && opts.From > 0 {
		return nil, kv.ErrHistoryCleared
	}
	if strings.HasSuffix(key, "/job") {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		s.cut.Store(&cancel)
	}
	return s.Store.Watch(ctx, key, opts)
}

func TestViewCatchesUpAfterALostWatch(t *testing.T) {
	for name, forget := range map[string]bool{"with history": false, "without history": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &shaky{Store: openStore(t)}
				other := registry.New(store.Store, registry.Options{})
				ctx := t.Context()
				ok(t, other.CreateUnit(ctx, "gone.service", parse(t, sleeper), registry.Launched))
				ok(t, other.CreateUnit(ctx, "stays.service", parse(t, sleeper), registry.Launched))
				v := follow(t, registry.New(store, registry.Options{}), registry.Scope{})

				synctest.Wait()
				store.down.Store(true)
				(*store.cut.Load())()
				synctest.Wait()
				ok(t, other.DestroyUnit(ctx, "gone.service"))
				ok(t, other.CreateUnit(ctx, "new.service", parse(t, "[Unit]\nDescription=x\n"), registry.Loaded))
				expect(t, "while down", changes(v), "units[] machines[] states[]")
				if got := len(v.Units()); got != 2 {
					t.Fatalf("while down: got %d units, want the 2 that were known", got)
				}

				store.forget.Store(forget)
				store.down.Store(false)
				time.Sleep(5 * time.Second)
				store.forget.Store(false)
				time.Sleep(5 * time.Second)
				expect(t, "after", changes(v), "units[gone.service new.service] machines[] states[]")
				if u, found := v.Unit("new.service"); !found || u.Hash.Short() != "9fcce57" {
					t.Fatalf("after: got %+v, %v", u, found)
				}
			})
		})
	}
}

// TestViewEqualsAFreshReading drives a registry through views of two Registries
// at random, and compares each view in the end with what a new one reads.
func TestViewEqualsAFreshReading(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			store, err := tree.NewLocal()
			ok(t, err)
			defer store.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			scope := registry.Scope{
				Machine: rapid.SampledFrom([]string{"", "m1"}).Draw(rt, "machine"),
				States:  rapid.Bool().Draw(rt, "states"),
			}
			regs := []*registry.Registry{registry.New(store, registry.Options{}), registry.New(store, registry.Options{})}
			v, err := regs[0].Follow(ctx, scope)
			ok(t, err)
			defer v.Close()
			name := rapid.SampledFrom([]string{"a.service", "b.service"})
			machine := rapid.SampledFrom([]string{"m1", "m2"})
			text := rapid.SampledFrom([]string{sleeper, "[Unit]\nDescription=x\n", "[X-Fleet]\nGlobal=yes\n", "[X-Fleet]\nPorts=dynamic:1\nPin=first\n"})
			for range rapid.IntRange(1, 25).Draw(rt, "steps") {
				r := rapid.SampledFrom(regs).Draw(rt, "registry")
				n, m := name.Draw(rt, "unit"), machine.Draw(rt, "machine")
				// Failures are part of the game: only what is stored counts.
				switch rapid.IntRange(0, 14).Draw(rt, "verb") {
				case 0:
					_ = r.CreateUnit(ctx, n, parse(t, text.Draw(rt, "text")), registry.Launched)
				case 1:
					_ = r.DestroyUnit(ctx, n)
				case 2:
					_ = r.ReplaceUnit(ctx, n, parse(t, text.Draw(rt, "text")), registry.Loaded)
				case 3:
					_ = r.Schedule(ctx, n, m)
				case 4:
					_ = r.Unschedule(ctx, n, m)
				case 5:
					_ = r.Reschedule(ctx, n, "m1", "m2")
				case 6:
					_ = r.PublishState(ctx, hello(t, n, m), 10*time.Second)
				case 7:
					_ = r.Launch(ctx, n, m, 10*time.Second)
				case 8:
					_, _ = r.Join(ctx, registry.Machine{ID: m}, "x", 10*time.Second)
				case 9:
					time.Sleep(3 * time.Second)
				case 10:
					state := rapid.SampledFrom([]schedule.MachineState{schedule.Open, schedule.Cordoned, schedule.Draining})
					_ = r.SetMachineState(ctx, m, state.Draw(rt, "state"))
				case 11:
					_ = r.Pin(ctx, n, m)
				case 12:
					_ = r.GivePorts(ctx, n, m, []uint16{8000})
				case 13:
					_ = r.TakePorts(ctx, n, m)
				case 14:
					_ = r.OrderRebalance(ctx, schedule.Rebalance{Budget: 1})
				}
			}
			synctest.Wait()
			fresh, err := regs[1].Follow(ctx, scope)
			ok(t, err)
			defer fresh.Close()
			if got, want := image(v), image(fresh); got != want {
				rt.Fatalf("followed view:\n%s\nfresh view:\n%s", got, want)
			}
		})
	})
}

// image is all that a view shows.
func image(v *registry.View) string {
	var b strings.Builder
	for _, u := range v.Units() {
		fmt.Fprintf(&b, "%s launched=%s created=%d pin=%s ports=%d", describe(u), u.Launched, u.Created, u.Pinned, u.Ports)
		for _, s := range v.States(u.Name) {
			fmt.Fprintf(&b, " on %s", s.Machine)
		}
		b.WriteByte('\n')
	}
	ids := []string{}
	for _, m := range v.Machines() {
		ids = append(ids, m.ID+" "+registry.FormatMachineState(m.State))
	}
	slices.Sort(ids)
	fmt.Fprintln(&b, ids)
	if order, there := v.Rebalance(); there {
		fmt.Fprintf(&b, "%+v\n", order.Rebalance)
	}
	return b.String()
}

func TestViewTellsMachinesThatFellSilentFromThoseThatSignedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := tree.NewLocal()
		ok(t, err)
		defer store.Close()
		r := registry.New(store, registry.Options{})
		v := follow(t, r, registry.Scope{})
		defer v.Close()
		ctx := t.Context()
		for _, id := range []string{"m1", "m2"} {
			p, err := r.Join(ctx, registry.Machine{ID: id}, id, 5*time.Second)
			ok(t, err)
			if id == "m1" {
				ok(t, p.Leave(ctx))
			}
		}
		expect(t, "after a sign-off", changes(v), "units[] machines[m1 m2] states[]")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		c := v.Take()
		expect(t, "silent machines", fmt.Sprint(c.Machines, c.Silent), "[m2] [m2]")
		c = v.Take()
		expect(t, "silent machines, asked again", fmt.Sprint(c.Machines, c.Silent), "[] []")
	})
}

func TestViewShowsMarksAndOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := tree.NewLocal()
		ok(t, err)
		defer store.Close()
		users, engines := registry.New(store, registry.Options{}), registry.New(store, registry.Options{})
		v := follow(t, engines, registry.Scope{})
		defer v.Close()
		ctx := t.Context()
		_, err = users.Join(ctx, registry.Machine{ID: "m1"}, "1", time.Hour)
		ok(t, err)
		ok(t, users.SetMachineState(ctx, "m1", schedule.Draining))
		synctest.Wait()
		v.Take()
		if m, _ := v.Machine("m1"); m.State != schedule.Draining || m.TTL != time.Hour {
			t.Errorf("m1: got %+v, want it draining with a TTL of an hour", m)
		}
		ok(t, users.OrderRebalance(ctx, schedule.Rebalance{Goal: schedule.Empty, Budget: 3}))
		synctest.Wait()
		order, there := v.Rebalance()
		if c := v.Take(); !c.Rebalance || !there || order.Rebalance != (schedule.Rebalance{Goal: schedule.Empty, Budget: 3}) {
			t.Errorf("order: got %+v, %v, %+v", order, there, c)
		}
		ok(t, engines.FinishRebalance(ctx, order))
		if _, there := v.Rebalance(); there {
			t.Error("an order that was dealt with is still there")
		}
		if waiting, err := users.Rebalancing(ctx); err != nil || waiting {
			t.Errorf("Rebalancing: got %v, %v", waiting, err)
		}
		ok(t, users.OrderRebalance(ctx, schedule.Rebalance{Budget: 1}))
		ok(t, engines.FinishRebalance(ctx, order)) // another one stays
		time.Sleep(30 * time.Second)
		if waiting, err := users.Rebalancing(ctx); err != nil || !waiting {
			t.Errorf("Rebalancing, another order: got %v, %v", waiting, err)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if _, there := v.Rebalance(); there {
			t.Error("an order outlasts its time")
		}
	})
}
