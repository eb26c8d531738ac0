package schedule_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/strakeproject/strake/schedule"
)

// One large unit of high priority for each of so many machines that are full.
func BenchmarkPreempt(b *testing.B) {
	for _, machines := range []int{100, 500} {
		full := filledByPriority(machines)
		b.Run(fmt.Sprintf("machines=%d", machines), func(b *testing.B) {
			b.ReportAllocs()
			var took time.Duration
			for b.Loop() {
				b.StopTimer()
				s := full.Clone()
				runtime.GC()
				b.StartTimer()
				var p schedule.Plan
				took += timed(func() { p = s.Plan() })
				if p.Stats.New != machines {
					b.Fatalf("got %d units placed, want %d", p.Stats.New, machines)
				}
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N)/float64(machines), "cpu-ns/unit")
		})
	}
}
