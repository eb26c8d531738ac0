//go:build linux

package lab_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// op is one operation on one register.
type op struct {
	kind       string // "get", "set", "cas" or "add"
	name       string
	value, old int64
}

// outcome is what a client was told.
type outcome struct {
	kind       string // "done", "refused" (by cas), "lost" (certainly without effect), "unknown"
	old, value int64  // of the register, before and after; value alone of a get
}

// perform sends an operation to a member.
func (c *cluster) perform(ctx context.Context, m *machine, o op) (outcome, error) {
	path, method := "/registers/"+o.name, http.MethodPut
	switch o.kind {
	case "get":
		method = http.MethodGet
	case "set":
		path += fmt.Sprintf("?value=%d", o.value)
	case "cas":
		path += fmt.Sprintf("?value=%d&old=%d", o.value, o.old)
	case "add":
		method = http.MethodPost
		path += fmt.Sprintf("?add=%d", o.value)
	}
	var answer struct{ Old, Value int64 }
	status, err := c.request(ctx, m, method, path, &answer)
	out := outcome{kind: "done", old: answer.Old, value: answer.Value}
	switch {
	case status == http.StatusConflict && err == nil:
		out.kind = "refused"
	case err == nil:
	case o.kind == "get", status == http.StatusServiceUnavailable, isDial(err):
		out.kind = "lost"
	case status == 0, status == http.StatusGatewayTimeout:
		out.kind = "unknown"
	default:
		return out, err // nothing that a member should say
	}
	return out, nil
}

// isDial reports whether a request failed before there was a connection.
func isDial(err error) bool {
	oe, ok := errors.AsType[*net.OpError](err)
	return ok && oe.Op == "dial"
}

// register is what all operations on one register must look like from outside:
// as if carried out one after the other.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byName := make(map[string][]porcupine.Operation)
		for _, o := range history {
			name := o.Input.(op).name
			byName[name] = append(byName[name], o)
		}
		return slices.Collect(maps.Values(byName))
	},
	Init: func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		now, o, out := state.(int64), input.(op), output.(outcome)
		after := o.value
		if o.kind == "add" {
			after += now
		}
		switch {
		case o.kind == "get":
			return out.value == now, now
		case o.kind == "cas" && out.kind == "refused":
			return out.old == now && now != o.old, now
		case o.kind == "cas" && now != o.old:
			return out.kind == "unknown", now
		case out.kind == "unknown":
			return true, after
		default:
			return out.old == now && out.value == after, after
		}
	},
	DescribeOperation: func(input, output any) string {
		o, out := input.(op), output.(outcome)
		return fmt.Sprintf("%s %.8s %d (old %d) -> %+v", o.kind, o.name, o.value, o.old, out)
	},
}

// load is what clients do through all members, and the history of what they were
// told.
type load struct {
	c       *cluster
	members []*machine // those that are asked, whether they run or not
	start   time.Time
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	acked   chan *machine // members that acknowledged a write
	epoch   atomic.Int64  // part of the registers' names, so that none has a long history

	mu      sync.Mutex
	history []porcupine.Operation
	unknown int
	strange []error
}

// workload is clients that use registers.
type workload struct{ load }

const (
	clients   = 6
	registers = 12
	// Some clients do not wait for much: what a member that is cut off has taken
	// ends as unknown. The others wait until the member gives up, and so see what
	// it makes of a change of leader.
	impatient  = time.Second
	forbearing = 10 * time.Second
	// pause between the operations of a client leaves the processor to members.
	pause = 3 * time.Millisecond
	// tally is a register to which all clients add 1, and nothing else is done.
	tally = "tally"
)

func (c *cluster) startWorkload(members ...*machine) *workload {
	w := &workload{}
	ctx := w.begin(c, members)
	for id := range clients {
		w.wg.Go(func() { w.client(ctx, id) })
	}
	return w
}

// begin prepares for clients, which end with the context.
func (w *load) begin(c *cluster, members []*machine) context.Context {
	ctx, cancel := context.WithCancel(c.t.Context())
	w.c, w.members, w.start, w.cancel, w.acked = c, members, time.Now(), cancel, make(chan *machine)
	c.t.Cleanup(func() { // before the members end, also if the test fails
		w.stop()
		w.reportStrange()
	})
	return ctx
}

