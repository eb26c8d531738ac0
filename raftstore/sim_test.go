package raftstore

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/raft/v3"
)

// The simulator runs a whole cluster in one goroutine: a random number generator
// decides who takes the next turn, which message arrives next, is lost or comes
// twice, who crashes and what of the unsynced is then gone. A seed always gives
// the same history.

var (
	simSeeds = flag.Int("raftstore.seeds", 200, "number of simulated histories")
	simFirst = flag.Uint64("raftstore.seed", 1, "first seed")
	simSteps = flag.Int("raftstore.steps", 5000, "steps of a simulated history")
)

func TestSimulatedHistoriesAreSound(t *testing.T) {
	if bad := simulateAll(*simFirst, *simSeeds, ""); bad != nil {
		t.Errorf("%v\nrun again with -raftstore.seed=%d -raftstore.seeds=1", bad, bad.seed)
	}
}

// TestSimulatorSeesBrokenRules breaks one rule at a time. A simulator that does
// not notice is blind.
func TestSimulatorSeesBrokenRules(t *testing.T) {
	for _, m := range []mutation{skipSync, sendBeforePersist, reuseReadContext, readBeforeFirstCommit, tellUnknownAsDropped, imageBehind, imageAhead} {
		bad := simulateAll(1, 100, m)
		if bad == nil {
			t.Errorf("%s: not noticed in 100 histories", m)
			continue
		}
		t.Logf("%s: %v", m, bad)
	}
}

// TestSimulatorReachesEverything keeps the histories from becoming tame.
func TestSimulatorReachesEverything(t *testing.T) {
	sum := make(map[string]int)
	for seed := range uint64(200) {
		s := newSim(seed, "")
		if err := s.run(); err != nil {
			t.Fatal(err)
		}
		for what, n := range s.counts {
			sum[what] += n
		}
	}
	t.Log(sum)
	for _, what := range []string{
		"write", "read", "crash", "crash midway", "stop", "deaf", "term", "add", "promote", "remove", "snapshot",
		"given up", "unknown by snapshot",
	} {
		if sum[what] < 10 {
			t.Errorf("%s happened %d times in 200 histories", what, sum[what])
		}
	}
}

func TestSimulatedHistoryDependsOnTheSeedAlone(t *testing.T) {
	for seed := range uint64(5) {
		a, b := newSim(seed, ""), newSim(seed, "")
		if ea, eb := a.run(), b.run(); ea != nil || eb != nil {
			t.Fatal(ea, eb)
		}
		if a.digest() != b.digest() {
			t.Errorf("seed %d gave two histories: %s and %s", seed, a.digest(), b.digest())
		}
	}
}

// lastKey is the context of the latest request.
func (r *readRounds) lastKey(n *Node) []byte {
	b := binary.BigEndian.AppendUint64(nil, n.id)
	b = binary.BigEndian.AppendUint64(b, n.incarnation)
	return binary.BigEndian.AppendUint64(b, r.counter)
}

// mutation is a rule to break.
type mutation string

const (
	skipSync              mutation = "skip the sync"
	sendBeforePersist     mutation = "send before persisting"
	reuseReadContext      mutation = "reuse a read context"
	readBeforeFirstCommit mutation = "answer reads before the first commit of a term"
	tellUnknownAsDropped  mutation = "call dropped what a snapshot may hold"
	imageBehind           mutation = "place an image one entry early"
	imageAhead            mutation = "place an image one entry late"
)

// violation is what must not happen.
type violation struct {
	seed uint64
	step int
	text string
}

func (v *violation) Error() string {
	return fmt.Sprintf("seed %d, step %d: %s", v.seed, v.step, v.text)
}

