package raftstore_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

// cpuTime is what this process has used of all cores.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// report adds what go test does not measure: operations per second, CPU per
// operation of all members together, and the median latency.
func report(b *testing.B, cpu time.Duration, latencies []time.Duration) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-us/op")
	slices.Sort(latencies)
	if n := len(latencies); n > 0 {
		b.ReportMetric(float64(latencies[n/2].Microseconds()), "p50-us")
		b.ReportMetric(float64(latencies[n*99/100].Microseconds()), "p99-us")
	}
}

func BenchmarkPropose(b *testing.B) {
	for _, members := range []int{1, 3} {
		for _, proposers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("members=%d/proposers=%d", members, proposers), func(b *testing.B) {
				names := []string{"a", "b", "c"}[:members]
				c := newCluster(b, names...)
				for _, name := range names {
					c.start(name, &tally{})
				}
				node := c.nodes[c.leader(names...)]
				cmd := make([]byte, 256)
				latencies := make([][]time.Duration, proposers)
				var left atomic.Int64
				left.Store(int64(b.N))
				cpu := cpuTime(b)
				b.ResetTimer()
				var wg sync.WaitGroup
				for p := range proposers {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							start := time.Now()
							if _, err := node.Propose(context.Background(), cmd); err != nil {
								b.Error(err)
								return
							}
							latencies[p] = append(latencies[p], time.Since(start))
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				report(b, cpu, slices.Concat(latencies...))
			})
		}
	}
}

func BenchmarkReadBarrier(b *testing.B) {
	c := newCluster(b, "a", "b", "c").startAll()
	node := c.nodes[c.leader("a", "b", "c")]
	b.SetParallelism(128)
	cpu := cpuTime(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := node.ReadBarrier(context.Background()); err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	report(b, cpu, nil)
}

// tally is a state machine that costs next to nothing.
type tally struct {
	journal
	n int
}

func (t *tally) Apply(cmds []raftstore.Command, _ raftstore.Position) ([][]byte, error) {
	t.n += len(cmds)
	return make([][]byte, len(cmds)), nil
}
