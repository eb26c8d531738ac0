package tree_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
)

// A failing is a file system in memory on which one operation that changes
// something fails, alone or with all that come after it.
type failing struct {
	vfs.FS
	mem   *vfs.MemFS
	err   error
	after int  // how many operations go well
	stays bool // whether later ones fail as well

	mu  sync.Mutex
	n   int
	hit []errorfs.Op
}

func newFailing(err error, after int, stays bool) *failing {
	f := &failing{mem: vfs.NewCrashableMem(), err: err, after: after, stays: stays}
	f.FS = errorfs.Wrap(f.mem, errorfs.InjectorFunc(f.inject))
	return f
}

func (f *failing) inject(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpLock {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if f.n <= f.after || f.n > f.after+1 && !f.stays {
		return nil
	}
	f.hit = append(f.hit, op)
	return f.err
}

// fails returns what failed. Unless that ends a tree whose state is in dir by now, it
// is not meant.
func (f *failing) fails(dir string) (hit []errorfs.Op, meant bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, op := range f.hit {
		switch {
		case op.Kind == errorfs.OpRemove || op.Kind == errorfs.OpRemoveAll: // leaves too much, which does no harm
		case op.Kind == errorfs.OpLink: // a copy does
		case dir == "state-2" && strings.HasPrefix(op.Path, "state/"): // has been replaced
		default:
			meant = true
		}
	}
	return f.hit, meant
}

// A journal is what a tree on a failing disk has said.
type journal struct {
	digests map[uint64]string // of all states that there were
	dir     string            // the tree's
	applied uint64            // the last index
	durable uint64
	err     error // the first
}

// work has a tree do what it can, until it returns an error, and then looks
// whether it does so again.
func (j *journal) work(t *testing.T, f *failing, log *slog.Logger, batches []batch, copied vfs.FS) {
	cfg := small
	cfg.Logger = log
	tr := tree.New(cfg.WithFS(f))
	if _, j.err = tr.Open(t.Context(), j.dir); j.err != nil {
		tr.Close()
		return
	}
	for i, b := range batches {
		switch i % 10 {
		case 3:
			j.note(tr.Flush(t.Context()))
		case 6:
			_, err := tr.Checkpoint(t.Context(), fmt.Sprintf("out-%d", i))
			j.note(err)
		case 9:
			if i == installed {
				// It comes by the network, on which everything goes well.
				receive(t, copied, f.mem, "copy", "state-2")
				pos, err := tr.Install(t.Context(), "state-2")
				if j.note(err); err != nil {
					tr.Close() // as the runtime does
					return
				}
				j.dir, j.applied = "state-2", pos.Index
			}
		}
		if j.err == nil && b.pos.Index > j.applied {
			_, err := tr.Apply(b.cmds, b.pos)
			if j.note(err); err == nil {
				j.applied = b.pos.Index
			}
		}
		j.durable = max(j.durable, tr.Durable())
		if j.err != nil {
			break
		}
	}
	if j.err == nil {
		j.note(tr.Flush(t.Context()))
	}
	if j.err != nil {
		j.refuses(t, tr, batches[len(batches)-1])
	}
	if err := tr.Close(); err == nil && j.err == nil {
		j.durable = max(j.durable, j.applied)
	} else {
		j.note(err)
	}
}

func (j *journal) note(err error) {
	if j.err == nil {
		j.err = err
	}
}

// refuses looks whether a tree that has failed knows.
func (j *journal) refuses(t *testing.T, tr *tree.Tree, b batch) {
	t.Helper()
	_, applied := tr.Apply(b.cmds, b.pos)
	_, copied := tr.Checkpoint(t.Context(), "out")
	for what, err := range map[string]error{"apply": applied, "checkpoint": copied, "flush": tr.Flush(t.Context())} {
		if err == nil {
			t.Errorf("after %v %s succeeds", j.err, what)
		}
	}
	if got := tr.Durable(); got > j.durable {
		t.Errorf("after %v, %d became durable after %d", j.err, got, j.durable)
	}
	if _, err := tr.Get("/", kv.GetOptions{Recursive: true}); err != nil {
		t.Errorf("after %v a read fails: %v", j.err, err)
	}
}

// installed is before which batch the state is replaced.
const installed = 59

func TestAFailingDiskEndsTheTreeAndNotTheProcess(t *testing.T) {
	batches := randomBatches(11, 90, 6)
	digests := map[uint64]string{}
	copied := vfs.NewMem()
	source, _ := open(t, small.WithFS(copied), "source")
	for i, b := range batches {
		apply(t, source, b)
		digests[b.pos.Index] = digest(t, source)
		if i == installed+5 {
			if _, err := source.Checkpoint(t.Context(), "copy"); err != nil {
				t.Fatal(err)
			}
		}
	}
	source.Close()
	kinds := map[errorfs.OpKind]int{}
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO} {
		for _, stays := range []bool{true, false} {
			for after := 0; ; after += 1 + after/12 {
				f := newFailing(errno, after, stays)
				var log bytes.Buffer
				j := &journal{digests: digests, dir: "state"}
				j.work(t, f, slog.New(slog.NewTextHandler(&log, nil)), batches, copied)
				hit, meant := f.fails(j.dir)
				if len(hit) == 0 {
					break
				}
				kinds[hit[0].Kind]++
				what := fmt.Sprintf("%v at operation %d, on %s, staying %v", errno, after, hit[0].Path, stays)
				j.check(t, what, f, meant, log.String())
			}
		}
	}
	for _, kind := range []errorfs.OpKind{
		errorfs.OpCreate, errorfs.OpMkdirAll, errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpLink, errorfs.OpRemove,
	} {
		if kinds[kind] == 0 {
			t.Errorf("no operation of kind %d failed: %v", kind, kinds)
		}
	}
}

// check looks at what a tree said, and at what a loss of power leaves of it.
func (j *journal) check(t *testing.T, what string, f *failing, meant bool, log string) {
	t.Helper()
	switch {
	case (j.err != nil) != meant:
		t.Errorf("%s: the tree ends with %v", what, j.err)
	case j.err != nil && !errors.Is(j.err, f.err):
		t.Errorf("%s: the tree ends with %v", what, j.err)
	case j.err != nil && (!strings.Contains(j.err.Error(), f.err.Error()) || strings.Contains(j.err.Error(), "\n")):
		t.Errorf("%s: the tree ends with %q", what, j.err)
	}
	// Each of the two states may say so once.
	if n := strings.Count(log, "level=ERROR"); n > 2 || strings.Contains(log, ".go:") {
		t.Errorf("%s: the log says\n%s", what, log)
	}
	for _, kept := range []int{0, 50, 100} {
		left := f.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rand.New(rand.NewPCG(1, 2))})
		tr := tree.New(small.WithFS(left))
		pos, err := tr.Open(t.Context(), j.dir)
		if err != nil {
			t.Errorf("%s: what is left, %d%% of the unsynced, does not open: %v", what, kept, err)
			continue
		}
		if pos.Index < j.durable || pos.Index > 0 && digest(t, tr) != j.digests[pos.Index] {
			t.Errorf("%s: left is a state at %d that is not what it was, or not the durable one at %d", what, pos.Index, j.durable)
		}
		tr.Close()
	}
}
