package raftstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"
)

// maxPromoteLag is how many log entries a learner may lag behind to be made a
// voter.
const maxPromoteLag = 1000

// AddLearner adds a member without a vote, which then is to be opened with
// Config.Join. Its id is drawn at random and returned. Errors: ErrMemberExists
// if a member has one of the URLs, and those of Propose.
func (n *Node) AddLearner(ctx context.Context, name string, urls []string) (Member, error) {
	m := Member{Name: name, PeerURLs: slices.Sorted(slices.Values(urls)), Learner: true}
	return n.changeMembership(ctx, change{Op: opAdd, Member: m})
}

// Promote gives a learner a vote. Errors: ErrUnknownMember, ErrMemberExists if
// it is a voter, ErrNotCaughtUp, ErrWouldLoseQuorum, and those of Propose.
func (n *Node) Promote(ctx context.Context, id uint64) error {
	_, err := n.changeMembership(ctx, change{Op: opPromote, Member: Member{ID: id}})
	return err
}

// Remove takes a member out of the cluster for good. Its id is never used again
// and it stops when it learns of that. Errors: ErrUnknownMember, ErrRemoved if it
// is gone already, ErrWouldLoseQuorum, and those of Propose.
func (n *Node) Remove(ctx context.Context, id uint64) error {
	if n.membership().removed(id) {
		return fmt.Errorf("%w: %x", ErrRemoved, id)
	}
	_, err := n.changeMembership(ctx, change{Op: opRemove, Member: Member{ID: id}})
	return err
}

// UpdatePeer changes the URLs of a member. Errors: ErrUnknownMember,
// ErrMemberExists if another member has one of the URLs, and those of Propose.
func (n *Node) UpdatePeer(ctx context.Context, id uint64, urls []string) error {
	_, err := n.changeMembership(ctx, change{Op: opUpdate, Member: Member{ID: id, PeerURLs: urls}})
	return err
}

func (n *Node) changeMembership(ctx context.Context, c change) (Member, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return Member{}, err
	}
	out := n.route(ctx, callChange, data)
	if out.Err != nil {
		return Member{}, fmt.Errorf("%s member: %w", c.Op, out.Err)
	}
	var r changeResult
	if err := json.Unmarshal(out.Result, &r); err != nil {
		return Member{}, fmt.Errorf("%w: answer to a change of membership: %v", ErrCorrupt, err)
	}
	if err := r.err(); err != nil {
		return Member{}, fmt.Errorf("%s member: %w", c.Op, err)
	}
	return r.Member, nil
}

// changeResult is the answer to a change.
type changeResult struct {
	Member Member
	Error  string `json:",omitempty"` // the text of one of changeErrors, or any
	Detail string `json:",omitempty"`
}

var changeErrors = []error{
	ErrMemberExists, ErrUnknownMember, ErrNotCaughtUp, ErrWouldLoseQuorum, ErrOtherStorage,
}

func refusal(err error) changeResult {
	r := changeResult{Error: "refused", Detail: err.Error()}
	for _, e := range changeErrors {
		if errors.Is(err, e) {
			r.Error = e.Error()
		}
	}
	return r
}

func (r changeResult) encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // plain structs of strings and integers always marshal
	}
	return b
}

func (r changeResult) err() error {
	if r.Error == "" {
		return nil
	}
	for _, e := range changeErrors {
		if e.Error() == r.Error {
			return detailed{e, r.Detail}
		}
	}
	return errors.New(r.Detail)
}

// detailed is a sentinel with the text it had where it arose.
type detailed struct {
	error
	text string
}

func (d detailed) Error() string { return d.text }
func (d detailed) Unwrap() error { return d.error }