// stop ends the clients.
func (w *load) stop() {
	w.cancel()
	w.wg.Wait()
}

func (w *workload) client(ctx context.Context, id int) {
	r := rand.New(rand.NewPCG(*seed, uint64(id)))
	timeout := impatient
	if id >= clients/2 {
		timeout = forbearing
	}
	for n := 0; ctx.Err() == nil; n++ {
		m := w.pick(r, id)
		out := w.do(id, m, w.choose(r, id, n), timeout)
		if out.kind == "done" && out.old != out.value {
			w.ack(m)
		}
		time.Sleep(pause)
	}
}

// pick draws a member to ask. Each client has one of its own and seldom asks
// another, so that those of a member in trouble do not hold up the rest.
func (w *load) pick(r *rand.Rand, id int) *machine {
	if r.IntN(10) == 0 {
		return w.members[r.IntN(len(w.members))]
	}
	return w.members[id%len(w.members)]
}

// ack tells whoever waits for progress of a write that a member acknowledged.
func (w *load) ack(m *machine) {
	select {
	case w.acked <- m:
	default:
	}
}

// choose draws an operation. All values that are set are different.
func (w *workload) choose(r *rand.Rand, id, n int) op {
	o := op{name: registerName(w.epoch.Load(), r.IntN(registers)), value: int64(n*clients + id + 1)}
	switch k := r.IntN(10); {
	case k < 3:
		o.kind = "get"
	case k < 5:
		o.kind = "set"
	case k < 7:
		o.kind, o.old = "cas", w.lastSeen(o.name)
	default:
		o.kind, o.name, o.value = "add", tally, 1
	}
	return o
}

// registerName names a register. It is long, so that the log soon holds more
// than what members keep of it.
func registerName(epoch int64, n int) string {
	return fmt.Sprintf("r%d-%d-%s", epoch, n, strings.Repeat("x", 2000))
}

// lastSeen returns what a register held when it was last heard of.
func (w *workload) lastSeen(name string) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range slices.Backward(w.history[max(0, len(w.history)-200):]) {
		if h.Input.(op).name == name && h.Output.(outcome).kind != "unknown" {
			return h.Output.(outcome).value
		}
	}
	return 0
}

// do performs an operation and records it.
func (w *workload) do(client int, m *machine, o op, timeout time.Duration) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	call := time.Now()
	out, err := w.c.perform(ctx, m, o)
	w.record(client, call, o, out, out.kind, err)
	return out
}

// record adds an operation to the history that ends now.
func (w *load) record(client int, call time.Time, input, output any, kind string, err error) {
	ret := time.Since(w.start).Nanoseconds()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.strange = append(w.strange, err)
		return
	}
	switch kind {
	case "lost":
		return
	case "unknown":
		ret = math.MaxInt64
		w.unknown++
	}
	w.history = append(w.history, porcupine.Operation{
		ClientId: client, Input: input, Call: call.Sub(w.start).Nanoseconds(), Output: output, Return: ret,
	})
}

// progress waits until the given members have acknowledged n more writes.
func (w *load) progress(n int, members ...*machine) {
	w.c.t.Helper()
	deadline := time.After(patience)
	for n > 0 {
		select {
		case m := <-w.acked:
			if slices.Contains(members, m) {
				n--
			}
		case <-deadline:
			w.c.t.Fatalf("%d more writes through %d members are not acknowledged", n, len(members))
		}
	}
}

// check ends the workload, lets all members agree, and judges the history.
func (w *workload) check() {
	t := w.c.t
	t.Helper()
	w.stop()
	w.finalReads()
	w.checkTally()
	w.judge(register, w.registers())
}

// reportStrange reports what members should not have said.
func (w *load) reportStrange() {
	w.c.t.Helper()
	for i, err := range w.strange {
		if i < 3 {
			w.c.t.Errorf("strange answer: %v", err)
		}
	}
}

