package member_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/member"
	"github.com/strakeproject/strake/raftstore"
)

// BenchmarkSet writes 256-byte values through the first of one or three
// members, from one caller or many.
func BenchmarkSet(b *testing.B) {
	for _, n := range []int{1, 3} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("members=%d/callers=%d", n, callers), func(b *testing.B) {
				m := benchMembers(b, n)
				value := strings.Repeat("v", 256)
				var next atomic.Uint64
				b.SetParallelism(callers)
				b.ResetTimer()
				if callers == 1 {
					for i := range b.N {
						benchSet(b, m, i, value)
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						benchSet(b, m, int(next.Add(1)), value)
					}
				})
			})
		}
	}
}

func benchSet(b *testing.B, m *member.Member, i int, value string) {
	if _, err := m.Set(context.Background(), fmt.Sprintf("/bench/%d", i%10_000), value, kv.SetOptions{}); err != nil {
		b.Error(err)
	}
}

// benchMembers opens a cluster with the default timing and returns a member.
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
	var first *member.Member
	for i := range n {
		m, err := member.Open(b.Context(), member.Config{
			Name: initial[i].Name, DataDir: b.TempDir(), PeerListeners: ls[i : i+1],
			AdvertisePeerURLs: initial[i].URLs, InitialCluster: initial,
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { m.Stop(context.Background()) })
		if first == nil {
			first = m
		}
	}
	if err := first.CheckHealth(b.Context()); err != nil {
		b.Fatal(err)
	}
	return first
}
