//go:build linux

package lab_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/strakeproject/strake/kv"
)

// keyOp is one operation on one key.
type keyOp struct {
	kind  string // "get", "set", "create", "swap", "delete" or "compareAndDelete"
	key   string
	value string
	cond  kv.Condition // of swap and compareAndDelete; one of the two
}

// keyOutcome is what a client was told.
type keyOutcome struct {
	kind  string // "done", "missing", "exists", "refused" (by its condition), "lost", "unknown"
	index uint64 // of a change that is done
	seen  keyNode
	// actual is what the condition was compared with, where it did not hold.
	actual string
}

// keyNode is a key as somebody saw it: before a change, or by a get.
type keyNode struct {
	exists bool
	value  string
	index  uint64 // modifiedIndex
}

func nodeOf(n *kv.Node) keyNode {
	if n == nil {
		return keyNode{}
	}
	return keyNode{exists: true, value: n.Value, index: n.ModifiedIndex}
}

// perform sends an operation to a store and tells what came of it. The error is
// for what no server should say.
func (o keyOp) perform(ctx context.Context, s kv.Store) (keyOutcome, error) {
	var ev kv.Event
	var err error
	switch o.kind {
	case "get":
		ev, err = s.Get(ctx, o.key, kv.GetOptions{Quorum: true})
	case "set":
		ev, err = s.Set(ctx, o.key, o.value, kv.SetOptions{})
	case "create":
		ev, err = s.Create(ctx, o.key, o.value, kv.CreateOptions{})
	case "swap":
		ev, err = s.CompareAndSwap(ctx, o.key, o.value, o.cond, kv.UpdateOptions{})
	case "delete":
		ev, err = s.Delete(ctx, o.key, kv.DeleteOptions{})
	case "compareAndDelete":
		ev, err = s.CompareAndDelete(ctx, o.key, o.cond)
	}
	switch {
	case err == nil && o.kind == "get":
		return keyOutcome{kind: "done", seen: nodeOf(&ev.Node)}, nil
	case err == nil:
		out := keyOutcome{kind: "done", index: ev.Node.ModifiedIndex, seen: nodeOf(ev.PrevNode)}
		if ev.Index != out.index {
			return out, fmt.Errorf("%s of %s took index %d, and the store is at %d right after it", o.kind, o.key, out.index, ev.Index)
		}
		return out, nil
	case errors.Is(err, kv.ErrKeyNotFound):
		return keyOutcome{kind: "missing"}, nil
	case errors.Is(err, kv.ErrKeyExists):
		return keyOutcome{kind: "exists"}, nil
	case errors.Is(err, kv.ErrCompareFailed):
		e, _ := errors.AsType[*kv.Error](err)
		_, actual, _ := strings.Cut(strings.Trim(e.Cause, "[]"), " != ")
		return keyOutcome{kind: "refused", actual: actual}, nil
	case o.kind == "get", errors.Is(err, kv.ErrNotApplied):
		return keyOutcome{kind: "lost"}, nil
	case errors.Is(err, kv.ErrOutcomeUnknown), errors.Is(err, kv.ErrInternal), errors.Is(err, context.DeadlineExceeded):
		return keyOutcome{kind: "unknown"}, nil
	}
	return keyOutcome{}, err
}

// keyState is what a key is after some operations.
type keyState struct {
	keyNode
	last uint64 // index of the latest change, also a removal
}

// meets reports whether a condition holds.
func (s keyState) meets(c kv.Condition) bool {
	if c.PrevIndex > 0 {
		return s.index == c.PrevIndex
	}
	return s.value == c.PrevValue
}

// step returns what a key is after an operation, and whether that can have ended
// as it did.
func (s keyState) step(o keyOp, out keyOutcome) (keyState, bool) {
	conditional := o.cond != kv.Condition{}
	switch {
	case out.kind == "missing":
		return s, !s.exists && o.kind != "set" && o.kind != "create"
	case out.kind == "exists":
		return s, s.exists && o.kind == "create"
	case out.kind == "refused":
		actual := s.value
		if o.cond.PrevIndex > 0 {
			actual = strconv.FormatUint(s.index, 10)
		}
		return s, s.exists && conditional && !s.meets(o.cond) && out.actual == actual
	case out.seen != s.keyNode:
		return s, false
	case o.kind == "get":
		return s, true
	case out.index <= s.last, // they go up
		o.kind == "create" && s.exists,
		o.kind == "delete" && !s.exists,
		conditional && !(s.exists && s.meets(o.cond)):
		return s, false
	}
	s = keyState{last: out.index}
	if !o.removes() {
		s.keyNode = keyNode{exists: true, value: o.value, index: out.index}
	}
	return s, true
}

