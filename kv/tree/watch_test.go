package tree_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
)

// An observer is a watch of one key that goes on until all is over.
type observer struct {
	key       string
	recursive bool
	from      uint64 // of the watch, or where it began
	seen      []uint64
	err       error
}

func (o *observer) String() string {
	return fmt.Sprintf("watch of %s from %d, recursive %v", o.key, o.from, o.recursive)
}

// observe begins a watch and notes its events until the last one.
func observe(ctx context.Context, l *tree.Local, o *observer, wg *sync.WaitGroup) {
	w, err := l.Watch(ctx, o.key, kv.WatchOptions{Recursive: o.recursive, From: o.from})
	if err != nil {
		o.err = err
		return
	}
	if o.from == 0 {
		o.from = w.Index + 1
	}
	wg.Go(func() {
		for ev, err := range w.Events {
			if err != nil {
				o.err = err
				return
			}
			o.seen = append(o.seen, ev.Index)
			if ev.Node.Value == "end" && (!o.recursive || ev.Node.Key == o.key+"/9") {
				return
			}
		}
	})
}

// TestWatchesMissNothingAndRepeatNothing has writers and watches come and go at
// the same time. The ring is small, so that watches fall back on the changelog.
func TestWatchesMissNothingAndRepeatNothing(t *testing.T) {
	const writers, writes, watches = 4, 400, 60
	for seed := range uint64(5) {
		l, err := tree.OpenLocalTree("", tree.Config{InMemory: true}.WithLimits(
			tree.Limits{Events: 100_000, Bytes: 1 << 30, RingEvents: 8}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		truth := make([][]kv.Event, writers)
		var writing, watching sync.WaitGroup
		for i := range writers {
			writing.Go(func() { truth[i] = writeMuch(ctx, l, rand.New(rand.NewPCG(seed, uint64(i))), writes) })
		}
		rng := rand.New(rand.NewPCG(seed, writers))
		var all []*observer
		for range watches {
			o := &observer{key: fmt.Sprintf("/d%d", rng.IntN(3)), recursive: rng.IntN(2) == 0}
			if !o.recursive {
				o.key += fmt.Sprintf("/%d", rng.IntN(10))
			}
			if rng.IntN(2) == 0 { // in history, or in the future
				o.from = 1 + rng.Uint64N(l.Index()+20)
			}
			all = append(all, o)
			observe(ctx, l, o, &watching)
		}
		writing.Wait()
		// A watch from the future must not begin after the end.
		for l.Index() < writers*writes+100 {
			mustSet(t, l, "/other", "v")
		}
		var events []kv.Event
		for d := range 3 {
			for f := range 10 {
				events = append(events, mustSet(t, l, fmt.Sprintf("/d%d/%d", d, f), "end"))
			}
		}
		watching.Wait()
		cancel()
		events = append(slices.Concat(truth...), events...)
		slices.SortFunc(events, func(a, b kv.Event) int { return int(a.Index) - int(b.Index) })
		for _, o := range all {
			var want []uint64
			for _, ev := range events {
				if ev.Index >= o.from && (ev.Node.Key == o.key || o.recursive && kv.Below(ev.Node.Key, o.key)) {
					want = append(want, ev.Index)
				}
			}
			if o.err != nil || !slices.Equal(o.seen, want) {
				t.Errorf("seed %d, %v: %v\n got %v\nwant %v", seed, o, o.err, o.seen, want)
			}
		}
		l.Close()
	}
}

// writeMuch writes and removes files and returns what it did.
func writeMuch(ctx context.Context, l *tree.Local, rng *rand.Rand, writes int) (done []kv.Event) {
	for range writes {
		key := fmt.Sprintf("/d%d/%d", rng.IntN(3), rng.IntN(10))
		var ev kv.Event
		var err error
		if rng.IntN(3) == 0 {
			ev, err = l.Delete(ctx, key, kv.DeleteOptions{})
		} else {
			ev, err = l.Set(ctx, key, "v", kv.SetOptions{})
		}
		if err == nil {
			done = append(done, ev)
		}
	}
	return done
}

func mustSet(t *testing.T, l *tree.Local, key, value string) kv.Event {
	t.Helper()
	ev, err := l.Set(t.Context(), key, value, kv.SetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestHistoryGoesBackAsFarAsItsLimitsSay(t *testing.T) {
	for _, c := range []struct {
		name        string
		limits      tree.Limits
		least, most uint64 // how many of 1000 events, one a second with 1 KB each, are kept
	}{
		{"count", tree.Limits{Events: 100, Bytes: 1 << 30}, 100, 110},
		{"age", tree.Limits{Events: 10, Age: 300 * time.Second, Bytes: 1 << 30}, 300, 310},
		{"count beyond age", tree.Limits{Events: 200, Age: 100 * time.Second, Bytes: 1 << 30}, 200, 220},
		{"bytes", tree.Limits{Events: 900, Age: time.Hour, Bytes: 200 << 10}, 40, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, err := tree.OpenLocalTree("", tree.Config{InMemory: true}.WithLimits(c.limits))
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				for range 1000 {
					time.Sleep(time.Second)
					mustSet(t, l, "/k", strings.Repeat("v", 500)) // and as much of the value before
				}
				floor := oldest(t, l)
				if kept := 1000 - floor + 1; kept < c.least || kept > c.most {
					t.Errorf("%d events are kept, want %d to %d", kept, c.least, c.most)
				}
				w, err := l.Watch(t.Context(), "/k", kv.WatchOptions{From: floor})
				if err != nil {
					t.Fatal(err)
				}
				for ev, err := range w.Events {
					if err != nil || ev.Index != floor {
						t.Errorf("a watch from %d begins with event %d, %v", floor, ev.Index, err)
					}
					break
				}
			})
		})
	}
}

// oldest asks for history that has gone, and returns what the refusal says is
// the oldest there is.
func oldest(t *testing.T, l *tree.Local) (index uint64) {
	t.Helper()
	_, err := l.Watch(t.Context(), "/any", kv.WatchOptions{From: 1})
	e, ok := errors.AsType[*kv.Error](err)
	if !ok || e.Code != kv.CodeHistoryCleared || e.Index != l.Index() {
		t.Fatalf("a watch from 1 gives %v, want 401 at index %d", err, l.Index())
	}
	var asked uint64
	if n, err := fmt.Sscanf(e.Cause, "the requested history has been cleared [%d/%d]", &index, &asked); n != 2 || asked != 1 {
		t.Fatalf("cause is %q, %v", e.Cause, err)
	}
	if _, err := l.Watch(t.Context(), "/any", kv.WatchOptions{From: index - 1}); !errors.Is(err, kv.ErrHistoryCleared) {
		t.Errorf("a watch from %d, before the oldest, gives %v", index-1, err)
	}
	return index
}

func TestAnEventOrTheEndWakesAnyNumberOfWatches(t *testing.T) {
	for _, closes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l, err := tree.NewLocal()
			if err != nil {
				t.Fatal(err)
			}
			const watches = 2000
			got := make([]string, watches)
			var told sync.WaitGroup
			for i := range watches {
				w, err := l.Watch(t.Context(), "/k", kv.WatchOptions{})
				if err != nil {
					t.Fatal(err)
				}
				told.Go(func() {
					for ev, err := range w.Events {
						got[i] = fmt.Sprint(ev.Node.Value, errors.Is(err, tree.ErrClosed))
						return
					}
				})
			}
			synctest.Wait() // until all are parked
			want := "vfalse"
			if closes {
				want = "true"
				l.Close()
			} else {
				mustSet(t, l, "/k", "v")
			}
			told.Wait()
			for i, g := range got {
				if g != want {
					t.Fatalf("watch %d got %q, want %q", i, g, want)
				}
			}
			l.Close()
		})
	}
}
