package tree_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/raftstore"
)

// usage returns what this process has used so far.
func usage(b *testing.B) (cpu, faults, written int64) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano(), u.Minflt, 512 * u.Oublock
}

// An applier sets keys of a tree to values of 256 bytes, half of which is noise.
type applier struct {
	tb   testing.TB
	tr   *tree.Tree
	keys int
	rng  *rand.Rand
	pos  raftstore.Position
	time int64
}

func (a *applier) set(key int) raftstore.Command {
	var noise [64]byte
	for i := range noise {
		noise[i] = byte(a.rng.Uint32())
	}
	c := tree.Command{
		Op: tree.OpSet, Key: fmt.Sprintf("/dir%d/key%d", key%100, key),
		Value: hex.EncodeToString(noise[:]) + strings.Repeat("v", 128),
	}
	a.time += 50_000
	return raftstore.Command{Stamp: a.time, Data: c.Encode()}
}

// fill makes all keys.
func (a *applier) fill() {
	var batch []raftstore.Command
	for key := range a.keys {
		if batch = append(batch, a.set(key)); len(batch) == 1000 || key == a.keys-1 {
			a.apply(batch)
			batch = batch[:0]
		}
	}
}

// apply applies the commands as one entry.
func (a *applier) apply(batch []raftstore.Command) {
	a.pos.Index++
	for i := range batch {
		batch[i].Index, batch[i].Seq = a.pos.Index, i
	}
	if _, err := a.tr.Apply(batch, a.pos); err != nil {
		a.tb.Fatal(err)
	}
}

// BenchmarkApply sets random keys among so many, so many in a batch. It counts
// what the storage engine does in the background too. To see it go through many
// memtables:
//
//	go test -run - -bench Apply/keys=10000/ -benchtime 500000x ./kv/tree
func BenchmarkApply(b *testing.B) {
	for _, keys := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			a := &applier{
				tb: b, tr: tree.New(tree.Config{}), keys: keys, rng: rand.New(rand.NewPCG(1, 2)),
				pos: raftstore.Position{Term: 1},
			}
			if _, err := a.tr.Open(b.Context(), b.TempDir()); err != nil {
				b.Fatal(err)
			}
			defer a.tr.Close()
			a.fill()
			for _, size := range []int{1, 10, 100} {
				b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) { benchmarkApply(b, a, size) })
			}
		})
	}
}

func benchmarkApply(b *testing.B, a *applier, size int) {
	cmds := make([]raftstore.Command, 20_000)
	for i := range cmds {
		cmds[i] = a.set(a.rng.IntN(a.keys))
	}
	if err := a.tr.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	cpu, faults, written := usage(b)
	for i := 0; i < b.N; i += size {
		at := i % len(cmds)
		batch := cmds[at : at+size]
		for i := range batch {
			a.time += 50_000
			batch[i].Stamp = a.time
		}
		a.apply(batch)
	}
	if err := a.tr.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	cpu2, faults2, written2 := usage(b)
	for unit, n := range map[string]int64{"cpu-ns/op": cpu2 - cpu, "faults/op": faults2 - faults, "disk-B/op": written2 - written} {
		b.ReportMetric(float64(n)/float64(b.N), unit)
	}
}

// BenchmarkGet reads files.
func BenchmarkGet(b *testing.B) {
	l, err := tree.NewLocal()
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("/dir/key%d", i)
		if _, err := l.Set(b.Context(), keys[i], "value", kv.SetOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := l.Get(b.Context(), keys[i%len(keys)], kv.GetOptions{}); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
