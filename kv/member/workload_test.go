package member_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/member"
)

// An op is one operation on one key, and an answer its outcome. Both travel as
// JSON to members in other processes.
type op struct {
	Kind             string // "get", "set" or "cas"
	Key, Value, Prev string
}

type answer struct {
	Outcome string // "", "mismatch", "missing", "lost" (certainly without effect), "unknown"
	Value   string // of a get; the value before a set
	Index   uint64 // of a change
	Err     string // what is behind a lost or unknown outcome
}

// perform executes an op on a store.
func perform(ctx context.Context, s kv.Store, o op) answer {
	var ev kv.Event
	var err error
	switch o.Kind {
	case "get":
		ev, err = s.Get(ctx, o.Key, kv.GetOptions{Quorum: true})
	case "set":
		ev, err = s.Set(ctx, o.Key, o.Value, kv.SetOptions{})
	case "cas":
		ev, err = s.CompareAndSwap(ctx, o.Key, o.Value, kv.Condition{PrevValue: o.Prev}, kv.UpdateOptions{})
	}
	a := answer{Index: ev.Index, Value: ev.Node.Value}
	if o.Kind != "get" {
		a.Value = ""
		if ev.PrevNode != nil {
			a.Value = ev.PrevNode.Value
		}
	}
	switch {
	case err == nil:
		return a
	case errors.Is(err, kv.ErrKeyNotFound):
		a.Outcome = "missing"
	case errors.Is(err, kv.ErrCompareFailed):
		a.Outcome = "mismatch"
	case o.Kind == "get", errors.Is(err, kv.ErrNotApplied):
		a.Outcome = "lost"
	default:
		a.Outcome = "unknown"
	}
	a.Err = err.Error()
	return a
}

