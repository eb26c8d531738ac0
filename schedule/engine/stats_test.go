package engine_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/engine"
	"github.com/strakeproject/strake/schedule/registry"
)

// led has an engine lead a world of two machines, one with 1 core and one with
// 2, for as long as the story goes.
func led(t *testing.T, opts schedule.Options, story func(t *testing.T, w *world, e *engine.Engine)) engine.Stats {
	var e *engine.Engine
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		must(t, w.join("m1", []string{"cpu=1"}))
		must(t, w.join("m2", []string{"cpu=2"}))
		var err error
		e, err = engine.New(engine.Config{Registry: w.reg, MachineID: "m1", Schedule: opts})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel() // before w.end
		w.running.Go(func() { _ = e.Run(ctx) })
		synctest.Wait()
		story(t, w, e)
	})
	return e.Stats()
}

func TestStatsTellOfTheClusterWhileTheEngineLeads(t *testing.T) {
	after := led(t, schedule.Options{}, func(t *testing.T, w *world, e *engine.Engine) {
		launch(t, w.reg, "a.service", "CPU=2") // on m2
		synctest.Wait()
		launch(t, w.reg, "b.service", "CPU=1") // on m1
		synctest.Wait()
		launch(t, w.reg, "c.service", "CPU=1")
		launch(t, w.reg, "d.service", "MachineMetadata=disk=ssd")
		must(t, w.reg.SetMachineState(t.Context(), "m2", schedule.Draining))
		synctest.Wait()
		s := e.Stats()
		if s.LeaderSince.IsZero() || s.Elections != 1 || s.PlanTime.Count == 0 {
			t.Errorf("leading: got %+v", s)
		}
		seen := s.Seen
		if seen.Placed != 2 || seen.Blocked != 1 || len(seen.Unplaced) != 2 || seen.Unplaced[schedule.CodeResource] != 1 || seen.Unplaced[schedule.CodeMetadata] != 1 {
			t.Errorf("units: got %+v, want 2 placed, 1 of them blocked, and 1 unplaced each for resource and metadata", seen)
		}
		if seen.Machines[schedule.Open] != 1 || seen.Machines[schedule.Draining] != 1 || seen.Missing != 0 {
			t.Errorf("machines: got %+v, want one open and one draining", seen)
		}
	})
	if !after.LeaderSince.IsZero() || after.Seen.Placed != 0 || after.Seen.Machines != nil || after.LeasesLost != 0 {
		t.Errorf("after the end: got %+v, want no leader, nothing seen, no lease lost", after)
	}
}

func TestStatsCountEvictionsByTheirCause(t *testing.T) {
	s := led(t, schedule.Options{Preempt: true}, func(t *testing.T, w *world, e *engine.Engine) {
		launch(t, w.reg, "small.service", "CPU=1")
		synctest.Wait()
		launch(t, w.reg, "large.service", "CPU=2", "Priority=5") // small moves, if it was on m2
		synctest.Wait()
		launch(t, w.reg, "first.service", "CPU=1", "Priority=9") // instead of small
		synctest.Wait()
		w.machines["m2"].die()
		must(t, w.machines["m2"].presence.Leave(w.ctx)) // and large has no place
		time.Sleep(time.Minute)
		synctest.Wait()
		must(t, w.reg.SetTarget(w.ctx, "first.service", registry.Inactive)) // small comes back
		synctest.Wait()
	})
	preempted, want := s.Evictions[schedule.CodePreempted], map[schedule.Code]uint64{schedule.CodeMachineLost: 1, schedule.CodeInactive: 1}
	for cause, n := range want {
		if s.Evictions[cause] != n {
			t.Errorf("evictions for %s: got %d, want %d of %v", cause, s.Evictions[cause], n, s.Evictions)
		}
	}
	if preempted == 0 || preempted > 2 {
		t.Errorf("pre-emptions: got %d, want 1 or 2 of %v", preempted, s.Evictions)
	}
	if s.Evicted.Done != preempted+2 || s.Placed.Done < 4 || s.WriteTime.Count == 0 || s.Placed.Failed+s.Evicted.Failed > 0 {
		t.Errorf("writes: got %+v, want %d evictions done, 4 placements at least, and none failed", s, preempted+2)
	}
}

func TestStatsCountFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		must(t, w.join("m1", nil))
		store := &flaky{Store: w.store, before: 3}
		e, err := engine.New(engine.Config{Registry: registry.New(store, registry.Options{}), MachineID: "m1"})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel() // before w.end
		w.running.Go(func() { _ = e.Run(ctx) })
		synctest.Wait()
		launch(t, w.reg, "a.service")
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := e.Stats(); s.Placed != (engine.Writes{Done: 1, Failed: 3}) || s.Seen.Placed != 1 {
			t.Errorf("got %+v, want one placement done at the fourth attempt", s)
		}
	})
}
