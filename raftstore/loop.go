package raftstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"
)

// inbox is what others have for the loop. The loop swaps it out whole, so that a
// burst costs one wake-up.
type inbox struct {
	wake chan struct{}

	mu       sync.Mutex
	messages []*raftpb.Message // from peers, and answers from append and apply
	requests []func()          // to run on the loop
	inflow   int64             // bytes of messages from peers
}

// maxInflow bounds the unread messages from peers. Beyond it they are dropped,
// which raft takes for a slow network.
const maxInflow = 64 << 20

func (b *inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// receive takes a message from a peer; it reports false if it was dropped.
func (b *inbox) receive(m *raftpb.Message, size int) bool {
	b.mu.Lock()
	full := b.inflow+int64(size) > maxInflow && b.inflow > 0
	if !full {
		b.messages = append(b.messages, m)
		b.inflow += int64(size)
	}
	b.mu.Unlock()
	b.signal()
	return !full
}

// respond takes messages of this member to itself, which are never dropped.
func (b *inbox) respond(ms []*raftpb.Message) {
	b.mu.Lock()
	b.messages = append(b.messages, ms...)
	b.mu.Unlock()
	b.signal()
}

func (b *inbox) request(f func()) {
	b.mu.Lock()
	b.requests = append(b.requests, f)
	b.mu.Unlock()
	b.signal()
}

func (b *inbox) take() (messages []*raftpb.Message, requests []func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	messages, requests = b.messages, b.requests
	b.messages, b.requests, b.inflow = nil, nil, 0
	return messages, requests
}

// work is a storage message for one of the two workers, or the order to install
// the snapshot of one.
type work struct {
	message *raftpb.Message
	install *installation
}

// workQueue carries work to one worker, in order and without loss.
type workQueue struct {
	wake chan struct{}
	mu   sync.Mutex
	work []work
}

func (q *workQueue) push(w work) {
	q.mu.Lock()
	q.work = append(q.work, w)
	q.mu.Unlock()
	q.signal()
}

func (q *workQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next waits for work or a signal and returns all the work there is; false when
// ctx ends.
func (q *workQueue) next(ctx context.Context) ([]work, bool) {
	batch := q.take()
	if len(batch) == 0 {
		select {
		case <-q.wake:
			batch = q.take()
		case <-ctx.Done():
		}
	}
	return batch, ctx.Err() == nil
}

func (q *workQueue) take() []work {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch := q.work
	q.work = nil
	return batch
}

// loopState is what the loop alone knows.
type loopState struct {
	ticks    uint64
	frameSeq uint64
	term     uint64
	leader   uint64
	role     raft.StateType
	ledSince uint64 // tick at which this member was elected
	stalled  bool   // see watchStall
	silent   bool   // likewise: no heartbeats go out
	handOver uint64 // term in which leadership was offered because of a stall
}

func (n *Node) runLoop() {
	defer n.recoverBroken("raft loop")
	ticker := time.NewTicker(n.cfg.TickInterval)
	defer ticker.Stop()
	if err := n.campaignAlone(); err != nil {
		n.fail(err)
		return
	}
	for {
		n.turn(&n.loop)
		select {
		case <-n.ctx.Done():
			return
		case <-ticker.C:
			n.tick(&n.loop)
		case <-n.inbox.wake:
		}
	}
}

// campaignAlone makes the only voter leader at once: nobody else can win.
func (n *Node) campaignAlone() error {
	if ms := n.membership(); ms.voters() != 1 || !isVoter(ms, n.id) {
		return nil
	}
	if err := n.raft.Campaign(); err != nil {
		return fmt.Errorf("raftstore: campaign: %w", err)
	}
	return nil
}

// turn does all there is to do now: what came in, what waits, and everything
// that follows from it.
func (n *Node) turn(st *loopState) {
	n.counters.turns.Add(1)
	n.step()
	n.handleReady(st)
	// Each gets its chance in every turn, so that none can starve another.
	framed, changed, asked := n.frameProposals(st), n.proposeChange(st), n.sendReads(st)
	if framed || changed || asked {
		n.handleReady(st)
	}
	if n.takingSnapshot {
		n.takingSnapshot = false
		n.snapshotDone() // raft did not want it
	}
	n.publish()
}

// tick moves the raft clock.
func (n *Node) tick(st *loopState) {
	st.ticks++
	n.noteActive(st)
	n.raft.Tick()
	n.watchStall(st)
	n.attachMembers(st)
}

// step feeds raft what came in.
func (n *Node) step() {
	messages, requests := n.inbox.take()
	for _, f := range requests {
		f()
	}
	for _, m := range messages {
		if m.GetType() == raftpb.MsgReadIndex && !n.mayConfirmReads() {
			continue // it is asked again
		}
		if !raft.IsLocalMsgTarget(m.GetFrom()) && m.GetFrom() != n.id {
			n.recorder.message("in ", m)
		}
		// Errors are for messages that no longer matter, like those of a
		// member that raft does not know.
		_ = n.raft.Step(m)
	}
}

// frameProposals moves waiting commands into the log when this member leads and
// the disk keeps up. It reports whether raft has something new.
func (n *Node) frameProposals(st *loopState) bool {
	if n.proposals.empty() {
		return false
	}
	if st.role != raft.StateLeader {
		n.proposals.refuse(ErrDropped)
		return false
	}
	if n.raft.BasicStatus().LeadTransferee != 0 {
		return false // raft would refuse; whoever leads next takes them
	}
	if n.inFlight.Load() >= maxAppendsInFlight || n.open.size() > n.cfg.MaxUncommittedBytes {
		return false // the append or apply goroutine wakes the loop
	}
	calls := n.proposals.take()
	if len(calls) == 0 {
		return false
	}
	st.frameSeq++
	f := frame{origin: n.id, incarnation: n.incarnation, seq: st.frameSeq, stamp: n.cfg.Now().UnixNano()}
	for _, c := range calls {
		f.cmds = append(f.cmds, c.cmd)
	}
	data := f.encode()
	n.open.add(openFrame{seq: f.seq, term: st.term, size: int64(len(data)), framed: time.Now(), calls: calls})
	err := n.raft.Step(&raftpb.Message{
		Type:    raftpb.MsgProp.Enum(),
		From:    new(n.id),
		Entries: []*raftpb.Entry{{Data: data}},
	})
	if err != nil {
		n.open.refused(f.seq) // never entered the log
		return false
	}
	n.counters.frames.Add(1)
	n.counters.commands.Add(uint64(len(calls)))
	if !n.proposals.empty() {
		n.inbox.signal()
	}
	return true
}

// mayConfirmReads is false while this member leads without having applied what
// earlier leaders committed: its commit index may then be too low to read at.
// Raft looks after that itself, but not where there is only one voter.
func (n *Node) mayConfirmReads() bool {
	bs := n.raft.BasicStatus() // it may have been elected within this turn
	return bs.RaftState != raft.StateLeader || n.lead.began == bs.GetTerm()
}

// sendReads asks for confirmation of the next read round, or again for that of
// the running one if its answer seems lost.
func (n *Node) sendReads(st *loopState) bool {
	if !n.mayConfirmReads() {
		return false
	}
	retry := n.reads.overdue(st.ticks, uint64(n.cfg.HeartbeatTicks))
	if st.leader == 0 || (!n.reads.start() && !retry) {
		return false
	}
	n.counters.readRequests.Add(1)
	n.raft.ReadIndex(n.reads.newKey(n.id, n.incarnation, st.ticks))
	return true
}

func (n *Node) handleReady(st *loopState) {
	for n.raft.HasReady() {
		rd := n.raft.Ready()
		n.noteState(st)
		for _, rs := range rd.ReadStates {
			if n.reads.confirm(rs.RequestCtx, n.id, n.incarnation, rs.Index) {
				n.counters.readRounds.Add(1)
			}
		}
		for _, m := range rd.Messages {
			n.dispatch(m)
		}
	}
}

// dispatch sends a message where raft wants it.
func (n *Node) dispatch(m *raftpb.Message) {
	switch to := m.GetTo(); to {
	case raft.LocalAppendThread:
		if len(m.GetEntries()) > 0 {
			n.inFlight.Add(1)
		}
		if m.GetSnapshot() != nil {
			n.takingSnapshot = false // the append goroutine ends it
		}
		n.appends.push(work{message: m})
	case raft.LocalApplyThread:
		n.applies.push(work{message: m})
	case n.id:
		n.inbox.respond([]*raftpb.Message{m})
	default:
		if m.GetType() == raftpb.MsgSnap {
			n.sendSnapshot(m)
			return
		}
		if m.GetType() == raftpb.MsgHeartbeat && n.loop.silent {
			return
		}
		n.send(m)
	}
}

// send encodes a message for a peer. The append goroutine uses it too.
func (n *Node) send(m *raftpb.Message) {
	n.recorder.message("out", m)
	data, err := proto.Marshal(m)
	if err != nil {
		n.fail(fmt.Errorf("raftstore: encode %s: %w", m.GetType(), err))
		return
	}
	n.cfg.Transport.Send(Message{To: m.GetTo(), Bulk: len(m.GetEntries()) > 0, Data: data})
}

// noteState follows changes of term, role and leader.
func (n *Node) noteState(st *loopState) {
	bs := n.raft.BasicStatus()
	term, role, leader := bs.GetTerm(), bs.RaftState, bs.Lead
	if term == st.term && role == st.role && leader == st.leader {
		return
	}
	if (role != raft.StateLeader || term != st.term) && st.role == raft.StateLeader {
		n.lead.end()
	}
	if leader != st.leader && leader != 0 {
		n.counters.leaderChanges.Add(1)
		n.log.Info("raftstore: leader changed", "member", fmt.Sprintf("%x", n.id),
			"leader", fmt.Sprintf("%x", leader), "term", term)
	}
	if leader == 0 && st.leader != 0 {
		n.log.Warn("raftstore: leader lost", "member", fmt.Sprintf("%x", n.id),
			"leader", fmt.Sprintf("%x", st.leader), "term", term)
	}
	n.recorder.note("term", term)
	if leader != st.leader {
		n.recorder.note("leader", leader)
		n.events.publish(Event{Kind: EventLeader, Time: time.Now(), Term: term, Leader: leader})
		// What was asked of the old leader may never be answered.
		n.reads.sentAt, n.reads.tries = 0, 0
	}
	st.term, st.role, st.leader = term, role, leader
	n.leader.set(leader)
	if role == raft.StateLeader {
		n.lead.await(term)
		st.ledSince = st.ticks
	}
}

// noteActive notes which members a leader has heard of, just before raft may
// forget: it starts to count anew at every election timeout.
func (n *Node) noteActive(st *loopState) {
	clear(n.heardOf)
	if st.role != raft.StateLeader {
		return
	}
	n.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if pr.RecentActive {
			n.heardOf[id] = true
		}
	})
}

