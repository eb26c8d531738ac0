package tree_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
)

// A model is the key space at its plainest: a map of all nodes and a list of
// all events.
type model struct {
	nodes  map[string]kv.Node
	index  uint64
	events []kv.Event
	quiet  map[uint64]bool   // refreshes
	gone   map[uint64]keySet // what each removal of a directory took along
}

type keySet map[string]bool

func newModel() *model {
	return &model{nodes: map[string]kv.Node{}, quiet: map[uint64]bool{}, gone: map[uint64]keySet{}}
}

func (m *model) fail(code kv.Code, cause string) (kv.Event, error) {
	return kv.Event{}, &kv.Error{Code: code, Cause: cause, Index: m.index}
}

func (m *model) missing(key string) (kv.Event, error) {
	path := ""
	for _, seg := range strings.Split(key[1:], "/") {
		path += "/" + seg
		n, ok := m.nodes[path]
		if !ok {
			return m.fail(kv.CodeKeyNotFound, path)
		}
		if !n.Dir && path != key {
			return m.fail(kv.CodeNotDir, path)
		}
	}
	panic("not missing: " + key)
}

func (m *model) emit(action kv.Action, node kv.Node, prev *kv.Node) (kv.Event, error) {
	m.index++
	node.ModifiedIndex = m.index
	ev := kv.Event{Action: action, Node: node, PrevNode: prev, Index: m.index}
	m.events = append(m.events, ev)
	return ev, nil
}

func (m *model) below(dir string) keySet {
	keys := keySet{}
	for k := range m.nodes {
		if k != dir && kv.Below(k, dir) {
			keys[k] = true
		}
	}
	return keys
}

func (m *model) put(c tree.Command, now time.Time) (kv.Event, error) {
	key := c.Key
	action := kv.ActionCreate
	if c.Op == tree.OpSet {
		action = kv.ActionSet
	}
	if c.Op == tree.OpCreateInOrder {
		key = kv.Join(key, fmt.Sprintf("%020d", m.index+1))
	}
	if key == "/" {
		return m.fail(kv.CodeRootReadOnly, "/")
	}
	old, exists := m.nodes[key]
	switch {
	case exists && action == kv.ActionCreate:
		return m.fail(kv.CodeKeyExists, key)
	case exists && old.Dir:
		return m.fail(kv.CodeNotFile, key)
	case !exists && c.Refresh:
		return m.missing(key)
	}
	for dir := kv.Parent(key); dir != "/"; dir = kv.Parent(dir) {
		if n, ok := m.nodes[dir]; ok && !n.Dir {
			return m.fail(kv.CodeNotDir, dir)
		}
	}
	next := m.index + 1
	for dir := kv.Parent(key); dir != "/"; dir = kv.Parent(dir) {
		if _, ok := m.nodes[dir]; !ok {
			m.nodes[dir] = kv.Node{Key: dir, Dir: true, CreatedIndex: next, ModifiedIndex: next}
		}
	}
	n := kv.Node{Key: key, Value: c.Value, Dir: c.Dir, CreatedIndex: next, ModifiedIndex: next, Expiration: until(now, c.TTL)}
	if c.Refresh {
		n.Value = old.Value
		m.quiet[next] = true
	}
	if n.Dir {
		n.Value = ""
	}
	var prev *kv.Node
	if exists {
		prev = &old
	}
	m.nodes[key] = n
	return m.emit(action, n, prev)
}

func until(now time.Time, ttl time.Duration) time.Time {
	if ttl == 0 {
		return time.Time{}
	}
	return now.Add(ttl).UTC()
}

func (m *model) modify(c tree.Command, now time.Time) (kv.Event, error) {
	swap := c.Op == tree.OpCompareAndSwap
	if c.Key == "/" {
		return m.fail(kv.CodeRootReadOnly, "/")
	}
	old, ok := m.nodes[c.Key]
	if !ok {
		return m.missing(c.Key)
	}
	if old.Dir && (swap || c.Value != "") {
		return m.fail(kv.CodeNotFile, c.Key)
	}
	if swap && !matches(c, old) {
		return m.mismatch(c, old)
	}
	n := old
	n.Expiration = until(now, c.TTL)
	if !n.Dir {
		n.ModifiedIndex = m.index + 1
	}
	if !n.Dir && !c.Refresh {
		n.Value = c.Value
	}
	m.nodes[c.Key] = n
	m.quiet[m.index+1] = c.Refresh
	if swap {
		return m.emit(kv.ActionCompareAndSwap, n, &old)
	}
	return m.emit(kv.ActionUpdate, n, &old)
}

func matches(c tree.Command, n kv.Node) bool {
	return (c.PrevValue == "" || c.PrevValue == n.Value) && (c.PrevIndex == 0 || c.PrevIndex == n.ModifiedIndex)
}

