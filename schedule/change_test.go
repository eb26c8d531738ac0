package schedule_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strakeproject/strake/schedule"
)

// What happens to 10,000 machines with 102,850 units, event by event: being
// told of it and planning for it, by the clock and by what it takes of the
// processor.
func BenchmarkChange(b *testing.B) {
	for _, strategy := range []schedule.Strategy{schedule.Balance, schedule.LeastLoaded, schedule.Pack} {
		d := newDrama(newFullEstate(1900, 1901, 10000, 4000), 1902, schedule.Options{Strategy: strategy})
		d.world.apply(d.world.live.Plan())
		for _, kind := range []string{"lost", "back", "flipped", "new"} {
			b.Run(strategyName(strategy)+"/"+kind, func(b *testing.B) { benchmarkEvents(b, d, kind) })
		}
	}
}

// benchmarkEvents lets things happen and measures those of a kind.
func benchmarkEvents(b *testing.B, d *drama, kind string) {
	var wall, cpu []time.Duration
	for b.Loop() {
		for event := ""; !strings.HasPrefix(event, kind); {
			var p schedule.Plan
			var clock time.Duration
			used := timed(func() {
				start := time.Now()
				event = d.next()
				p = d.world.live.Plan()
				clock = time.Since(start)
			})
			b.StopTimer()
			d.world.apply(p)
			if strings.HasPrefix(event, kind) {
				wall, cpu = append(wall, clock), append(cpu, used)
			}
			b.StartTimer()
		}
	}
	for name, took := range map[string][]time.Duration{"wall": wall, "cpu": cpu} {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-"+name+"-ns")
		b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-"+name+"-ns")
	}
	b.ReportMetric(0, "ns/op") // of which other events are a part
}
