package tree_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/raftstore"
)

func TestACheckpointTakenUnderLoadIsAPrefix(t *testing.T) {
	fs := vfs.NewMem()
	tr, _ := open(t, small.WithFS(fs), "state")
	batches := randomBatches(5, 600, 10)
	type copied struct {
		dir string
		pos raftstore.Position
	}
	copies := make(chan copied, len(batches))
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; !done.Load(); i++ {
			dir := fmt.Sprintf("out-%d", i)
			pos, err := tr.Checkpoint(t.Context(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			copies <- copied{dir, pos}
		}
	})
	digests := make(map[uint64]string)
	for _, b := range batches {
		apply(t, tr, b)
		digests[b.pos.Index] = digest(t, tr)
	}
	done.Store(true)
	wg.Wait()
	close(copies)
	tr.Close()
	for c := range copies {
		got, pos := open(t, small.WithFS(fs), c.dir)
		if !reflect.DeepEqual(pos, c.pos) {
			t.Errorf("%s is at %+v, said to be at %+v", c.dir, pos, c.pos)
		}
		if d := digest(t, got); pos.Index > 0 && d != digests[pos.Index] {
			t.Errorf("%s at entry %d is %s, not %s", c.dir, pos.Index, d, digests[pos.Index])
		}
		got.Close()
	}
}

// watchAll watches many keys in many ways, and collects what they are told.
func watchAll(t *testing.T, tr *tree.Tree, from uint64) map[string]*[]string {
	t.Helper()
	seen := make(map[string]*[]string)
	keys := []string{"/", "/a", "/a/b", "/a/b/c", "/b/b", "/c", "/c/d", "/d/a/a", "/none"}
	for _, key := range keys {
		for _, recursive := range []bool{false, true} {
			w, err := tr.Watch(t.Context(), key, kv.WatchOptions{Recursive: recursive, From: from})
			if err != nil {
				t.Fatal(err)
			}
			got := new([]string)
			seen[fmt.Sprintf("%s recursive=%v from=%d", key, recursive, from)] = got
			go func() {
				for ev, err := range w.Events {
					if err == nil {
						*got = append(*got, fmt.Sprintf("%d %s %s", ev.Index, ev.Action, ev.Node.Key))
					} else if !errors.Is(err, tree.ErrClosed) {
						*got = append(*got, err.Error())
					}
				}
			}()
		}
	}
	return seen
}

func TestWatchesGoOnWithoutAGapAcrossAnInstallation(t *testing.T) {
	wide := tree.Config{}.WithLimits(tree.Limits{Events: 10_000, Bytes: 1 << 30, RingEvents: 20}).WithFewNodes(2)
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			batches := randomBatches(seed, 120, 4)
			fs := vfs.NewMem()
			all, _ := open(t, wide.WithFS(fs), "all")
			lags, _ := open(t, wide.WithFS(fs), "lags")
			want, got := map[string]*[]string{}, map[string]*[]string{}
			watch := func(from uint64) {
				for k, v := range watchAll(t, all, from) {
					want[k] = v
				}
				for k, v := range watchAll(t, lags, from) {
					got[k] = v
				}
			}
			watch(0)
			watch(1)
			watch(70)
			for i, b := range batches {
				apply(t, all, b)
				switch {
				case i < 40 || i >= 80:
					apply(t, lags, b)
				case i == 79:
					synctest.Wait()
					if _, err := all.Checkpoint(t.Context(), "copy"); err != nil {
						t.Fatal(err)
					}
					if _, err := lags.Install(t.Context(), "copy"); err != nil {
						t.Fatal(err)
					}
				}
				if i%7 == 0 {
					synctest.Wait()
				}
			}
			synctest.Wait()
			all.Close()
			lags.Close()
			synctest.Wait()
			for k := range want {
				if !reflect.DeepEqual(*got[k], *want[k]) {
					t.Errorf("seed %d: watch of %s: got\n%q, want\n%q", seed, k, *got[k], *want[k])
				}
			}
		})
	}
}

func TestWatchesThatMissHistoryEndAtAnInstallation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := tree.Config{}.WithLimits(tree.Limits{Events: 20})
		fs := vfs.NewMem()
		all, _ := open(t, cfg.WithFS(fs), "all")
		defer all.Close()
		lags, _ := open(t, cfg.WithFS(fs), "lags")
		defer lags.Close()
		ended := make(chan error, 2)
		for _, from := range []uint64{0, 300} {
			w, err := lags.Watch(t.Context(), "/a", kv.WatchOptions{From: from})
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for _, err := range w.Events {
					if err != nil {
						ended <- err
					}
				}
			}()
		}
		for i := range uint64(200) {
			set := tree.Command{Op: tree.OpSet, Key: "/b", Value: "v"}
			b := batch{pos: raftstore.Position{Index: i + 1}}
			b.cmds = []raftstore.Command{{Index: i + 1, Stamp: int64(i), Data: set.Encode()}}
			apply(t, all, b)
			if i < 10 {
				apply(t, lags, b)
			}
		}
		synctest.Wait()
		if _, err := all.Checkpoint(t.Context(), "copy"); err != nil {
			t.Fatal(err)
		}
		if _, err := lags.Install(t.Context(), "copy"); err != nil {
			t.Fatal(err)
		}
		resume := map[uint64]bool{}
		for range 2 {
			err := <-ended
			we, ok := errors.AsType[*kv.WatchError](err)
			if !ok || !errors.Is(err, kv.ErrHistoryCleared) {
				t.Fatalf("the watch ends with %v", err)
			}
			resume[we.Resume] = true
		}
		if !resume[11] || !resume[300] {
			t.Errorf("watches resume from %v, want 11 and 300", resume)
		}
		if _, err := lags.Watch(t.Context(), "/a", kv.WatchOptions{}); err != nil {
			t.Errorf("a new watch: %v", err)
		}
	})
}

