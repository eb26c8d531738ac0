package member_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/member"
	"github.com/strakeproject/strake/raftstore"
)

// BenchmarkSet writes 256-byte values through the leader of one or three
// members, from one caller or many. It reports the processor time of the whole
// process, callers included, for each write.
func BenchmarkSet(b *testing.B) {
	for _, n := range []int{1, 3} {
		for _, callers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("members=%d/callers=%d", n, callers), func(b *testing.B) {
				m := benchMembers(b, n)
				value := strings.Repeat("v", 256)
				var next atomic.Int64
				b.ReportAllocs()
				b.ResetTimer()
				before := processorTime(b)
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							benchSet(b, m, int(i), value)
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// processorTime returns what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchSet(b *testing.B, m *member.Member, i int, value string) {
	if _, err := m.Set(context.Background(), fmt.Sprintf("/bench/%d", i%10_000), value, kv.SetOptions{}); err != nil {
		b.Error(err)
	}
}

// benchMembers opens a cluster with the default timing and returns its leader.
func benchMembers(b *testing.B, n int) *member.Member {
	var initial []raftstore.InitialMember
	var ls []net.Listener
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		ls = append(ls, l)
		initial = append(initial, raftstore.InitialMember{Name: fmt.Sprintf("m%d", i), URLs: []string{"http://" + l.Addr().String()}})
	}
	var all []*member.Member
	for i := range n {
		m, err := member.Open(b.Context(), member.Config{
			Name: initial[i].Name, DataDir: b.TempDir(), PeerListeners: ls[i : i+1],
			AdvertisePeerURLs: initial[i].URLs, InitialCluster: initial,
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { m.Stop(context.Background()) })
		all = append(all, m)
	}
	if err := all[0].CheckHealth(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, m := range all {
		if m.ID() == all[0].Leader() {
			return m
		}
	}
	b.Fatal("no leader")
	return nil
}
