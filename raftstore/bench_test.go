package raftstore_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

func BenchmarkPropose(b *testing.B) {
	for _, members := range []int{1, 3} {
		for _, proposers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("members=%d/proposers=%d", members, proposers), func(b *testing.B) {
				names := []string{"a", "b", "c"}[:members]
				c := newCluster(b, names...)
				for _, name := range names {
					c.start(name, &journal{})
				}
				node := c.nodes[c.leader(names...)]
				cmd := make([]byte, 256)
				var left atomic.Int64
				left.Store(int64(b.N))
				b.ResetTimer()
				var wg sync.WaitGroup
				for range proposers {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							if _, err := node.Propose(context.Background(), cmd); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
			})
		}
	}
}

func BenchmarkReadBarrier(b *testing.B) {
	c := newCluster(b, "a", "b", "c").startAll()
	node := c.nodes[c.leader("a", "b", "c")]
	b.SetParallelism(128)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := node.ReadBarrier(context.Background()); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}