// proposeChange takes the next waiting change to the log, one at a time: raft
// wants each applied before the next. It runs on the loop and reports whether
// raft has something new.
func (n *Node) proposeChange(st *loopState) bool {
	if n.changes.empty() {
		return false
	}
	if st.role != raft.StateLeader {
		n.changes.refuse(ErrDropped)
		return false
	}
	if n.lead.began != st.term {
		return false // not before what earlier leaders did is applied
	}
	var c change
	waiting := n.changes.peek()
	err := json.Unmarshal(waiting, &c)
	if err == nil {
		err = n.admitChange(&c)
	}
	if unproven(err) && st.ticks-st.ledSince < uint64(n.cfg.ElectionTicks) {
		return false // a new leader has not yet heard of everybody
	}
	calls := n.changes.takeOne()
	if len(calls) == 0 {
		return false
	}
	if !bytes.Equal(calls[0].cmd, waiting) {
		answer(calls, Outcome{Err: ErrDropped}) // whose turn it was has left; the next asks again
		return false
	}
	if c.Op == opRemove && c.Member.ID == n.id && n.membership().voters() > 1 {
		// Somebody else has to lead before this member can go; the caller asks
		// the new leader.
		n.transfer(0)
		answer(calls, Outcome{Err: ErrDropped})
		return false
	}
	if err != nil {
		answer(calls, Outcome{Index: n.Status().Applied, Result: refusal(err).encode()})
		return false
	}
	return n.stepChange(st, calls, c)
}

// unproven reports whether a refusal may be for want of news.
func unproven(err error) bool {
	return errors.Is(err, ErrNotCaughtUp) || errors.Is(err, ErrWouldLoseQuorum)
}

// admitChange refuses what only the leader can see to be unwise, and draws the
// id of a new member.
func (n *Node) admitChange(c *change) error {
	if c.Op == opAdd {
		id, err := n.cfg.randomID()
		if err != nil {
			return err
		}
		c.Member.ID = id >> 1 // 63 bits: fits what counts with signs
	}
	next, err := n.membership().apply(*c)
	if err != nil {
		return err
	}
	if c.Op != opPromote && c.Op != opRemove {
		return nil
	}
	// Its disk has to be on record first, or it could come back without it and
	// vote again.
	if m, _ := next.member(c.Member.ID); c.Op == opPromote && m.Storage == 0 {
		return fmt.Errorf("%w: the disk of member %x is not on record yet", ErrNotCaughtUp, c.Member.ID)
	}
	st := n.raft.Status()
	if pr := st.Progress[c.Member.ID]; c.Op == opPromote &&
		(!n.isActive(c.Member.ID, pr) || pr.State != tracker.StateReplicate || pr.Match+maxPromoteLag < st.GetCommit()) {
		return fmt.Errorf("%w: member %x is at index %d of %d", ErrNotCaughtUp, c.Member.ID, pr.Match, st.GetCommit())
	}
	active := 0
	for _, m := range next.Members {
		if !m.Learner && n.isActive(m.ID, st.Progress[m.ID]) {
			active++
		}
	}
	if active <= next.voters()/2 {
		return fmt.Errorf("%w: %d of %d voters would be reachable", ErrWouldLoseQuorum, active, next.voters())
	}
	return nil
}

func (n *Node) stepChange(st *loopState, calls []*call, c change) bool {
	data, err := json.Marshal(c)
	if err != nil {
		answer(calls, Outcome{Err: fmt.Errorf("%w: %w", ErrDropped, err)})
		return false
	}
	st.frameSeq++
	f := frame{origin: n.id, incarnation: n.incarnation, seq: st.frameSeq, stamp: n.cfg.Now().UnixNano(), cmds: [][]byte{data}}
	_, data, err = raftpb.MarshalConfChange(c.confChange(f.encode()))
	if err != nil {
		answer(calls, Outcome{Err: fmt.Errorf("%w: %w", ErrDropped, err)})
		return false
	}
	m := &raftpb.Message{
		Type:    raftpb.MsgProp.Enum(),
		From:    new(n.id),
		Entries: []*raftpb.Entry{{Type: raftpb.EntryConfChangeV2.Enum(), Data: data}},
	}
	n.open.add(openFrame{seq: f.seq, term: st.term, size: int64(len(data)), framed: time.Now(), calls: calls})
	err = n.raft.Step(m)
	// Raft puts an empty entry in the place of a change that it does not want.
	if err != nil || m.GetEntries()[0].GetType() != raftpb.EntryConfChangeV2 {
		n.open.refused(f.seq)
		return err == nil
	}
	return true
}