func (m *model) mismatch(c tree.Command, n kv.Node) (kv.Event, error) {
	var parts []string
	if c.PrevValue != "" && c.PrevValue != n.Value {
		parts = append(parts, fmt.Sprintf("[%s != %s]", c.PrevValue, n.Value))
	}
	if c.PrevIndex != 0 && c.PrevIndex != n.ModifiedIndex {
		parts = append(parts, fmt.Sprintf("[%d != %d]", c.PrevIndex, n.ModifiedIndex))
	}
	return m.fail(kv.CodeCompareFailed, strings.Join(parts, " "))
}

func (m *model) remove(c tree.Command) (kv.Event, error) {
	compare := c.Op == tree.OpCompareAndDelete
	if c.Key == "/" {
		if compare {
			return m.fail(kv.CodeNotFile, "")
		}
		return m.fail(kv.CodeRootReadOnly, "/")
	}
	old, ok := m.nodes[c.Key]
	switch {
	case !ok:
		return m.missing(c.Key)
	case compare && old.Dir, old.Dir && !c.Dir && !c.Recursive:
		return m.fail(kv.CodeNotFile, c.Key)
	case compare && !matches(c, old):
		return m.mismatch(c, old)
	case compare:
		return m.drop(kv.ActionCompareAndDelete, old)
	case old.Dir && !c.Recursive && len(m.below(c.Key)) > 0:
		return m.fail(kv.CodeDirNotEmpty, c.Key)
	}
	return m.drop(kv.ActionDelete, old)
}

func (m *model) drop(action kv.Action, old kv.Node) (kv.Event, error) {
	gone := m.below(old.Key)
	for k := range gone {
		delete(m.nodes, k)
	}
	delete(m.nodes, old.Key)
	m.gone[m.index+1] = gone
	return m.emit(action, kv.Node{Key: old.Key, Dir: old.Dir, CreatedIndex: old.CreatedIndex}, &old)
}

// expire removes what is due.
func (m *model) expire(now time.Time) {
	for {
		var first *kv.Node
		for _, n := range m.nodes {
			if n.Expiration.IsZero() || n.Expiration.After(now) {
				continue
			}
			if first == nil || n.Expiration.Before(first.Expiration) ||
				n.Expiration.Equal(first.Expiration) && n.Key < first.Key {
				first = &n
			}
		}
		if first == nil {
			return
		}
		_, _ = m.drop(kv.ActionExpire, *first)
	}
}

func (m *model) list(dir string, recursive bool) []kv.Node {
	var nodes []kv.Node
	for k, n := range m.nodes {
		if k == dir || kv.Parent(k) != dir || kv.Hidden(k) {
			continue
		}
		if n.Dir && recursive {
			n.Nodes = m.list(k, true)
		}
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b kv.Node) int { return strings.Compare(a.Key, b.Key) })
	return nodes
}

func (m *model) get(key string, recursive bool) (kv.Event, error) {
	n := kv.Node{Key: "/", Dir: true}
	if key != "/" {
		var ok bool
		if n, ok = m.nodes[key]; !ok {
			return m.missing(key)
		}
	}
	if n.Dir {
		n.Nodes = m.list(key, recursive)
	}
	return kv.Event{Action: kv.ActionGet, Node: n, Index: m.index}, nil
}

// expected returns what a watch that began at index live should have seen.
func (m *model) expected(w *watched) []kv.Event {
	var evs []kv.Event
	for _, ev := range m.events {
		if ev.Index < w.from || m.quiet[ev.Index] {
			continue
		}
		k, history := ev.Node.Key, ev.Index <= w.live
		removal := ev.Node.Dir && (ev.Action == kv.ActionDelete || ev.Action == kv.ActionExpire)
		switch {
		case k == w.key,
			w.recursive && kv.Below(k, w.key) && (history || !strings.Contains(strings.TrimPrefix(k, strings.TrimSuffix(w.key, "/")), "/_")),
			removal && history && strings.HasPrefix(w.key, k),
			removal && !history && m.gone[ev.Index][w.key]:
			evs = append(evs, ev)
		}
	}
	return evs
}

// A watched is a running watch and what it should know.
type watched struct {
	collector
	key        string
	recursive  bool
	from, live uint64
}

// TestTreeBehavesLikeTheModel runs random operations against a Local with a
// ring so small that watchers read the changelog most of the time.
func TestTreeBehavesLikeTheModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(hideDeadline{t}, func(rt *rapid.T) {
			cfg := tree.Config{InMemory: true}.WithLimits(tree.Limits{
				Events: 1 << 20, RingEvents: rapid.IntRange(1, 8).Draw(rt, "ring"),
			})
			l, err := tree.OpenLocalTree("", cfg)
			if err != nil {
				rt.Fatal(err)
			}
			r := &modelRun{rt: rt, store: l, model: newModel()}
			defer r.close()
			rt.Repeat(map[string]func(*rapid.T){
				"write": r.write, "write again": r.write, "get": r.get, "watch": r.watch, "sleep": r.sleep, "": r.checkWatches,
			})
		})
	})
}

// hideDeadline keeps rapid from asking for a deadline, which a test in a bubble
// has not.
type hideDeadline struct{ rapid.TB }