func TestReadersNeverGoBackAcrossAnInstallation(t *testing.T) {
	fs := vfs.NewMem()
	cfg := tree.Config{}.WithFS(fs)
	all, _ := open(t, cfg, "all")
	defer all.Close()
	lags, _ := open(t, cfg, "lags")
	defer lags.Close()
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for last := uint64(0); !done.Load(); {
				ev, err := lags.Get("/k", kv.GetOptions{})
				switch {
				case errors.Is(err, kv.ErrKeyNotFound) && last == 0:
				case err != nil:
					t.Errorf("after index %d: %v", last, err)
					return
				case ev.Node.ModifiedIndex < last || ev.Index < last:
					t.Errorf("after index %d a read shows %+v", last, ev)
					return
				default:
					last = max(ev.Index, ev.Node.ModifiedIndex)
				}
			}
		})
	}
	index := uint64(0)
	for round := range 10 {
		for i := range 20 {
			index++
			set := tree.Command{Op: tree.OpSet, Key: "/k", Value: "v"}
			b := batch{pos: raftstore.Position{Index: index}}
			b.cmds = []raftstore.Command{{Index: index, Data: set.Encode()}}
			apply(t, all, b)
			if i < 10 {
				apply(t, lags, b)
			}
		}
		dir := fmt.Sprintf("copy-%d", round)
		if _, err := all.Checkpoint(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		if _, err := lags.Install(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	done.Store(true)
	wg.Wait()
}

func TestAnInstalledExpiryIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		cfg := tree.Config{}.WithFS(fs)
		all, _ := open(t, cfg, "all")
		defer all.Close()
		lags, _ := open(t, cfg, "lags")
		defer lags.Close()
		start := time.Now()
		due := make(chan time.Duration, 1)
		go func() {
			now, err := lags.WaitDue(context.Background())
			if err != nil {
				t.Error(err)
			}
			due <- now.Sub(start)
		}()
		synctest.Wait()
		set := tree.Command{Op: tree.OpSet, Key: "/k", TTL: 5 * time.Second}
		apply(t, all, batch{pos: raftstore.Position{Index: 1}, cmds: []raftstore.Command{{Index: 1, Stamp: start.UnixNano(), Data: set.Encode()}}})
		if _, err := all.Checkpoint(t.Context(), "copy"); err != nil {
			t.Fatal(err)
		}
		if _, err := lags.Install(t.Context(), "copy"); err != nil {
			t.Fatal(err)
		}
		if got := <-due; got != 5*time.Second {
			t.Errorf("due after %v, want 5s", got)
		}
	})
}

func TestAFailedInstallationKeepsTheState(t *testing.T) {
	fs := vfs.NewMem()
	cfg := tree.Config{}.WithFS(fs)
	old, _ := open(t, cfg, "old")
	defer old.Close()
	if _, err := old.Checkpoint(t.Context(), "copy"); err != nil {
		t.Fatal(err)
	}
	set := tree.Command{Op: tree.OpSet, Key: "/k", Value: "v"}
	apply(t, old, batch{pos: raftstore.Position{Index: 1}, cmds: []raftstore.Command{{Index: 1, Data: set.Encode()}}})
	if _, err := old.Install(t.Context(), "copy"); err == nil {
		t.Error("a checkpoint from before was installed")
	}
	if ev, err := old.Get("/k", kv.GetOptions{}); err != nil || ev.Node.Value != "v" {
		t.Errorf("after a failed installation: %+v, %v", ev, err)
	}
}

func TestAStateInMemoryIsNeverDurable(t *testing.T) {
	tr, _ := open(t, tree.Config{InMemory: true}, "")
	defer tr.Close()
	apply(t, tr, batch{pos: raftstore.Position{Index: 7}})
	if err := tr.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := tr.Durable(); got != 0 {
		t.Errorf("durable index %d, want 0", got)
	}
	if _, err := tr.Checkpoint(t.Context(), t.TempDir()+"/copy"); err == nil {
		t.Error("a checkpoint of a state in memory was made")
	}
}
