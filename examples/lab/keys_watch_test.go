//go:build linux

package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/strakeproject/strake/kv"
)

// watcher is somebody who wants to know of every change from an index on.
type watcher struct {
	name string
	key  string

	mu   sync.Mutex
	seen []sighting // protected by mu
}

// sighting is an event and when it was seen.
type sighting struct {
	action    kv.Action
	key       string
	now, prev keyNode
	at        time.Time
}

// same reports whether two have seen the same.
func (s *sighting) same(o *sighting) bool {
	return s.action == o.action && s.key == o.key && s.now == o.now && s.prev == o.prev
}

func (s *sighting) String() string {
	return fmt.Sprintf("%s %s %.20q/%d (was %.20q/%d)", s.action, s.key, s.now.value, s.now.index, s.prev.value, s.prev.index)
}

func (w *watcher) saw(ev *kv.Event) {
	s := sighting{action: ev.Action, key: ev.Node.Key, now: nodeOf(&ev.Node), prev: nodeOf(ev.PrevNode), at: time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, s)
}

// latest returns the index of the last change seen.
func (w *watcher) latest() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) == 0 {
		return 0
	}
	return w.seen[len(w.seen)-1].now.index
}

// startWatchers starts watchers: at each member one with a stream and one of a
// single key, and as many that go to another member when theirs fails.
func (w *keyWorkload) startWatchers(from uint64) {
	ctx, cancel := context.WithCancel(w.c.t.Context())
	w.unwatch = func() {
		cancel()
		w.watching.Wait()
	}
	w.c.t.Cleanup(w.unwatch)
	start := func(name, key string, run func(wa *watcher)) {
		wa := &watcher{name: name, key: key}
		w.watchers = append(w.watchers, wa)
		w.watching.Go(func() { run(wa) })
	}
	for i, m := range w.members {
		start("stream at "+m.name, keysRoot, func(wa *watcher) { w.stream(ctx, m, wa, from) })
		start("watcher of the bell at "+m.name, bell, func(wa *watcher) { w.follow(ctx, w.c.store(m), wa, from) })
		all := slices.Concat(w.members[i:], w.members[:i])
		start("watcher that begins at "+m.name, keysRoot, func(wa *watcher) { w.follow(ctx, w.c.store(all...), wa, from) })
	}
}

// follow watches by way of a client, and goes on from where a watch that ended
// says.
func (w *keyWorkload) follow(ctx context.Context, s kv.Store, wa *watcher, from uint64) {
	for ctx.Err() == nil {
		watch, err := s.Watch(ctx, wa.key, kv.WatchOptions{Recursive: wa.key != bell, From: from})
		if err == nil {
			var ev kv.Event
			for ev, err = range watch.Events {
				if err != nil {
					break
				}
				wa.saw(&ev)
			}
			if ended, ok := errors.AsType[*kv.WatchError](err); ok {
				from = ended.Resume
			}
		}
		if errors.Is(err, kv.ErrHistoryCleared) {
			w.odd(fmt.Errorf("%s: %w", wa.name, err))
			return
		}
		time.Sleep(10 * pause)
	}
}

// odd notes what should not be.
func (w *load) odd(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.strange = append(w.strange, err)
}

// stream watches by streams of one member, one after the other when they end.
func (w *keyWorkload) stream(ctx context.Context, m *machine, wa *watcher, from uint64) {
	for ctx.Err() == nil {
		url := fmt.Sprintf("%s/v2/keys%s?wait=true&stream=true&recursive=true&waitIndex=%d", m.base, wa.key, max(from, wa.latest()+1))
		if err := w.readStream(ctx, url, wa); err != nil && ctx.Err() == nil {
			w.odd(fmt.Errorf("%s: %w", wa.name, err))
			return
		}
		time.Sleep(10 * pause)
	}
}

// readStream reads a stream until it ends, which it may at any point of a line.
func (w *keyWorkload) readStream(ctx context.Context, url string, wa *watcher) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := w.c.http.Do(req)
	if err != nil {
		return nil // the member is away
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode >= http.StatusInternalServerError:
		return nil // it is about to end
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	lines := json.NewDecoder(resp.Body)
	for {
		var ev struct {
			Action         kv.Action
			Node, PrevNode *kv.Node
		}
		if lines.Decode(&ev) != nil {
			return nil
		}
		wa.saw(&kv.Event{Action: ev.Action, Node: *ev.Node, PrevNode: ev.PrevNode})
	}
}

