package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/strakeproject/strake/schedule"
)

func benchmarkPlan(b *testing.B, c schedule.Cluster) {
	b.ReportAllocs()
	start := time.Now()
	for b.Loop() {
		p, err := schedule.Compute(c, schedule.Options{})
		if err != nil || len(p.Steps) == 0 {
			b.Fatal(len(p.Steps), err)
		}
	}
	b.ReportMetric(float64(len(c.Units))*float64(b.N)/time.Since(start).Seconds(), "units/s")
}

// 10,000 units without constraints on 1,000 empty machines.
func BenchmarkComputePlain(b *testing.B) {
	c := schedule.Cluster{}
	for i := range 1000 {
		c.Machines = append(c.Machines, schedule.Machine{ID: fmt.Sprintf("m%04d", i)})
	}
	for i := range 10000 {
		c.Units = append(c.Units, schedule.Unit{Name: fmt.Sprintf("u%05d.service", i), Active: true})
	}
	benchmarkPlan(b, c)
}

// As many units with everything on 1,000 empty machines.
func BenchmarkComputeConstrained(b *testing.B) {
	benchmarkPlan(b, newEstate(1800, 1801, 1000, 400).cluster())
}

// 100,000 such units on 10,000 machines.
func BenchmarkComputeLarge(b *testing.B) {
	benchmarkPlan(b, newEstate(1800, 1801, 10000, 4000).cluster())
}

// The same cluster, whole: what a plan costs that has nothing to do.
func BenchmarkComputeUnchanged(b *testing.B) {
	c := newEstate(1800, 1801, 1000, 400).cluster()
	p, err := schedule.Compute(c, schedule.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range p.Steps {
		c.Placed[s.Unit] = s.To
	}
	b.ReportAllocs()
	for b.Loop() {
		if p, err := schedule.Compute(c, schedule.Options{}); err != nil || len(p.Steps) > 0 {
			b.Fatal(len(p.Steps), err)
		}
	}
}

// A machine of 1,000 is lost and comes back: the plan after the loss, as a
// Scheduler that follows the cluster makes it.
func BenchmarkSchedulerMachineLost(b *testing.B) {
	e := newEstate(1800, 1801, 1000, 400)
	s := schedule.New(schedule.Options{})
	must(s.Reset(e.cluster()))
	s.Plan()
	b.ReportAllocs()
	moved, i := 0, 0
	for b.Loop() {
		m := e.machines[i%len(e.machines)]
		s.RemoveMachine(m.ID)
		moved += len(s.Plan().Steps)
		must(s.SetMachine(m))
		s.Plan()
		i++
	}
	b.ReportMetric(float64(moved)/float64(b.N), "units/op")
}

// A unit is started and stopped again in a cluster of 10,000.
func BenchmarkSchedulerUnitStarted(b *testing.B) {
	s := schedule.New(schedule.Options{})
	must(s.Reset(newEstate(1800, 1801, 1000, 400).cluster()))
	s.Plan()
	b.ReportAllocs()
	for b.Loop() {
		must(s.SetUnit(schedule.Unit{Name: "extra.service", Active: true}))
		s.Plan()
		must(s.SetUnit(schedule.Unit{Name: "extra.service"}))
		s.Plan()
	}
}

// 10,000 units that fit nowhere on 1,000 machines, each explained.
func BenchmarkComputeUnplaced(b *testing.B) {
	c := newEstate(1800, 1801, 1000, 400).cluster()
	for i := range c.Units {
		c.Units[i].Metadata = map[string][]string{"disk": {"tape"}}
	}
	b.ReportAllocs()
	for b.Loop() {
		if p, err := schedule.Compute(c, schedule.Options{}); err != nil || len(p.Unplaced) == 0 {
			b.Fatal(len(p.Steps), err)
		}
	}
}

// 100,000 units of known size on 10,000 machines, by strategy, size and shape.
func BenchmarkComputeRequests(b *testing.B) {
	for _, strategy := range []schedule.Strategy{schedule.Balance, schedule.LeastLoaded, schedule.Pack} {
		for _, classes := range []int{60, 500, 0} {
			for _, equal := range []bool{true, false} {
				c := schedule.Cluster{Machines: machinesOf(1601, 10000, equal), Units: unitsOf(1602, 100000, classes)}
				b.Run(fmt.Sprintf("strategy=%d/classes=%d/equal=%v", strategy, classes, equal), func(b *testing.B) {
					for b.Loop() {
						if p, err := schedule.Compute(c, schedule.Options{Strategy: strategy}); err != nil || p.Stats.Unplaced > 0 {
							b.Fatal(p.Stats, err)
						}
					}
				})
			}
		}
	}
}

// What the package promises of one plan, in time of the processor.
func BenchmarkComputeOnce(b *testing.B) {
	requests, all := large(0, true), everything()
	for _, row := range []struct {
		name string
		c    schedule.Cluster
		o    schedule.Options
	}{
		{"requests/Balance", requests, schedule.Options{}},
		{"requests/LeastLoaded", requests, schedule.Options{Strategy: schedule.LeastLoaded}},
		{"requests/Fast", requests, schedule.Options{Strategy: schedule.Pack, Effort: schedule.Fast}},
		{"requests/Pack", requests, schedule.Options{Strategy: schedule.Pack}},
		{"all/Balance", all, schedule.Options{}},
		{"all/LeastLoaded", all, schedule.Options{Strategy: schedule.LeastLoaded}},
		{"all/Pack", all, schedule.Options{Strategy: schedule.Pack}},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			var took time.Duration
			for b.Loop() {
				took += timed(func() {
					if _, err := schedule.Compute(row.c, row.o); err != nil {
						b.Fatal(err)
					}
				})
			}
			b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "cpu-ms/op")
		})
	}
}
