package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// TestWhateverHappensTheClusterIsWholeInTheEnd has machines, units, marks and
// engines come and go at random, lets time pass, and wants what is placed then to
// be valid and nothing left to do.
func TestWhateverHappensTheClusterIsWholeInTheEnd(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			defer w.end()
			must(t, w.startEngine("e1"))
			must(t, w.startEngine("e2"))
			for range rapid.IntRange(1, 40).Draw(rt, "events") {
				w.event(t, rt)
			}
			for _, e := range w.engines {
				e.outage.set(false)
			}
			time.Sleep(3 * time.Minute) // leases, machines and doubts run out
			synctest.Wait()
			c, err := w.cluster()
			must(t, err)
			if faults := schedule.Check(c); len(faults) > 0 {
				rt.Fatalf("placements that may not be: %v\n%s", faults, w.takeLog())
			}
			p, err := schedule.Compute(c, schedule.Options{})
			must(t, err)
			if len(p.Steps) > 0 {
				rt.Fatalf("left to do:\n%s\n%s", p, w.takeLog())
			}
		})
	})
}

// event is one thing that happens. What is refused does not.
func (w *world) event(t *testing.T, rt *rapid.T) {
	id := rapid.SampledFrom([]string{"m1", "m2", "m3", "m4"}).Draw(rt, "machine")
	name := fmt.Sprintf("u@%d.service", rapid.IntRange(1, 6).Draw(rt, "unit"))
	m := w.machines[id]
	switch rapid.IntRange(0, 11).Draw(rt, "event") {
	case 0:
		if m == nil {
			cpu := rapid.SampledFrom([]string{"cpu=1", "cpu=2", "disk=ssd"}).Draw(rt, "kind")
			must(t, w.join(id, []string{cpu}))
		}
	case 1:
		if m != nil {
			m.die()
			must(t, m.presence.Leave(w.ctx))
			delete(w.machines, id)
		}
	case 2:
		if m != nil {
			m.muted.Store(!m.muted.Load())
		}
	case 3:
		state := rapid.SampledFrom([]schedule.MachineState{schedule.Open, schedule.Open, schedule.Cordoned, schedule.Draining})
		must(t, w.reg.SetMachineState(w.ctx, id, state.Draw(rt, "state")))
	case 4, 5, 6, 7:
		options := rapid.SampledFrom([]string{
			"", "CPU=500m", "CPU=1", "Pin=first", "Ports=80", "Ports=dynamic:1", "MaxPerMachine=1", "Conflicts=u@1.service",
			"Require=disk=ssd", "Movable=no", "MachineOf=u@1.service", "Global=yes", "Priority=5",
		})
		f, err := unit.Parse([]byte("[X-Fleet]\n" + options.Draw(rt, "options") + "\n"))
		must(t, err)
		_ = w.reg.CreateUnit(w.ctx, name, f, registry.Launched) // it may be there
	case 8:
		_ = w.reg.DestroyUnit(w.ctx, name) // it may not
	case 9:
		state := rapid.SampledFrom([]registry.State{registry.Inactive, registry.Launched})
		_ = w.reg.SetTarget(w.ctx, name, state.Draw(rt, "target"))
	case 10:
		engine := rapid.SampledFrom([]string{"e1", "e2"}).Draw(rt, "engine")
		w.engines[engine].outage.set(rapid.Bool().Draw(rt, "outage"))
	case 11:
		_ = w.reg.OrderRebalance(w.ctx, schedule.Rebalance{Budget: 2}) // there may be one
	}
	time.Sleep(rapid.SampledFrom([]time.Duration{0, time.Second, 15 * time.Second, 40 * time.Second}).Draw(rt, "pause"))
}