// simulateAll runs seeds on all cores and returns the violation of the lowest
// seed that has one.
func simulateAll(first uint64, seeds int, m mutation) *violation {
	var mu sync.Mutex
	var found *violation
	next := first
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		seed := next
		next++
		return seed, found == nil && seed < first+uint64(seeds)
	}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed, ok := take(); ok; seed, ok = take() {
				if v := newSim(seed, m).run(); v != nil {
					mu.Lock()
					if found == nil || v.seed < found.seed {
						found = v
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return found
}

// sim is one history.
type sim struct {
	seed     uint64
	rng      *rand.Rand
	mutation mutation
	now      int64
	step     int
	bad      *violation
	calm     bool // no more faults

	hosts   []*simHost
	network []letter
	cut     map[[2]uint64]bool
	deaf    map[uint64]int // members that hear nobody, and until which step
	initial []InitialMember
	applied map[place]uint64 // what was applied where, by anybody
	leaders map[uint64]string
	writes  []*simWrite
	reads   []*simRead
	changes []*call
	counts  map[string]int // how often what happened
	lastOp  uint64
	ackedTo uint64 // the highest index that anybody was told of
	joiners int
}

// place is where in the log a command stands.
type place struct {
	index uint64
	seq   int
}

type letter struct {
	from, to uint64
	data     []byte
}

type simWrite struct {
	id   uint64
	node *Node
	call *call
	out  *Outcome // what the caller was told
}

type simRead struct {
	host  *simHost
	node  *Node
	round *readRound
	floor uint64
}

func newSim(seed uint64, m mutation) *sim {
	s := &sim{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0x5eed)), mutation: m,
		cut: make(map[[2]uint64]bool), deaf: make(map[uint64]int), applied: make(map[place]uint64), leaders: make(map[uint64]string),
		counts: make(map[string]int),
	}
	n := []int{1, 3, 3, 3, 5}[s.rng.IntN(5)]
	for i := range n {
		name := string(rune('a' + i))
		s.initial = append(s.initial, InitialMember{Name: name, URLs: []string{"sim://" + name}})
		s.addHost(name, nil)
	}
	return s
}

func (s *sim) addHost(name string, join *Cluster) *simHost {
	h := &simHost{sim: s, name: name, join: join}
	h.fs = &memFS{host: h, files: make(map[string][]byte)}
	h.disk, h.state = &simLog{host: h}, &simState{host: h}
	s.hosts = append(s.hosts, h)
	return h
}

func (s *sim) fail(format string, args ...any) {
	if s.bad == nil {
		s.bad = &violation{s.seed, s.step, fmt.Sprintf(format, args...)}
	}
}

// run plays the history: a time of faults, then calm in which everything has to
// settle.
func (s *sim) run() *violation {
	for _, h := range s.hosts {
		h.boot()
	}
	for s.step = 0; s.step < *simSteps && s.bad == nil; s.step++ {
		s.act()
	}
	s.calm = true
	clear(s.cut)
	clear(s.deaf)
	for _, h := range s.hosts {
		if h.node == nil && !h.gone {
			h.boot()
		}
	}
	for end := s.step + 40_000; s.step < end && s.bad == nil && !s.settled(); s.step++ {
		s.act()
	}
	if s.bad == nil && !s.settled() {
		s.fail("the cluster does not settle: %s", s.describe())
	}
	if s.bad == nil {
		s.checkEnd()
	}
	return s.bad
}

func (s *sim) chance(per10k int) bool { return s.rng.IntN(10_000) < per10k }

func (s *sim) pick(hosts []*simHost) *simHost { return hosts[s.rng.IntN(len(hosts))] }

func (s *sim) up() []*simHost {
	var up []*simHost
	for _, h := range s.hosts {
		if h.node != nil {
			up = append(up, h)
		}
	}
	return up
}

// act does one thing.
func (s *sim) act() {
	s.now += int64(time.Millisecond)
	if !s.calm {
		s.fault()
	}
	up := s.up()
	if len(up) == 0 {
		s.pick(s.hosts).boot()
		return
	}
	h := s.pick(up)
	switch k := s.rng.IntN(100); {
	case k < 42 && len(s.network) > 0:
		s.deliver()
	case k < 50:
		h.tick()
	case k < 62:
		h.turn()
	case k < 77:
		h.appendTurn()
	case k < 89:
		h.applyTurn()
	case k < 91:
		h.runTask()
	case k < 92:
		h.compact()
	case !s.calm:
		s.operate(h)
	}
	s.collect()
}

func (s *sim) fault() {
	if s.chance(15) {
		// Who is deaf has better chances: only a caller that still waits can be told
		// anything.
		if up := s.up(); len(up) > 0 {
			if h := s.pick(up); s.step >= s.deaf[h.node.id] || s.chance(2000) {
				h.crash()
			}
		}
	}
	if s.chance(60) {
		if h := s.pick(s.hosts); h.node == nil && !h.gone {
			h.boot()
		}
	}
	if s.chance(20) {
		a, b := s.pick(s.hosts), s.pick(s.hosts)
		if a.node != nil && b.node != nil {
			s.cut[[2]uint64{a.node.id, b.node.id}] = true
			if s.chance(7000) {
				s.cut[[2]uint64{b.node.id, a.node.id}] = true
			}
		}
	}
	if s.chance(15) {
		clear(s.cut)
	}
	if s.chance(6) {
		s.deafen(s.leading(s.pick(s.hosts)))
	}
	if s.chance(4) {
		if up := s.up(); len(up) > 0 {
			if h := s.pick(up); s.step >= s.deaf[h.node.id] {
				h.stop()
			}
		}
	}
	if s.chance(100) && len(s.writes) > 0 {
		s.giveUp(s.writes[s.rng.IntN(len(s.writes))])
	}
}

