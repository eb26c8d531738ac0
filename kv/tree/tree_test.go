package tree_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/raftstore"
)

// A history is a list of batches to apply, the same for a given seed.
type batch struct {
	cmds []raftstore.Command
	pos  raftstore.Position
}

func randomBatches(seed uint64, n, most int) []batch {
	r := rand.New(rand.NewPCG(seed, 0))
	stamp := int64(1e18)
	batches := make([]batch, n)
	for i := range batches {
		b := batch{pos: raftstore.Position{Index: uint64(i + 1), Term: 1 + uint64(i/10), Membership: []byte{byte(i / 7)}}}
		for seq := range 1 + r.IntN(most) {
			stamp += int64(r.IntN(2000)-200) * int64(time.Millisecond) // steps back at times
			c := randomCommand(r, stamp)
			b.cmds = append(b.cmds, raftstore.Command{Index: b.pos.Index, Seq: seq, Stamp: stamp, Data: c.Encode()})
		}
		batches[i] = b
	}
	return batches
}

func randomCommand(r *rand.Rand, stamp int64) tree.Command {
	key := "/"
	for range 1 + r.IntN(3) {
		key = kv.Join(key, string(rune('a'+r.IntN(4))))
	}
	c := tree.Command{Key: key, Value: fmt.Sprint(r.IntN(3)), Recursive: r.IntN(2) == 0, Dir: r.IntN(3) == 0}
	switch r.IntN(8) {
	case 0:
		return tree.Command{Op: tree.OpExpire, Now: time.Unix(0, stamp), Max: 1 + r.IntN(3)}
	case 1:
		return tree.Command{Op: tree.OpPutMember, Member: tree.Member{ID: uint64(r.IntN(3)), Name: "m"}}
	case 2:
		c.Op = tree.OpDelete
	case 3:
		c.Op = tree.OpCreateInOrder
	case 4:
		c.Op, c.PrevValue = tree.OpCompareAndSwap, "1"
	default:
		c.Op = tree.OpSet
	}
	c.TTL = time.Duration(r.IntN(3)) * time.Second
	return c
}

func open(t *testing.T, cfg tree.Config, dir string) (*tree.Tree, raftstore.Position) {
	t.Helper()
	tr := tree.New(cfg)
	pos, err := tr.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return tr, pos
}

func apply(t *testing.T, tr *tree.Tree, b batch) [][]byte {
	t.Helper()
	res, err := tr.Apply(b.cmds, b.pos)
	if err != nil {
		t.Fatal(err)
	}
	if len(res) != len(b.cmds) {
		t.Fatalf("%d results for %d commands", len(res), len(b.cmds))
	}
	return res
}