type modelRun struct {
	rt      *rapid.T
	store   *tree.Local
	model   *model
	watches []*watched
}

func (r *modelRun) close() {
	for _, w := range r.watches {
		w.cancel()
	}
	synctest.Wait()
	if n := r.store.Watchers(); n != 0 {
		r.rt.Errorf("%d watchers are left after their contexts ended", n)
	}
	if err := r.store.Close(); err != nil {
		r.rt.Error(err)
	}
}

var genKey = rapid.Custom(func(t *rapid.T) string {
	segs := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "a-", "_h"}), 0, 3).Draw(t, "segments")
	return "/" + strings.Join(segs, "/")
})

func (r *modelRun) write(rt *rapid.T) {
	c := tree.Command{
		Op:        rapid.SampledFrom([]tree.Op{tree.OpSet, tree.OpSet, tree.OpCreate, tree.OpCreateInOrder, tree.OpUpdate, tree.OpDelete, tree.OpCompareAndSwap, tree.OpCompareAndDelete}).Draw(rt, "op"),
		Key:       genKey.Draw(rt, "key"),
		Value:     rapid.SampledFrom([]string{"", "x", "y"}).Draw(rt, "value"),
		TTL:       time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 2, 5}).Draw(rt, "ttl")) * time.Second,
		Dir:       rapid.Bool().Draw(rt, "dir"),
		Recursive: rapid.Bool().Draw(rt, "recursive"),
		PrevValue: rapid.SampledFrom([]string{"", "x", "y"}).Draw(rt, "prevValue"),
		PrevIndex: rapid.Uint64Range(0, 6).Draw(rt, "prevIndex"),
	}
	switch c.Op {
	case tree.OpSet, tree.OpUpdate, tree.OpCompareAndSwap:
		c.Refresh = c.TTL != 0 && c.Value == "" && rapid.Bool().Draw(rt, "refresh")
	}
	now := time.Now()
	got, gotErr := r.store.Do(rt.Context(), c)
	want, wantErr := kv.Event{}, error(nil)
	switch {
	case c.Op == tree.OpSet, c.Op == tree.OpCreate, c.Op == tree.OpCreateInOrder:
		want, wantErr = r.model.put(c, now)
	case (c.Op == tree.OpCompareAndSwap || c.Op == tree.OpCompareAndDelete) && c.PrevValue == "" && c.PrevIndex == 0:
		wantErr = &kv.Error{Code: kv.CodePrevValueRequired, Cause: `"prevValue" cannot be empty`}
	case c.Op == tree.OpUpdate, c.Op == tree.OpCompareAndSwap:
		want, wantErr = r.model.modify(c, now)
	default:
		want, wantErr = r.model.remove(c)
	}
	compareAnswers(rt, fmt.Sprintf("%+v", c), got, gotErr, want, wantErr)
}

func (r *modelRun) get(rt *rapid.T) {
	key, recursive := genKey.Draw(rt, "key"), rapid.Bool().Draw(rt, "recursive")
	got, gotErr := r.store.Get(rt.Context(), key, kv.GetOptions{Recursive: recursive, Sorted: true})
	want, wantErr := r.model.get(key, recursive)
	compareAnswers(rt, fmt.Sprintf("get %s recursive=%v", key, recursive), got, gotErr, want, wantErr)
}

func compareAnswers(rt *rapid.T, what string, got kv.Event, gotErr error, want kv.Event, wantErr error) {
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(gotErr, wantErr) {
		rt.Fatalf("%s\n got %+v, %v\nwant %+v, %v", what, got, gotErr, want, wantErr)
	}
}

func (r *modelRun) watch(rt *rapid.T) {
	w := &watched{
		key: genKey.Draw(rt, "key"), recursive: rapid.Bool().Draw(rt, "recursive"),
		from: uint64(max(0, int(r.model.index)+rapid.IntRange(-20, 3).Draw(rt, "from"))), live: r.model.index,
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	watch, err := r.store.Watch(ctx, w.key, kv.WatchOptions{Recursive: w.recursive, From: w.from})
	if err != nil {
		rt.Fatalf("watch %s from %d: %v", w.key, w.from, err)
	}
	if w.from == 0 {
		w.from = w.live + 1
	}
	r.watches = append(r.watches, w)
	go func() {
		for ev, err := range watch.Events {
			w.add(ev, err)
		}
	}()
}

func (r *modelRun) sleep(rt *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 3).Draw(rt, "seconds")) * time.Second)
	synctest.Wait()
	r.model.expire(time.Now())
}

func (r *modelRun) checkWatches(rt *rapid.T) {
	synctest.Wait()
	for _, w := range r.watches {
		w.mu.Lock()
		got, err := w.events, w.err
		w.mu.Unlock()
		if want := r.model.expected(w); err != nil || len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			rt.Fatalf("watch %s recursive=%v from=%d live=%d\n got %+v, %v\nwant %+v", w.key, w.recursive, w.from, w.live, got, err, want)
		}
	}
}