func (o keyOp) removes() bool { return o.kind == "delete" || o.kind == "compareAndDelete" }

// causes reports whether an operation can have led to a change.
func (o keyOp) causes(s *sighting) bool {
	switch {
	case o.key != s.key || actions[o.kind] != s.action:
		return false
	case o.removes():
		return o.cond == kv.Condition{} || keyState{keyNode: s.prev}.meets(o.cond)
	}
	return o.value == s.now.value
}

// actions are what operations come to.
var actions = map[string]kv.Action{
	"set": kv.ActionSet, "create": kv.ActionCreate, "swap": kv.ActionCompareAndSwap,
	"delete": kv.ActionDelete, "compareAndDelete": kv.ActionCompareAndDelete,
}

// keyModel is what all operations on one key must look like from outside, when
// it is known of all whether they took place.
var keyModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := make(map[string][]porcupine.Operation)
		for _, o := range history {
			key := o.Input.(keyOp).key
			byKey[key] = append(byKey[key], o)
		}
		return slices.Collect(maps.Values(byKey))
	},
	Init: func() any { return keyState{} },
	Step: func(state, input, output any) (bool, any) {
		after, ok := state.(keyState).step(input.(keyOp), output.(keyOutcome))
		return ok, after
	},
	DescribeOperation: func(input, output any) string {
		o, out := input.(keyOp), output.(keyOutcome)
		return fmt.Sprintf("%s %s %.20q if %.20q/%d -> %s %d (was %.20q/%d, %.20q)", o.kind, o.key, o.value,
			o.cond.PrevValue, o.cond.PrevIndex, out.kind, out.index, out.seen.value, out.seen.index, out.actual)
	},
}

// settle takes from what watchers have seen what became of operations of unknown
// outcome: it happened at the index where it was seen, or never. What nobody
// asked for is an error.
func settle(t failer, history []porcupine.Operation, all []sighting) []porcupine.Operation {
	t.Helper()
	acked := make(map[uint64]bool)
	for _, h := range history {
		acked[h.Output.(keyOutcome).index] = true
	}
	happened := make(map[int]*sighting) // by place in history
	for i := range all {
		s := &all[i]
		if mortal(s.key) || acked[s.now.index] {
			continue
		}
		asked := false
		for at, h := range history {
			// Of several removals that are alike, it was the one asked for first.
			if h.Output.(keyOutcome).kind == "unknown" && happened[at] == nil && h.Input.(keyOp).causes(s) {
				happened[at], asked = s, true
				break
			}
		}
		if !asked {
			t.Errorf("seen is %s, which nobody asked for", s)
		}
	}
	var settled []porcupine.Operation
	for i, h := range history {
		if s := happened[i]; s != nil {
			h.Output = keyOutcome{kind: "done", index: s.now.index, seen: s.prev}
		}
		if h.Output.(keyOutcome).kind != "unknown" {
			settled = append(settled, h)
		}
	}
	return settled
}

// choose draws an operation. All values are different.
func (w *keyWorkload) choose(r *rand.Rand, id, n int) keyOp {
	o := keyOp{value: fmt.Sprintf("%d-%d-%s", id, n, w.padding)}
	if r.IntN(12) == 0 {
		o.kind, o.key = "set", bell
		return o
	}
	o.key = fmt.Sprintf("%s/e%d/%d", keysRoot, w.epoch.Load(), r.IntN(keys))
	last := w.lastSeen(o.key)
	switch k := r.IntN(20); {
	case k < 5:
		o.kind = "get"
	case k < 9, !last.exists && k < 14:
		o.kind = "set"
	case k < 11 || !last.exists:
		o.kind = "create"
	case k < 15:
		o.kind, o.cond = "swap", last.condition(r)
	case k < 17:
		o.kind = "delete"
	default:
		o.kind, o.cond = "compareAndDelete", last.condition(r)
	}
	return o
}