// register is the model: one key whose value is "" while it does not exist.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := make(map[string][]porcupine.Operation)
		for _, o := range history {
			k := o.Input.(op).Key
			byKey[k] = append(byKey[k], o)
		}
		var parts [][]porcupine.Operation
		for _, p := range byKey {
			parts = append(parts, p)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		value, o, a := state.(string), input.(op), output.(answer)
		switch {
		case a.Outcome == "unknown" && o.Kind == "set":
			return true, o.Value
		case a.Outcome == "unknown" && o.Prev == value:
			return true, o.Value
		case a.Outcome == "unknown":
			return true, value
		case o.Kind == "get" && a.Outcome == "missing", o.Kind == "cas" && a.Outcome == "missing":
			return value == "", value
		case o.Kind == "get":
			return a.Value == value, value
		case o.Kind == "set":
			return a.Value == value, o.Value
		case a.Outcome == "mismatch":
			return value != "" && value != o.Prev, value
		default:
			return value == o.Prev, o.Value
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// A workload is clients that read and write registers through members that
// come and go, and the history of what they saw.
type workload struct {
	members int
	do      func(ctx context.Context, member int, o op) answer

	start  time.Time
	cancel context.CancelFunc
	wg     sync.WaitGroup
	acked  chan int // place of a member that acknowledged a write

	mu      sync.Mutex
	history []porcupine.Operation
	unknown int
}

const (
	clients = 6
	keys    = 24
	// opTimeout is long for an operation, short for a test: what a member that
	// is cut off has taken ends as unknown.
	opTimeout = time.Second
)

func startWorkload(t *testing.T, members int, do func(ctx context.Context, member int, o op) answer) *workload {
	ctx, cancel := context.WithCancel(t.Context())
	w := &workload{members: members, do: do, start: time.Now(), cancel: cancel, acked: make(chan int)}
	for c := range clients {
		w.wg.Go(func() { w.client(ctx, c) })
	}
	return w
}

func (w *workload) client(ctx context.Context, c int) {
	r := rand.New(rand.NewPCG(uint64(c), 7))
	// Each has its own member and seldom asks another, so that those of a member
	// in trouble do not hold up the rest.
	pick := func() int {
		if r.IntN(10) == 0 {
			return r.IntN(w.members)
		}
		return c % w.members
	}
	for n := 0; ctx.Err() == nil; n++ {
		o := op{Kind: "get", Key: fmt.Sprintf("/reg/%d", r.IntN(keys))}
		if r.IntN(3) > 0 {
			o.Kind, o.Value = "set", fmt.Sprintf("%d-%d", c, n)
		}
		if m := pick(); o.Kind == "get" && r.IntN(3) == 0 {
			// Read what is there to swap it.
			if a := w.one(c, m, o); a.Outcome == "" {
				o = op{Kind: "cas", Key: o.Key, Prev: a.Value, Value: fmt.Sprintf("%d-%d", c, n)}
			}
		}
		m := pick()
		a := w.one(c, m, o)
		if a.Outcome == "" && o.Kind != "get" {
			select {
			case w.acked <- m:
			default:
			}
		}
		if a.Outcome == "lost" || a.Outcome == "unknown" {
			// A dead member refuses at once; spare the processor.
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

// one performs an op and records it.
func (w *workload) one(c, m int, o op) answer {
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	call := time.Since(w.start).Nanoseconds()
	a := w.do(ctx, m, o)
	ret := time.Since(w.start).Nanoseconds()
	if a.Outcome == "lost" {
		return a
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.Outcome == "unknown" {
		ret = math.MaxInt64
		w.unknown++
	}
	w.history = append(w.history, porcupine.Operation{ClientId: c, Input: o, Call: call, Output: a, Return: ret})
	return a
}

// progress waits until members have acknowledged n more writes.
func (w *workload) progress(n int, members ...int) {
	for n > 0 {
		m := <-w.acked
		for _, want := range members {
			if m == want {
				n--
			}
		}
	}
}

// check ends the workload, reads all registers once more, and holds the
// history against the model.
func (w *workload) check(t *testing.T) {
	t.Helper()
	w.cancel()
	w.wg.Wait()
	for k := range keys {
		for m := range w.members {
			o := op{Kind: "get", Key: fmt.Sprintf("/reg/%d", k)}
			for a := w.one(clients, m, o); a.Outcome == "lost"; a = w.one(clients, m, o) {
				t.Logf("final read of %s from member %d: %s", o.Key, m, a.Err)
			}
		}
	}
	indexes := make(map[uint64]op)
	for _, h := range w.history {
		o, a := h.Input.(op), h.Output.(answer)
		if o.Kind == "get" || a.Outcome != "" {
			continue
		}
		if other, ok := indexes[a.Index]; ok {
			t.Errorf("index %d was given to %+v and %+v", a.Index, other, o)
		}
		indexes[a.Index] = o
	}
	res, info := porcupine.CheckOperationsVerbose(register, w.history, time.Minute)
	t.Logf("%d operations, %d of unknown outcome, %d acknowledged writes: %s", len(w.history), w.unknown, len(indexes), res)
	if res != porcupine.Ok {
		path := t.ArtifactDir() + "/history.html"
		if err := porcupine.VisualizePath(register, info, path); err != nil {
			t.Error(err)
		}
		t.Errorf("the history is not linearizable (%s), see %s", res, path)
	}
}

func TestPartitionsLeaveHistoriesLinearizable(t *testing.T) {
	c := newCluster(t, 3)
	w := startWorkload(t, 3, func(ctx context.Context, m int, o op) answer { return perform(ctx, c.members[m], o) })
	others := func(i int) []int { return []int{(i + 1) % 3, (i + 2) % 3} }
	for round := range 5 {
		w.progress(50, 0, 1, 2)
		leader, follower := c.leader()
		cut := leader
		if round%3 == 2 {
			cut = follower
		}
		c.net.isolate(cut)
		w.progress(50, others(cut)...)
		c.net.heal()
		w.progress(5, cut)
	}
	w.check(t)
}

// seats are the members that a workload talks to; others may take a seat over.
type seats struct {
	mu      sync.Mutex
	members []*member.Member
}

func (s *seats) take(seat int, m *member.Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members[seat] = m
}

func (s *seats) do(ctx context.Context, seat int, o op) answer {
	s.mu.Lock()
	m := s.members[seat]
	s.mu.Unlock()
	return perform(ctx, m, o)
}

// TestReplacedMembersLeaveHistoriesLinearizable replaces members, leaders among
// them, while clients write, and has members come back that need a snapshot.
func TestReplacedMembersLeaveHistoriesLinearizable(t *testing.T) {
	c := newTunedCluster(t, 3, tight)
	s := &seats{members: slices.Clone(c.members)}
	places := []int{0, 1, 2} // of those who sit
	w := startWorkload(t, 3, s.do)
	for round := range 4 {
		w.progress(40, 0, 1, 2)
		leader, follower := c.leader()
		gone := leader
		if round%2 == 1 {
			gone = follower
		}
		seat := slices.Index(places, gone)
		away := places[(seat+1)%3]
		c.outrun(away)
		c.start(away)
		s.take((seat+1)%3, c.members[away])
		w.progress(5, (seat+1)%3)
		places[seat] = c.add(away)
		c.awaitVote(places[seat])
		c.remove(gone, gone)
		<-c.members[gone].Done()
		c.members[gone] = nil
		s.take(seat, c.members[places[seat]])
		w.progress(5, seat)
	}
	w.check(t)
	for _, i := range places {
		t.Logf("member %d installed %d snapshots", i, c.members[i].Snapshots())
	}
}

func TestTheCheckerSeesALostWrite(t *testing.T) {
	write := porcupine.Operation{Input: op{Kind: "set", Key: "/a", Value: "1"}, Call: 1, Output: answer{Index: 1}, Return: 2}
	read := porcupine.Operation{Input: op{Kind: "get", Key: "/a"}, Call: 3, Output: answer{Outcome: "missing"}, Return: 4}
	if porcupine.CheckOperations(register, []porcupine.Operation{write, read}) {
		t.Error("a history that lost an acknowledged write passes")
	}
	write.Output, write.Return = answer{Outcome: "unknown"}, math.MaxInt64
	if !porcupine.CheckOperations(register, []porcupine.Operation{write, read}) {
		t.Error("a history that lacks a write of unknown outcome does not pass")
	}
}
