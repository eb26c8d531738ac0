package tree_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/raftstore"
)

// processorTime returns what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkApply sets 256-byte values of existing keys, so many in a batch.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			tr := tree.New(tree.Config{})
			if _, err := tr.Open(b.Context(), b.TempDir()); err != nil {
				b.Fatal(err)
			}
			defer tr.Close()
			const keys = 10_000
			cmds := make([][]byte, keys)
			for i := range cmds {
				c := tree.Command{Op: tree.OpSet, Key: fmt.Sprintf("/dir%d/key%d", i%100, i), Value: strings.Repeat("v", 256)}
				cmds[i] = c.Encode()
			}
			pos := raftstore.Position{Term: 1}
			next := 0
			apply := func(n int) {
				pos.Index++
				batch := make([]raftstore.Command, n)
				for i := range batch {
					batch[i] = raftstore.Command{Index: pos.Index, Seq: i, Stamp: int64(next), Data: cmds[next%keys]}
					next++
				}
				if _, err := tr.Apply(batch, pos); err != nil {
					b.Fatal(err)
				}
			}
			for range keys / 1000 {
				apply(1000)
			}
			b.ReportAllocs()
			b.ResetTimer()
			before := processorTime(b)
			for i := 0; i < b.N; i += size {
				apply(size)
			}
			b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkGet reads files.
func BenchmarkGet(b *testing.B) {
	l, err := tree.NewLocal()
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	const keys = 1000
	for i := range keys {
		if _, err := l.Set(b.Context(), fmt.Sprintf("/dir/key%d", i), "value", kv.SetOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := l.Get(b.Context(), fmt.Sprintf("/dir/key%d", i%keys), kv.GetOptions{}); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