func digest(t *testing.T, tr *tree.Tree) string {
	t.Helper()
	d, err := tr.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var little = tree.Limits{Events: 50, Bytes: 1 << 20}

func TestMembersAgreeWhateverTheBatching(t *testing.T) {
	batches := randomBatches(1, 400, 6)
	one, _ := open(t, tree.Config{InMemory: true}.WithLimits(little), "")
	other, _ := open(t, tree.Config{InMemory: true}.WithLimits(little), "")
	defer one.Close()
	defer other.Close()
	for i := 0; i < len(batches); i += 4 {
		var all batch
		var want [][]byte
		for _, b := range batches[i : i+4] {
			want = append(want, apply(t, one, b)...)
			all.cmds = append(all.cmds, b.cmds...)
			all.pos = b.pos
		}
		if got := apply(t, other, all); !reflect.DeepEqual(got, want) {
			t.Fatalf("results differ by batching at entry %d", all.pos.Index)
		}
	}
	if one.Index() != other.Index() {
		t.Errorf("index %d and %d", one.Index(), other.Index())
	}
	if a, b := digest(t, one), digest(t, other); a != b {
		t.Errorf("digest %s and %s", a, b)
	}
	for key := range 4 {
		key := "/" + string(rune('a'+key))
		a, aerr := one.Get(key, kv.GetOptions{Recursive: true})
		b, berr := other.Get(key, kv.GetOptions{Recursive: true})
		if !reflect.DeepEqual(a, b) || !reflect.DeepEqual(aerr, berr) {
			t.Errorf("%s: %+v, %v and %+v, %v", key, a, aerr, b, berr)
		}
	}
}

func TestAClosedTreeComesBackWhole(t *testing.T) {
	dir := t.TempDir()
	batches := randomBatches(2, 60, 5)
	tr, pos := open(t, tree.Config{}.WithLimits(little), dir)
	if !reflect.DeepEqual(pos, raftstore.Position{}) {
		t.Fatalf("a new tree is at %+v", pos)
	}
	for i, b := range batches {
		apply(t, tr, b)
		if i%20 != 19 {
			continue
		}
		want, index, floor := digest(t, tr), tr.Index(), tr.Floor()
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
		tr, pos = open(t, tree.Config{}.WithLimits(little), dir)
		if !reflect.DeepEqual(pos, b.pos) {
			t.Errorf("reopened at %+v, want %+v", pos, b.pos)
		}
		if got := digest(t, tr); got != want || tr.Index() != index || tr.Floor() != floor {
			t.Errorf("reopened with digest %s index %d floor %d, want %s %d %d", got, tr.Index(), tr.Floor(), want, index, floor)
		}
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
}

func TestACrashLeavesAPrefix(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		batches := randomBatches(seed, 80, 5)
		fs := vfs.NewCrashableMem()
		cfg := tree.Config{}.WithLimits(little)
		tr, _ := open(t, cfg.WithFS(fs), "state")
		digests := map[uint64]string{0: digest(t, tr)}
		durable := uint64(0)
		for next := 0; next < len(batches); {
			b := batches[next]
			apply(t, tr, b)
			next++
			d := digest(t, tr)
			if was, ok := digests[b.pos.Index]; ok && was != d {
				t.Fatalf("seed %d: applied again, entry %d leads to %s, not %s", seed, b.pos.Index, d, was)
			}
			digests[b.pos.Index] = d
			if r.IntN(10) == 0 {
				if err := tr.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				durable = b.pos.Index
			}
			if r.IntN(15) != 0 {
				continue
			}
			crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
			tr.Close()
			fs = crashed
			var pos raftstore.Position
			tr, pos = open(t, cfg.WithFS(fs), "state")
			if pos.Index < durable || pos.Index > b.pos.Index {
				t.Fatalf("seed %d: after a crash at entry %d with %d durable the tree is at %d", seed, b.pos.Index, durable, pos.Index)
			}
			if got, want := digest(t, tr), digests[pos.Index]; got != want && pos.Index > 0 {
				t.Fatalf("seed %d: after a crash the tree at entry %d is %s, not %s", seed, pos.Index, got, want)
			}
			next = int(pos.Index)
		}
		tr.Close()
	}
}

func TestNonsenseIsAResult(t *testing.T) {
	tr, _ := open(t, tree.Config{InMemory: true}, "")
	defer tr.Close()
	res := apply(t, tr, batch{
		cmds: []raftstore.Command{{Index: 1, Data: []byte("nonsense")}, {Index: 1, Seq: 1}},
		pos:  raftstore.Position{Index: 1},
	})
	for _, b := range res {
		if r, err := new(tree.Command).DecodeResult(b); err != nil || !errors.Is(r.Err, kv.ErrInternal) {
			t.Errorf("result %+v, %v, want an internal error", r, err)
		}
	}
	if tr.Index() != 0 {
		t.Errorf("nonsense took index %d", tr.Index())
	}
}

func TestMembersComeAndGoAndTakeAnIndex(t *testing.T) {
	tr, _ := open(t, tree.Config{InMemory: true}, "")
	defer tr.Close()
	want := []tree.Member{{ID: 1, Name: "a", ClientURLs: []string{"http://a"}}, {ID: 2, Name: "b"}}
	for i, c := range []tree.Command{
		{Op: tree.OpPutMember, Member: want[1]},
		{Op: tree.OpPutMember, Member: tree.Member{ID: 1, Name: "old"}},
		{Op: tree.OpPutMember, Member: want[0]},
		{Op: tree.OpPutMember, Member: tree.Member{ID: 3, Name: "c"}},
		{Op: tree.OpDropMember, Member: tree.Member{ID: 3}},
		{Op: tree.OpDropMember, Member: tree.Member{ID: 4}},
	} {
		pos := raftstore.Position{Index: uint64(i + 1)}
		apply(t, tr, batch{cmds: []raftstore.Command{{Index: pos.Index, Data: c.Encode()}}, pos: pos})
	}
	if got, err := tr.Members(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("members %+v, %v, want %+v", got, err, want)
	}
	if tr.Index() != 6 {
		t.Errorf("index %d, want 6", tr.Index())
	}
}

func TestALargeDirectoryGoesInOneStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocal(t)
		ctx := t.Context()
		for i := range 3000 {
			if _, err := l.Set(ctx, fmt.Sprintf("/d/%d/x", i), "v", kv.SetOptions{TTL: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Set(ctx, "/d0", "stays", kv.SetOptions{}); err != nil {
			t.Fatal(err)
		}
		ev, err := l.Delete(ctx, "/d", kv.DeleteOptions{Recursive: true})
		if err != nil || ev.Index != 3002 {
			t.Fatalf("delete: %+v, %v", ev, err)
		}
		if _, err := l.Set(ctx, "/d/7/x", "new", kv.SetOptions{}); err != nil {
			t.Fatal(err)
		}
		root, err := l.Get(ctx, "/", kv.GetOptions{Recursive: true})
		if err != nil || len(root.Node.Nodes) != 2 || len(root.Node.Nodes[0].Nodes) != 1 {
			t.Errorf("left: %+v, %v", root, err)
		}
		time.Sleep(2 * time.Hour) // the entries of what is gone come due
		if _, err := l.Get(ctx, "/d/7/x", kv.GetOptions{}); err != nil || l.Index() != 3003 {
			t.Errorf("index %d, %v, want 3003 and no error", l.Index(), err)
		}
	})
}

func TestAWatcherTooSlowForTheHistoryIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := tree.OpenLocalTree("", tree.Config{InMemory: true}.WithLimits(tree.Limits{Events: 100}))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ctx := t.Context()
		w, err := l.Watch(ctx, "/k", kv.WatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		write := func(n int) {
			for range n {
				time.Sleep(time.Microsecond)
				if _, err := l.Set(ctx, "/k", "v", kv.SetOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		write(1)
		seen := uint64(0)
		for ev, err := range w.Events {
			if err == nil {
				if seen++; ev.Index != seen {
					t.Fatalf("event %d comes after %d", ev.Index, seen-1)
				}
				if seen == 1 {
					write(1000)
				}
				continue
			}
			we, ok := errors.AsType[*kv.WatchError](err)
			if !ok || !errors.Is(err, kv.ErrHistoryCleared) || we.Resume != seen+1 {
				t.Errorf("after event %d the watch ends with %v", seen, err)
			}
			return
		}
		t.Error("the watch ended without an error")
	})
}

func TestTheEndOfTheContextOrOfTheStoreEndsAWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocal(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		for _, ctx := range []context.Context{ctx, t.Context()} {
			w, err := l.Watch(ctx, "/", kv.WatchOptions{Recursive: true})
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for _, err := range w.Events {
					ended <- err
				}
			}()
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled watch ends with %v", err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, tree.ErrClosed) {
			t.Errorf("the watch of a closed store ends with %v", err)
		}
		_, getErr := l.Get(t.Context(), "/", kv.GetOptions{})
		_, setErr := l.Set(t.Context(), "/a", "", kv.SetOptions{})
		_, watchErr := l.Watch(t.Context(), "/a", kv.WatchOptions{})
		for _, err := range []error{getErr, setErr, watchErr} {
			if !errors.Is(err, tree.ErrClosed) || !errors.Is(err, kv.ErrInternal) {
				t.Errorf("a closed store answers %v", err)
			}
		}
	})
}

