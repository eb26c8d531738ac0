package tree_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/strakeproject/strake/kv/tree"
)

// A crasher is a file system in memory that keeps what a crash would leave at
// random moments.
type crasher struct {
	vfs.FS
	mem *vfs.MemFS

	mu      sync.Mutex
	r       *rand.Rand
	dir     string // the tree's, by the runtime's books
	durable uint64 // what the tree has said to be durable
	crashes []crash
}

type crash struct {
	fs      *vfs.MemFS
	dir     string
	durable uint64
}

func newCrasher(seed uint64, dir string) *crasher {
	c := &crasher{mem: vfs.NewCrashableMem(), r: rand.New(rand.NewPCG(seed, 2)), dir: dir}
	c.FS = errorfs.Wrap(c.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			c.mayCrash()
		}
		return nil
	}))
	return c
}

func (c *crasher) mayCrash() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.crashes) < 12 && c.r.IntN(60) == 0 {
		fs := c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.r.IntN(101), RNG: c.r})
		c.crashes = append(c.crashes, crash{fs, c.dir, c.durable})
	}
}

// note records what the tree says, and where it is.
func (c *crasher) note(dir string, durable uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dir, c.durable = dir, max(c.durable, durable)
}

// receive copies a checkpoint to another file system, as a transport would.
func receive(t *testing.T, from vfs.FS, to vfs.FS, src, dst string) {
	t.Helper()
	if _, err := vfs.Clone(from, to, src, dst, vfs.CloneSync); err != nil {
		t.Fatal(err)
	}
	root, err := to.OpenDir("")
	if err == nil {
		err = errors.Join(root.Sync(), root.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

var small = tree.Config{}.WithLimits(little).WithFewNodes(2).WithMemTable(64 << 10)

// TestACrashAtAnyMomentLeavesAPrefix flushes, copies and replaces the state
// while commands are applied, and looks at what crashes in the midst of that
// leave.
func TestACrashAtAnyMomentLeavesAPrefix(t *testing.T) {
	apart := 0
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 3))
		batches := randomBatches(seed, 250, 12)
		digests := map[uint64]string{}
		sourceFS := vfs.NewMem()
		source, _ := open(t, small.WithFS(sourceFS), "source")
		c := newCrasher(seed, "state")
		tr, _ := open(t, small.WithFS(c), "state")
		dir := "state"
		for next := 0; next < len(batches); {
			b := batches[next]
			next++
			apply(t, source, b)
			digests[b.pos.Index] = digest(t, source)
			apply(t, tr, b)
			if got := digest(t, tr); got != digests[b.pos.Index] {
				t.Fatalf("seed %d: entry %d leads to %s and to %s", seed, b.pos.Index, digests[b.pos.Index], got)
			}
			switch r.IntN(12) {
			case 0:
				if err := tr.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := tr.Durable(); got < b.pos.Index {
					t.Fatalf("seed %d: after a flush at entry %d only %d is durable", seed, b.pos.Index, got)
				}
			case 1:
				if pos, err := tr.Checkpoint(t.Context(), fmt.Sprintf("out-%d", next)); err != nil || pos.Index < b.pos.Index {
					t.Fatalf("seed %d: checkpoint at entry %d: %+v, %v", seed, b.pos.Index, pos, err)
				}
			case 2:
				for range 1 + r.IntN(20) {
					if next < len(batches) {
						apply(t, source, batches[next])
						digests[batches[next].pos.Index] = digest(t, source)
						next++
					}
				}
				out := fmt.Sprintf("out-%d", next)
				want, err := source.Checkpoint(t.Context(), out)
				if err != nil {
					t.Fatal(err)
				}
				dir = fmt.Sprintf("state-%d", next)
				receive(t, sourceFS, c, out, dir)
				c.note(dir, 0)
				pos, err := tr.Install(t.Context(), dir)
				if err != nil || !reflect.DeepEqual(pos, want) {
					t.Fatalf("seed %d: installed %+v, %v, want %+v", seed, pos, err, want)
				}
				if got := tr.Durable(); got != pos.Index {
					t.Fatalf("seed %d: after the installation of %d the durable index is %d", seed, pos.Index, got)
				}
			}
			c.note(dir, tr.Durable())
		}
		tr.Close()
		source.Close()
		if len(c.crashes) == 0 {
			t.Errorf("seed %d: no crash", seed)
		}
		for i, cr := range c.crashes {
			apart += countApart(t, cr)
			got, pos := open(t, small.WithFS(cr.fs), cr.dir)
			if pos.Index < cr.durable {
				t.Errorf("seed %d, crash %d: the tree is at %d, and said that %d was durable", seed, i, pos.Index, cr.durable)
			}
			if d := digest(t, got); pos.Index > 0 && d != digests[pos.Index] {
				t.Errorf("seed %d, crash %d: the tree at entry %d is %s, not %s", seed, i, pos.Index, d, digests[pos.Index])
			}
			got.Close()
		}
	}
	if apart == 0 {
		t.Error("no crash left events that are kept apart from their keys")
	}
}

// countApart counts the files of what is kept apart.
func countApart(t *testing.T, cr crash) int {
	t.Helper()
	names, err := cr.fs.List(cr.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		if strings.HasSuffix(name, ".blob") {
			n++
		}
	}
	return n
}