// awaitWatchers waits until all have seen the last change of their keys.
func (w *keyWorkload) awaitWatchers(last map[string]uint64) {
	w.c.t.Helper()
	w.c.until(func() error {
		for _, wa := range w.watchers {
			if until := last[wa.lastKey()]; wa.latest() < until {
				return fmt.Errorf("%s has seen index %d, and not %d", wa.name, wa.latest(), until)
			}
		}
		return nil
	})
	w.unwatch()
}

// lastKey is the key whose last change is the last for the watcher to see.
func (w *watcher) lastKey() string {
	if w.key == bell {
		return bell
	}
	return end
}

// judgeWatchers judges what watchers have seen: all of it in order, and each the
// same; all that was acknowledged; nothing that nobody asked for; and each change
// made from what the one before had left, down to the nodes that are there now.
func (w *keyWorkload) judgeWatchers(last map[string]uint64, nodes map[string]keyNode) {
	t := w.c.t
	t.Helper()
	var all []sighting
	for _, wa := range w.watchers {
		seen := wa.judgeOrder(t, last[wa.lastKey()])
		if wa.key != bell && all == nil {
			all = seen
		}
	}
	for _, wa := range w.watchers {
		want := all
		if wa.key == bell {
			want = slices.DeleteFunc(slices.Clone(all), func(s sighting) bool { return s.key != bell })
		}
		wa.judgeSame(t, want, last[wa.lastKey()])
	}
	t.Logf("%d changes seen by %d watchers", len(all), len(w.watchers))
	w.history = settle(t, w.history, all)
	judgeCauses(t, w.history, all)
	judgeChain(t, all, nodes)
	for _, wa := range w.watchers {
		w.mortals.judge(t, wa)
	}
}

// until returns what was seen up to an index.
func (w *watcher) until(index uint64) []sighting {
	i := slices.IndexFunc(w.seen, func(s sighting) bool { return s.now.index > index })
	if i < 0 {
		i = len(w.seen)
	}
	return w.seen[:i]
}

// failer is what judges report to.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

// judgeOrder judges that indexes go up, and returns what was seen up to the last
// one.
func (w *watcher) judgeOrder(t failer, last uint64) []sighting {
	t.Helper()
	seen := w.until(last)
	for i := 1; i < len(w.seen); i++ {
		if a, b := &w.seen[i-1], &w.seen[i]; b.now.index <= a.now.index {
			t.Errorf("%s has seen %s and after that %s", w.name, a, b)
		}
	}
	return seen
}

// judgeSame judges that a watcher has seen what there was to see.
func (w *watcher) judgeSame(t failer, want []sighting, last uint64) {
	t.Helper()
	got := w.until(last)
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("%s has not seen %s", w.name, &want[i])
		case i >= len(want):
			t.Errorf("%s has seen %s, and another one has not", w.name, &got[i])
		case !got[i].same(&want[i]):
			t.Errorf("%s has seen %s, and another one %s", w.name, &got[i], &want[i])
		default:
			continue
		}
		return // what follows says no more
	}
}

// judgeCauses judges that each change was asked for, and that none is missing of
// those that were acknowledged. History is settled.
func judgeCauses(t failer, history []porcupine.Operation, all []sighting) {
	t.Helper()
	done := make(map[uint64]keyOp)
	for _, h := range history {
		if out := h.Output.(keyOutcome); out.index > 0 {
			done[out.index] = h.Input.(keyOp)
		}
	}
	for i := range all {
		s := &all[i]
		if o, ok := done[s.now.index]; ok && !o.causes(s) {
			t.Errorf("seen is %s, where %s of %s was acknowledged", s, o.kind, o.key)
		}
		delete(done, s.now.index)
	}
	for _, index := range slices.Sorted(maps.Keys(done)) {
		t.Errorf("nobody has seen %s of %s at index %d, which was acknowledged", done[index].kind, done[index].key, index)
	}
}