func TestAStoreOnDiskComesBack(t *testing.T) {
	dir := t.TempDir()
	for i := range uint64(3) {
		l, err := tree.OpenLocal(tree.LocalConfig{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		ev, err := l.Set(t.Context(), "/k", fmt.Sprint(i), kv.SetOptions{})
		if err != nil || ev.Index != i+1 || (i > 0) != (ev.PrevNode != nil) {
			t.Errorf("open %d: %+v, %v", i, ev, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWaitDueSleepsUntilTheEarliestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, _ := open(t, tree.Config{InMemory: true}, "")
		start := time.Now()
		var mu sync.Mutex // there is one who applies
		index := uint64(0)
		do := func(c tree.Command) {
			mu.Lock()
			defer mu.Unlock()
			index++
			pos := raftstore.Position{Index: index}
			apply(t, tr, batch{cmds: []raftstore.Command{{Index: index, Stamp: time.Now().UnixNano(), Data: c.Encode()}}, pos: pos})
		}
		due := make(chan time.Time)
		go func() {
			defer close(due)
			for {
				now, err := tr.WaitDue(context.Background())
				if err != nil {
					if !errors.Is(err, tree.ErrClosed) {
						t.Error(err)
					}
					return
				}
				do(tree.Command{Op: tree.OpExpire, Now: now, Max: 10})
				due <- now
			}
		}()
		synctest.Wait()
		do(tree.Command{Op: tree.OpSet, Key: "/late", TTL: time.Hour})
		synctest.Wait()
		do(tree.Command{Op: tree.OpSet, Key: "/early", TTL: time.Second})
		synctest.Wait()
		do(tree.Command{Op: tree.OpSet, Key: "/early", TTL: 3 * time.Second})
		for _, want := range []time.Duration{3 * time.Second, time.Hour} {
			if got := (<-due).Sub(start); got != want {
				t.Errorf("due after %v, want %v", got, want)
			}
		}
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
		<-due
	})
}

func newLocal(t *testing.T) *tree.Local {
	t.Helper()
	l, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