// deafen lets a member hear nobody for long enough that the others elect, while
// it is heard: what it has sent them may be committed, and forgotten by the log,
// before it hears of that.
func (s *sim) deafen(h *simHost) {
	if h.node == nil {
		return
	}
	s.counts["deaf"]++
	s.deaf[h.node.id] = s.step + 1000 + s.rng.IntN(4000)
	for range 3 {
		s.write(h)
	}
}

// leading returns the last member that believes to lead, else h.
func (s *sim) leading(h *simHost) *simHost {
	for _, other := range s.up() {
		if other.node.loop.role == raft.StateLeader {
			h = other
		}
	}
	return h
}

// giveUp has the caller of a write leave, if its member is up and has not
// answered.
func (s *sim) giveUp(w *simWrite) {
	if w.out != nil || w.node.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	out := w.node.await(ctx, &w.node.proposals, w.call)
	s.answered(w, out)
	s.counts["given up"]++
}

// answered notes what the caller of a write was told.
func (s *sim) answered(w *simWrite, out Outcome) {
	w.out = &out
	switch {
	case s.mutation == tellUnknownAsDropped && out.Err == ErrOutcomeUnknown:
		out.Err = ErrDropped
	case out.Err == nil:
		s.counts["write"]++
		s.ackedTo = max(s.ackedTo, out.Index)
	case out.Err == ErrOutcomeUnknown: // and nothing besides
		s.counts["unknown by snapshot"]++
	}
}

// deliver takes a letter out of the network at random, and may lose it or leave
// a copy.
func (s *sim) deliver() {
	i := s.rng.IntN(len(s.network))
	l := s.network[i]
	if !s.chance(100) || s.calm {
		s.network[i] = s.network[len(s.network)-1]
		s.network = s.network[:len(s.network)-1]
	}
	if !s.calm && (s.lost(l.from, l.to) || s.chance(200)) {
		return
	}
	for _, h := range s.hosts {
		if h.node != nil && h.node.id == l.to {
			// A refused letter is as good as lost.
			_ = h.h.Receive(l.from, l.data)
		}
	}
}

// lost reports whether nothing gets from one member to another now.
func (s *sim) lost(from, to uint64) bool {
	return s.cut[[2]uint64{from, to}] || s.step < s.deaf[to]
}

// operate begins a write, a read or a change of membership.
func (s *sim) operate(h *simHost) {
	if s.chance(7000) {
		h = s.leading(h)
	}
	switch k := s.rng.IntN(100); {
	case k < 55:
		s.write(h)
	case k < 75:
		round, _ := h.node.reads.join()
		s.reads = append(s.reads, &simRead{host: h, node: h.node, round: round, floor: s.ackedTo})
	default:
		s.change(h)
	}
}

// write proposes a command, if h leads.
func (s *sim) write(h *simHost) {
	s.lastOp++
	w := &simWrite{id: s.lastOp, node: h.node, call: newCall(callCommand, binary.BigEndian.AppendUint64(nil, s.lastOp))}
	if h.node.loop.role == raft.StateLeader && h.node.proposals.push(w.call) == nil {
		s.writes = append(s.writes, w)
	}
}

// change asks for a change of membership, if h leads.
func (s *sim) change(h *simHost) {
	if h.node.loop.role != raft.StateLeader {
		return
	}
	var c change
	switch members := h.node.Members(); s.rng.IntN(3) {
	case 0:
		if s.joiners >= 3 {
			return
		}
		s.joiners++
		name := fmt.Sprintf("j%d", s.joiners)
		c = change{Op: opAdd, Member: Member{Name: name, PeerURLs: []string{"sim://" + name}, Learner: true}}
	case 1:
		for _, m := range members {
			if m.Learner {
				c = change{Op: opPromote, Member: Member{ID: m.ID}}
			}
		}
	case 2:
		if len(members) > 3 {
			c = change{Op: opRemove, Member: Member{ID: members[s.rng.IntN(len(members))].ID}}
		}
	}
	if c.Op == "" {
		return
	}
	data, err := jsonMarshal(c)
	if err != nil {
		s.fail("%v", err)
		return
	}
	call := newCall(callChange, data)
	if h.node.changes.push(call) == nil {
		s.changes = append(s.changes, call)
	}
}