// judge judges a history by a model.
func (w *load) judge(model porcupine.Model, history []porcupine.Operation) {
	t := w.c.t
	t.Helper()
	took := time.Now()
	result, info := porcupine.CheckOperationsVerbose(model, history, patience)
	t.Logf("%d operations, %d of unknown outcome: %s in %s", len(w.history), w.unknown, result, time.Since(took))
	if result != porcupine.Ok {
		path := t.ArtifactDir() + "/history.html"
		if err := porcupine.VisualizePath(model, info, path); err != nil {
			t.Error(err)
		}
		t.Errorf("no single machine could have answered like this (%s), see %s", result, path)
	}
}

// finalReads reads everything from every member, until all say the same at the
// same index, and adds it to the history.
func (w *workload) finalReads() {
	t := w.c.t
	t.Helper()
	type dump struct {
		Index     uint64
		Registers map[string]int64
	}
	var agreed dump
	var call, ret int64
	w.c.until(func() error {
		call = time.Since(w.start).Nanoseconds()
		for i, m := range w.members {
			var d dump
			w.c.must(m, "GET", "/registers", &d)
			if i == 0 {
				agreed = d
				continue
			}
			if d.Index != agreed.Index {
				return fmt.Errorf("%s is at index %d, %s at %d", m.name, d.Index, w.members[0].name, agreed.Index)
			}
			if !maps.Equal(d.Registers, agreed.Registers) {
				t.Fatalf("at index %d %s holds\n%v\n%s holds\n%v", d.Index, m.name, d.Registers, w.members[0].name, agreed.Registers)
			}
		}
		ret = time.Since(w.start).Nanoseconds()
		return nil
	})
	names := map[string]bool{}
	for _, h := range w.history {
		names[h.Input.(op).name] = true
	}
	for name := range names {
		w.history = append(w.history, porcupine.Operation{
			ClientId: clients, Input: op{kind: "get", name: name}, Call: call,
			Output: outcome{kind: "done", value: agreed.Registers[name]}, Return: ret,
		})
	}
}

// registers is the history without the tally.
func (w *workload) registers() []porcupine.Operation {
	var ops []porcupine.Operation
	for _, h := range w.history {
		if h.Input.(op).name != tally {
			ops = append(ops, h)
		}
	}
	return ops
}

// checkTally checks the register to which everybody added 1. Each sum is seen
// once, in an order that agrees with time, and none is missing but as many as
// are of unknown outcome.
func (w *workload) checkTally() {
	t := w.c.t
	t.Helper()
	var adds []porcupine.Operation
	var unknown, final int64
	for _, h := range w.history {
		switch o, out := h.Input.(op), h.Output.(outcome); {
		case o.name != tally:
		case o.kind == "get":
			final = out.value
		case out.kind == "unknown":
			unknown++
		default:
			adds = append(adds, h)
		}
	}
	sum := func(h porcupine.Operation) int64 { return h.Output.(outcome).value }
	slices.SortFunc(adds, func(a, b porcupine.Operation) int { return int(sum(a) - sum(b)) })
	var latestCall int64
	for i, h := range adds {
		if i > 0 && sum(h) == sum(adds[i-1]) {
			t.Errorf("the sum %d was told twice", sum(h))
		}
		if h.Return < latestCall {
			t.Errorf("the sum %d was told before an addition began that came to less", sum(h))
		}
		latestCall = max(latestCall, h.Call)
	}
	if acked := int64(len(adds)); final < acked || final > acked+unknown {
		t.Errorf("the sum is %d after %d additions and %d of unknown outcome", final, acked, unknown)
	}
}

func TestTheJudgesSeeWhatIsWrong(t *testing.T) {
	set := porcupine.Operation{Input: op{kind: "set", name: "x", value: 1}, Call: 1, Output: outcome{"done", 0, 1}, Return: 2}
	stale := porcupine.Operation{Input: op{kind: "get", name: "x"}, Call: 3, Output: outcome{kind: "done"}, Return: 4}
	if porcupine.CheckOperations(register, []porcupine.Operation{set, stale}) {
		t.Error("a history with a stale read passes")
	}
	set.Output, set.Return = outcome{kind: "unknown"}, math.MaxInt64
	if !porcupine.CheckOperations(register, []porcupine.Operation{set, stale}) {
		t.Error("a history that lacks a write of unknown outcome does not pass")
	}
}