// judgeChain judges that each change of a key was made from what the one before
// had left.
func judgeChain(t failer, all []sighting, nodes map[string]keyNode) {
	t.Helper()
	now := make(map[string]keyNode)
	for i := range all {
		s := &all[i]
		if mortal(s.key) {
			continue // whose refreshing nobody sees
		}
		if s.prev != now[s.key] {
			t.Errorf("seen is %s, and before it %.20q/%d", s, now[s.key].value, now[s.key].index)
		}
		now[s.key] = s.now
		if s.action == kv.ActionDelete || s.action == kv.ActionCompareAndDelete {
			delete(now, s.key)
		}
	}
	if !maps.Equal(now, nodes) {
		t.Errorf("watchers have seen it come to\n%.1000v\nand there is\n%.1000v", now, nodes)
	}
}

// judge judges that no key was seen to expire before its time, nor twice.
func (m *mortals) judge(t failer, wa *watcher) {
	t.Helper()
	dead := make(map[string]bool)
	for i := range wa.seen {
		s := &wa.seen[i]
		if s.action != kv.ActionExpire {
			continue
		}
		m.gone(t, s.key, s.at)
		if dead[s.key] {
			t.Errorf("%s has seen %s expire twice", wa.name, s.key)
		}
		dead[s.key] = true
	}
	if len(dead) == 0 && wa.key != bell {
		t.Errorf("%s has seen nothing expire", wa.name)
	}
}

// complaints are what judges find.
type complaints []string

func (c *complaints) Helper() {}

func (c *complaints) Errorf(format string, args ...any) {
	*c = append(*c, fmt.Sprintf(format, args...))
}

func TestTheJudgesOfWatchersSeeWhatIsWrong(t *testing.T) {
	change := func(action kv.Action, value string, index uint64, prev keyNode) sighting {
		return sighting{action: action, key: "/k", now: keyNode{true, value, index}, prev: prev}
	}
	a5, b7 := keyNode{true, "a", 5}, keyNode{true, "b", 7}
	first, second := change(kv.ActionSet, "a", 5, keyNode{}), change(kv.ActionSet, "b", 7, a5)
	removal := change(kv.ActionDelete, "", 9, b7)
	unknown := func(o keyOp) porcupine.Operation { return told(9, o, keyOutcome{kind: "unknown"}) }
	history := []porcupine.Operation{set(1, "a", 5, keyNode{}), set(3, "b", 7, a5), unknown(keyOp{kind: "delete"}), unknown(keyOp{kind: "set", value: "c"})}
	born := time.Now()
	for _, test := range []struct {
		name  string
		wants string // of the complaint; empty for none
		seen  []sighting
		nodes map[string]keyNode
	}{
		{"all of it", "", []sighting{first, second}, map[string]keyNode{"/k": b7}},
		{"and one that may have happened", "", []sighting{first, second, removal}, nil},
		{"a gap", "nobody has seen set of /k at index 5", []sighting{second}, map[string]keyNode{"/k": b7}},
		{"one twice", "and after that", []sighting{first, second, second}, map[string]keyNode{"/k": b7}},
		{"the wrong order", "and after that", []sighting{second, first}, map[string]keyNode{"/k": b7}},
		{"what took place twice", "nobody asked for", []sighting{first, second, change(kv.ActionSet, "a", 8, b7)}, map[string]keyNode{"/k": {true, "a", 8}}},
		{"what comes of something else", "and before it", []sighting{first, change(kv.ActionSet, "b", 7, keyNode{})}, map[string]keyNode{"/k": b7}},
		{"what is not there", "there is", []sighting{first, second}, map[string]keyNode{"/k": a5}},
		{"an early end", "before its time", []sighting{first, second, {action: kv.ActionExpire, key: keysRoot + "/ttl/1", now: keyNode{index: 8}, at: born}}, map[string]keyNode{"/k": b7}},
	} {
		var got complaints
		wa := &watcher{name: "somebody", key: bell, seen: test.seen}
		wa.judgeOrder(&got, math.MaxUint64)
		settled := settle(&got, history, test.seen)
		judgeCauses(&got, settled, test.seen)
		judgeChain(&got, test.seen, test.nodes)
		var m mortals
		m.live(keysRoot+"/ttl/1", born.Add(time.Millisecond))
		m.judge(&got, wa)
		if text := strings.Join(got, "\n"); (text == "") != (test.wants == "") || !strings.Contains(text, test.wants) {
			t.Errorf("%s: complaints are %q, want %q", test.name, text, test.wants)
		}
	}
}