// collect looks which operations have ended.
func (s *sim) collect() {
	for _, w := range s.writes {
		if w.out != nil {
			continue
		}
		select {
		case out := <-w.call.done:
			s.answered(w, out)
		default:
		}
	}
	s.reads = slices.DeleteFunc(s.reads, func(r *simRead) bool {
		select {
		case <-r.round.done:
			s.counts["read"]++
			if r.round.err == nil && r.round.index < r.floor {
				s.fail("stale read: %s confirmed index %d, index %d was acknowledged before", r.host.name, r.round.index, r.floor)
			}
			return true
		default:
			return r.host.node != r.node // it went down
		}
	})
	s.changes = slices.DeleteFunc(s.changes, func(c *call) bool {
		select {
		case out := <-c.done:
			s.noteChange(c, out)
			s.startJoiner(out)
			return true
		default:
			return false
		}
	})
}

func (s *sim) noteChange(c *call, out Outcome) {
	var asked change
	var r changeResult
	if out.Err == nil && jsonUnmarshal(c.cmd, &asked) == nil && jsonUnmarshal(out.Result, &r) == nil && r.Error == "" {
		s.counts[string(asked.Op)]++
	}
}

// startJoiner starts the member that was added.
func (s *sim) startJoiner(out Outcome) {
	var r changeResult
	if out.Err != nil || jsonUnmarshal(out.Result, &r) != nil || r.Error != "" || !r.Member.Learner {
		return
	}
	for _, h := range s.up() {
		if _, ok := h.node.membership().member(r.Member.ID); ok {
			info := h.node.Cluster()
			s.addHost(r.Member.Name, &info).boot()
			return
		}
	}
}

// settled reports whether all that is left of the cluster has applied the same.
func (s *sim) settled() bool {
	if len(s.reads) > 0 {
		return false
	}
	var applied uint64
	led := false
	for _, h := range s.hosts {
		if h.gone {
			continue
		}
		n := h.node
		if n == nil {
			return false
		}
		if ms := n.membership(); ms.removed(n.id) {
			return false
		}
		if n.loop.leader == 0 || n.pos.Index != n.Status().Commit || !n.proposals.empty() {
			return false
		}
		led = led || n.loop.role == raft.StateLeader && n.lead.began == n.loop.term
		if applied == 0 {
			applied = n.pos.Index
		}
		if n.pos.Index != applied {
			return false
		}
	}
	return led
}

func (s *sim) describe() string {
	text := fmt.Sprintf("%d letters, %d reads;", len(s.network), len(s.reads))
	for _, h := range s.hosts {
		switch {
		case h.gone:
			text += fmt.Sprintf(" %s removed;", h.name)
		case h.node == nil:
			text += fmt.Sprintf(" %s down;", h.name)
		default:
			st := h.node.Status()
			text += fmt.Sprintf(" %s %s term %d leader %x applied %d commit %d last %d members %d;",
				h.name, st.Role, st.Term, st.Leader, h.node.pos.Index, st.Commit, st.Last, len(h.node.Members()))
		}
	}
	return text
}

// checkEnd compares what clients were told with what there is.
func (s *sim) checkEnd() {
	for _, h := range s.hosts {
		if h.gone {
			continue
		}
		times := make(map[uint64]int)
		for _, id := range h.state.ids {
			times[id]++
		}
		for _, w := range s.writes {
			switch n := times[w.id]; {
			case n > 1:
				s.fail("%s applied command %d %d times", h.name, w.id, n)
			case n == 0 && w.out != nil && w.out.Err == nil:
				s.fail("%s lost command %d, which was acknowledged at index %d", h.name, w.id, w.out.Index)
			case n == 1 && w.out != nil && errors.Is(w.out.Err, ErrDropped):
				s.fail("%s applied command %d, which was said to be dropped", h.name, w.id)
			}
		}
	}
}

// digest stands for the history.
func (s *sim) digest() string {
	text := fmt.Sprint(s.step, s.lastOp, s.ackedTo, s.now)
	for _, h := range s.hosts {
		text += fmt.Sprint(h.name, h.state.ids, h.state.pos.Index, h.state.pos.Term)
	}
	return text
}