// isActive reports whether a leader has heard of a member lately.
func (n *Node) isActive(id uint64, pr tracker.Progress) bool {
	return id == n.id || pr.RecentActive || n.heardOf[id]
}

// transfer runs on the loop.
func (n *Node) transfer(to uint64) {
	st := n.raft.Status()
	if st.RaftState != raft.StateLeader {
		return
	}
	if to == 0 {
		var best uint64
		for id, pr := range st.Progress {
			if id != n.id && !pr.IsLearner && n.isActive(id, pr) && (to == 0 || pr.Match > best || pr.Match == best && id < to) {
				to, best = id, pr.Match
			}
		}
	}
	if to != 0 && to != n.id {
		n.raft.TransferLeader(to)
	}
}

// recoverBroken turns a panic, which raft uses for broken invariants, into the
// end of this node rather than of the process.
func (n *Node) recoverBroken(where string) {
	if p := recover(); p != nil {
		n.fail(fmt.Errorf("%w: %s: %v", ErrCorrupt, where, p))
	}
}

// leadRun runs Config.Lead while this member leads. Owned by the loop, but for
// stop.
type leadRun struct {
	term   uint64 // term that was won and whose first entry is not yet applied
	began  uint64 // term in which this member leads with all of before applied
	cancel context.CancelFunc
	ended  chan struct{} // of the latest run
}