// applyChange applies a log entry that changes the membership. It runs on the
// apply goroutine.
func (n *Node) applyChange(e *raftpb.Entry, pos *Position) error {
	var cc raftpb.ConfChangeV2
	if err := proto.Unmarshal(e.GetData(), &cc); err != nil {
		return fmt.Errorf("%w: log entry %d: %v", ErrCorrupt, e.GetIndex(), err)
	}
	f, err := decodeFrame(cc.GetContext())
	if err != nil || len(f.cmds) != 1 {
		return fmt.Errorf("%w: log entry %d: %v", ErrCorrupt, e.GetIndex(), errBadFrame)
	}
	var c change
	if err := json.Unmarshal(f.cmds[0], &c); err != nil {
		return fmt.Errorf("%w: log entry %d: %v", ErrCorrupt, e.GetIndex(), err)
	}
	result := changeResult{Member: c.Member}
	next, err := n.membership().apply(c)
	if err != nil {
		result = refusal(err)
	} else {
		n.setMembers(next)
		if err := n.onLoop(func() { n.raft.ApplyConfChange(&cc) }); err != nil {
			return err
		}
		pos.Membership = next.encode()
		n.counters.change.Add(1)
		n.log.Info("raftstore: membership changed", "change", c.Op, "member", fmt.Sprintf("%x", c.Member.ID),
			"name", c.Member.Name, "index", e.GetIndex())
	}
	pos.Index, pos.Term = e.GetIndex(), e.GetTerm()
	if _, err := n.cfg.StateMachine.Apply(nil, *pos); err != nil {
		return fmt.Errorf("raftstore: apply change of membership at index %d: %w", pos.Index, err)
	}
	n.setApplied(*pos)
	n.events.publish(Event{Kind: EventMembership, Time: time.Now(), Index: pos.Index})
	n.open.termApplied(e.GetTerm())
	if f.origin == n.id && f.incarnation == n.incarnation {
		n.open.applied(f.seq, e.GetIndex(), [][]byte{result.encode()}, &n.counters.commit)
	}
	if next.removed(n.id) {
		n.leave(ErrRemoved)
	}
	return nil
}

// setMembers publishes a membership and tells the transport what is different.
func (n *Node) setMembers(ms membership) {
	old := n.membership()
	n.members.Store(&ms)
	for _, m := range ms.Members {
		if m.ID == n.id {
			continue
		}
		if was, ok := old.member(m.ID); !ok || !slices.Equal(was.PeerURLs, m.PeerURLs) {
			n.cfg.Transport.SetPeer(m)
		}
	}
	for _, m := range old.Members {
		if _, ok := ms.member(m.ID); !ok && m.ID != n.id {
			n.cfg.Transport.RemovePeer(m.ID)
		}
	}
}

// leave ends the node because the cluster does not want it.
func (n *Node) leave(err error) {
	n.failOnce.Do(func() {
		n.failure = err
		close(n.failed)
		n.log.Error("raftstore: member stops", "member", fmt.Sprintf("%x", n.id), "err", err)
	})
	n.cancel()
}

// Contact checks who connects.
func (h handler) Contact(from Member) error {
	ms := h.n.membership()
	if ms.removed(from.ID) {
		return ErrRemoved
	}
	m, ok := ms.member(from.ID)
	if !ok {
		// Later than what is applied here. It has to be reachable for an answer.
		if from.ID != h.n.id && len(from.PeerURLs) > 0 {
			h.n.cfg.Transport.SetPeer(from)
		}
		return nil
	}
	if m.Storage != 0 && m.Storage != from.Storage {
		return ErrOtherStorage
	}
	if m.Storage == 0 {
		h.n.inbox.request(func() { h.n.unattached[from.ID] = from.Storage })
	}
	return nil
}

func (h handler) Cluster() Cluster { return h.n.Cluster() }

// Refused ends the node when a peer says that it does not belong any more.
func (h handler) Refused(err error) { h.n.leave(err) }

// attachMembers has the leader record the disks that members were seen with,
// its own included. It runs on the loop, on each tick.
func (n *Node) attachMembers(st *loopState) {
	if st.role != raft.StateLeader || n.lead.began != st.term || !n.changes.empty() {
		return
	}
	n.unattached[n.id] = n.storage
	for _, m := range n.membership().Members {
		storage, seen := n.unattached[m.ID]
		if !seen || m.Storage != 0 {
			delete(n.unattached, m.ID)
			continue
		}
		data, err := json.Marshal(change{Op: opAttach, Member: Member{ID: m.ID, Storage: storage}})
		if err == nil {
			// Nobody waits for the answer; if it is lost the next tick tries again.
			_ = n.changes.push(newCall(callChange, data))
		}
		return
	}
}