// condition is that a key still is what it was.
func (n keyNode) condition(r *rand.Rand) kv.Condition {
	if r.IntN(2) == 0 {
		return kv.Condition{PrevIndex: n.index}
	}
	return kv.Condition{PrevValue: n.value}
}

// lastSeen returns what a key was when it was last heard of.
func (w *keyWorkload) lastSeen(key string) keyNode {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range slices.Backward(w.history[max(0, len(w.history)-100):]) {
		o, out := h.Input.(keyOp), h.Output.(keyOutcome)
		switch {
		case o.key != key || out.kind != "done":
		case o.kind == "get":
			return out.seen
		case o.kind == "delete" || o.kind == "compareAndDelete":
			return keyNode{}
		default:
			return keyNode{exists: true, value: o.value, index: out.index}
		}
	}
	return keyNode{}
}

// told and set are operations of a history on one key.
func told(call int64, o keyOp, out keyOutcome) porcupine.Operation {
	o.key = "/k"
	return porcupine.Operation{Input: o, Output: out, Call: call, Return: call + 1}
}

func set(call int64, value string, index uint64, was keyNode) porcupine.Operation {
	return told(call, keyOp{kind: "set", value: value}, keyOutcome{kind: "done", index: index, seen: was})
}

func TestTheJudgeOfKeysSeesWhatIsWrong(t *testing.T) {
	a5, b7 := keyNode{true, "a", 5}, keyNode{true, "b", 7}
	ifA := kv.Condition{PrevValue: "a"}
	got := func(n keyNode) keyOutcome { return keyOutcome{kind: "done", seen: n} }
	for _, test := range []struct {
		name string
		ok   bool
		ops  []porcupine.Operation
	}{
		{"a plain history", true, []porcupine.Operation{set(1, "a", 5, keyNode{}), set(3, "b", 7, a5), told(5, keyOp{kind: "get"}, got(b7))}},
		{"a stale read", false, []porcupine.Operation{set(1, "a", 5, keyNode{}), set(3, "b", 7, a5), told(5, keyOp{kind: "get"}, got(a5))}},
		{"a write that is forgotten", false, []porcupine.Operation{set(1, "a", 5, keyNode{}), told(3, keyOp{kind: "get"}, keyOutcome{kind: "missing"})}},
		{"an index that goes back", false, []porcupine.Operation{set(1, "a", 5, keyNode{}), set(3, "b", 4, a5)}},
		{"two swaps from one value", false, []porcupine.Operation{
			set(1, "a", 5, keyNode{}),
			told(3, keyOp{kind: "swap", value: "b", cond: ifA}, keyOutcome{kind: "done", index: 7, seen: a5}),
			told(5, keyOp{kind: "swap", value: "c", cond: ifA}, keyOutcome{kind: "done", index: 8, seen: a5}),
		}},
		{"a refusal without a reason", false, []porcupine.Operation{
			set(1, "a", 5, keyNode{}), told(3, keyOp{kind: "swap", value: "b", cond: ifA}, keyOutcome{kind: "refused", actual: "a"}),
		}},
		{"a refusal with the reason of another time", false, []porcupine.Operation{
			set(1, "b", 5, keyNode{}), told(3, keyOp{kind: "swap", value: "c", cond: ifA}, keyOutcome{kind: "refused", actual: "d"}),
		}},
		{"a create of what is there", false, []porcupine.Operation{
			set(1, "a", 5, keyNode{}), told(3, keyOp{kind: "create", value: "b"}, keyOutcome{kind: "done", index: 7}),
		}},
		{"a removal by index of what came later", false, []porcupine.Operation{
			set(1, "a", 5, keyNode{}), set(3, "b", 7, a5),
			told(5, keyOp{kind: "compareAndDelete", cond: kv.Condition{PrevIndex: 5}}, keyOutcome{kind: "done", index: 8, seen: b7}),
		}},
	} {
		if got := porcupine.CheckOperations(keyModel, test.ops); got != test.ok {
			t.Errorf("%s: judged %t, want %t", test.name, got, test.ok)
		}
	}
}