// await notes that term was won.
func (r *leadRun) await(term uint64) { r.term = term }

// begin starts f for a term whose first entry is applied.
func (r *leadRun) begin(ctx context.Context, term uint64, f func(context.Context, uint64)) {
	if r.term != term {
		return
	}
	r.term, r.began = 0, term
	if f == nil {
		return
	}
	ctx, r.cancel = context.WithCancel(ctx)
	before, ended := r.ended, make(chan struct{})
	r.ended = ended
	go func() {
		defer close(ended)
		if before != nil {
			<-before
		}
		if ctx.Err() == nil {
			f(ctx, term)
		}
	}()
}

// end tells the running f that leadership is over.
func (r *leadRun) end() {
	r.term, r.began = 0, 0
	if r.cancel != nil {
		r.cancel()
		r.cancel = nil
	}
}

// stop ends f and waits for it, after the loop has ended.
func (r *leadRun) stop() {
	r.end()
	if r.ended != nil {
		<-r.ended
	}
}

// handler is the Node as its transport sees it.
type handler struct{ n *Node }

func (h handler) Receive(from uint64, data []byte) error {
	m := new(raftpb.Message)
	if err := proto.Unmarshal(data, m); err != nil {
		return fmt.Errorf("decode message from %x: %w", from, err)
	}
	if m.GetFrom() != from || m.GetTo() != h.n.id || m.GetType() == raftpb.MsgSnap || raft.IsLocalMsg(m.GetType()) || m.GetType() == raftpb.MsgProp {
		return fmt.Errorf("%w: %s from %x to %x came from %x", ErrMismatch, m.GetType(), m.GetFrom(), m.GetTo(), from)
	}
	if h.n.ctx.Err() != nil {
		return ErrStopped
	}
	h.n.inbox.receive(m, len(data))
	return nil
}

