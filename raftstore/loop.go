package raftstore

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"
)

// loopState is what the loop alone knows.
type loopState struct {
	ticks    uint64
	frameSeq uint64
	term     uint64
	leader   uint64
	role     raft.StateType
	ledSince uint64            // tick at which this member was elected
	stalled  bool              // see watchStall
	silent   bool              // likewise: no heartbeats go out
	handOver uint64            // term in which leadership was offered because of a stall
	out      []*raftpb.Message // what raft wants sent, at the end of the turn
}

// maxRounds is how many turns of the loop a goroutine takes that has other things
// to do.
const maxRounds = 4

// stir has the loop take a turn, in this goroutine unless another one is at it,
// which then takes one more. So what comes in from callers, peers and workers needs
// no goroutine to be woken before it moves on.
func (n *Node) stir() {
	n.asked.Store(true)
	for rounds := 0; n.asked.Load(); rounds++ {
		if rounds == maxRounds || n.solo {
			n.inbox.signal()
			return
		}
		if !n.turning.TryLock() {
			return // whoever has it looks again after it has unlocked
		}
		n.whileTurning(func() {
			n.asked.Store(false)
			n.turn(&n.loop)
		})
	}
}

// whileTurning runs f, unless the node has ended, and unlocks turning.
func (n *Node) whileTurning(f func()) {
	defer n.turning.Unlock()
	defer n.recoverBroken("raft loop")
	if n.ctx.Err() == nil {
		f()
	}
}

// runLoop turns the loop for what nobody waits for: the clock, and what others
// leave.
func (n *Node) runLoop() {
	ticker := time.NewTicker(n.cfg.TickInterval)
	defer ticker.Stop()
	n.turning.Lock()
	n.whileTurning(func() {
		if err := n.campaignAlone(); err != nil {
			n.fail(err)
		}
	})
	for {
		n.stir()
		select {
		case <-n.ctx.Done():
			return
		case <-ticker.C:
			n.turning.Lock()
			n.whileTurning(func() { n.tick(&n.loop) })
		case <-n.hold.timer.C:
			n.turning.Lock()
			n.whileTurning(func() { n.hold.over = true })
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
	n.dispatch(st.out)
	clear(st.out)
	st.out = st.out[:0]
	if n.takingSnapshot {
		n.takingSnapshot = false
		n.snapshotDone() // raft did not want it
	}
	n.publish()
}

// tick moves the raft clock.
func (n *Node) tick(st *loopState) {
	st.ticks++
	n.hold.over = true
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

// mayFrame reports whether the next frame may go into the log: when the disk keeps
// up, and commands need not wait for more to come.
func (n *Node) mayFrame() bool {
	return n.inFlight.Load() < maxAppendsInFlight && n.open.size() <= n.cfg.MaxUncommittedBytes &&
		n.hold.lets(n.raft.BasicStatus().GetCommit())
}

// frameProposals moves waiting commands into the log when this member leads. It
// reports whether raft has something new.
func (n *Node) frameProposals(st *loopState) bool {
	n.hold.on.Store(false)
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
	if !n.mayFrame() {
		// A commit turns the loop, the append or apply goroutine, or the timer.
		n.hold.on.Store(true)
		return false
	}
	calls := n.proposals.take()
	if len(calls) == 0 {
		return false
	}
	n.hold.framed()
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
		n.stir()
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
		st.out = append(st.out, rd.Messages...)
	}
}

// dispatch sends messages where raft wants them. One that tells of nothing but a new
// commit index is left out if entries that come with it follow.
func (n *Node) dispatch(ms []*raftpb.Message) {
	for i, m := range ms {
		switch to := m.GetTo(); to {
		case raft.LocalAppendThread:
			n.handAppend(m)
		case raft.LocalApplyThread:
			n.applies.push(work{message: m})
		case n.id:
			n.inbox.respond([]*raftpb.Message{m})
			n.stir()
		default:
			if !slices.ContainsFunc(ms[i+1:], func(later *raftpb.Message) bool { return includes(later, m) }) {
				n.sendOut(m)
			}
		}
	}
}

// sendOut sends a message to another member.
func (n *Node) sendOut(m *raftpb.Message) {
	switch {
	case m.GetType() == raftpb.MsgSnap:
		n.sendSnapshot(m)
	case m.GetType() == raftpb.MsgHeartbeat && n.loop.silent:
	default:
		n.send(m)
	}
}

// includes reports whether a message tells all that an earlier one does.
func includes(later, m *raftpb.Message) bool {
	return m.GetType() == raftpb.MsgApp && later.GetType() == raftpb.MsgApp && m.GetTo() == later.GetTo() &&
		m.GetTerm() == later.GetTerm() && m.GetIndex() == later.GetIndex() &&
		len(m.GetEntries()) == 0 && m.GetCommit() <= later.GetCommit()
}

// handAppend gives a storage message to the append goroutine, unless there is
// nothing to be stored now: with a new commit index the answers go out at once.
func (n *Node) handAppend(m *raftpb.Message) {
	if n.appendsLeft.Load() == 0 && m.GetSnapshot() == nil &&
		n.raftLog.idle(m.GetEntries(), hardState(m), len(m.GetResponses()) > 0) {
		responses := m.GetResponses()
		if h := hardState(m); h != nil {
			n.raftLog.lastHard = *h
			responses = slices.DeleteFunc(slices.Clone(responses), n.acks.repeats)
		}
		n.release(responses)
		n.stir()
		return
	}
	if entries := m.GetEntries(); len(entries) > 0 {
		n.hold.last = entries[len(entries)-1].GetIndex()
		n.inFlight.Add(1)
	}
	if m.GetSnapshot() != nil {
		n.takingSnapshot = false // the append goroutine ends it
	}
	n.appendsLeft.Add(1)
	n.appends.push(work{message: m})
}

// acks remembers the latest acknowledgement of entries. A leader that tells of a
// new commit index and no entries gets an answer that repeats it, which is for
// nothing, but wakes the leader for each group. It is left out then. Should the
// acknowledgement itself have been lost, the leader asks again after the next
// heartbeat, with no new commit index, and is answered.
type acks struct {
	mu              sync.Mutex
	to, term, index uint64
}

func (a *acks) note(m *raftpb.Message) {
	if m.GetType() != raftpb.MsgAppResp || m.GetReject() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.to, a.term, a.index = m.GetTo(), m.GetTerm(), m.GetIndex()
}

func (a *acks) repeats(m *raftpb.Message) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return m.GetType() == raftpb.MsgAppResp && !m.GetReject() &&
		a.to == m.GetTo() && a.term == m.GetTerm() && a.index == m.GetIndex()
}

// send encodes a message for a peer. The append goroutine uses it too.
func (n *Node) send(m *raftpb.Message) {
	n.acks.note(m)
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