func (h handler) Unreachable(id uint64) {
	h.n.inbox.request(func() { h.n.raft.ReportUnreachable(id) })
}

func (h handler) ServeForward(ctx context.Context, requests [][]byte) []Outcome {
	return h.n.serveForward(ctx, requests)
}

var errNotLeader = fmt.Errorf("%w: not the leader", ErrDropped)

func (n *Node) serveForward(ctx context.Context, requests [][]byte) []Outcome {
	outs := make([]Outcome, len(requests))
	calls := make([]*call, len(requests))
	byKind := make(map[callKind][]*call)
	for i, r := range requests {
		if len(r) == 0 {
			outs[i].Err = ErrDropped
			continue
		}
		calls[i] = newCall(callKind(r[0]), r[1:])
		byKind[calls[i].kind] = append(byKind[calls[i].kind], calls[i])
	}
	leader, _ := n.leader.get()
	for kind, calls := range byKind {
		err := errNotLeader
		if q := n.queueFor(kind); q != nil && leader == n.id {
			err = q.push(calls...)
		}
		if err != nil {
			answer(calls, Outcome{Err: err})
		}
	}
	n.inbox.signal()
	for i, c := range calls {
		if c != nil {
			outs[i] = n.await(ctx, n.queueFor(c.kind), c)
		}
	}
	return outs
}

// queueFor returns where a leader's calls of that kind wait; nil if there is no
// such kind.
func (n *Node) queueFor(kind callKind) *callQueue {
	switch kind {
	case callCommand:
		return &n.proposals
	case callChange:
		return &n.changes
	default:
		return nil
	}
}

// onLoop runs f on the loop and waits for it.
func (n *Node) onLoop(f func()) error {
	if n.solo {
		f()
		return nil
	}
	done := make(chan struct{})
	n.inbox.request(func() {
		defer close(done)
		f()
	})
	select {
	case <-done:
		return nil
	case <-n.ctx.Done():
		return ErrStopped
	}
}

func isVoter(ms membership, id uint64) bool {
	m, ok := ms.member(id)
	return ok && !m.Learner
}
