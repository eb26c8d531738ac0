package raftstore

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// runAppends writes what raft wants on disk: all that waits as one group, with
// one sync if anybody is to hear of it, and only then lets the answers out.
func (n *Node) runAppends() {
	defer n.recoverBroken("log append")
	for {
		batch, ok := n.appends.next(n.ctx)
		if !ok {
			return
		}
		var err error
		n.counters.append.observe(n.appending.during(func() { err = n.appendTurn(batch) }))
		if err != nil {
			if n.ctx.Err() == nil {
				n.fail(err)
			}
			return
		}
		n.stir()
	}
}

func (n *Node) appendTurn(batch []work) error {
	if err := n.appendAll(batch); err != nil {
		return err
	}
	n.appendsLeft.Add(-int32(len(batch)))
	if to := n.trim.Swap(0); to > 0 {
		if err := n.raftLog.trim(to); err != nil {
			return fmt.Errorf("raftstore: %w", err)
		}
		n.counters.truncations.Add(1)
	}
	return nil
}

// appendAll writes messages in groups that end where a snapshot comes.
func (n *Node) appendAll(batch []work) error {
	var group []*raftpb.Message
	for _, w := range batch {
		if w.message.GetSnapshot() == nil {
			group = append(group, w.message)
			continue
		}
		if err := n.appendGroup(group); err != nil {
			return err
		}
		group = nil
		if err := n.installSnapshot(w.message); err != nil {
			return err
		}
		group = append(group, w.message) // for what it holds besides
	}
	return n.appendGroup(group)
}

func (n *Node) appendGroup(group []*raftpb.Message) error {
	if len(group) == 0 {
		return nil
	}
	var entries []*raftpb.Entry
	var hard *HardState
	promised := false
	holding := int32(0)
	for _, m := range group {
		if es := m.GetEntries(); len(es) > 0 {
			holding++
			entries = mergeEntries(entries, es)
		}
		if h := hardState(m); h != nil {
			hard = h
		}
		promised = promised || len(m.GetResponses()) > 0
	}
	if err := n.raftLog.append(entries, hard, promised); err != nil {
		return fmt.Errorf("raftstore: %w", err)
	}
	n.inFlight.Add(-holding)
	for _, m := range group {
		n.release(m.GetResponses())
	}
	return nil
}

// hardState returns the hard state that a storage message carries, or nil: raft
// sets the three fields together or not at all.
func hardState(m *raftpb.Message) *HardState {
	if m.Term == nil {
		return nil
	}
	return &HardState{Term: m.GetTerm(), Vote: m.GetVote(), Commit: m.GetCommit()}
}

// mergeEntries appends a later group to an earlier one, of which it may replace
// the end.
func mergeEntries(entries, later []*raftpb.Entry) []*raftpb.Entry {
	first := later[0].GetIndex()
	for len(entries) > 0 && entries[len(entries)-1].GetIndex() >= first {
		entries = entries[:len(entries)-1]
	}
	return append(entries, later...)
}

// release lets out the answers that waited for a storage message.
func (n *Node) release(responses []*raftpb.Message) {
	var own []*raftpb.Message
	for _, r := range responses {
		if r.GetTo() == n.id {
			own = append(own, r)
		} else {
			n.send(r)
		}
	}
	if len(own) > 0 {
		n.inbox.respond(own)
	}
}

// runApplies feeds committed entries to the state machine.
func (n *Node) runApplies() {
	defer n.recoverBroken("state machine")
	for {
		batch, ok := n.applies.next(n.ctx)
		if !ok {
			return
		}
		var err error
		n.counters.apply.observe(n.applying.during(func() { err = n.applyTurn(batch) }))
		if err != nil {
			if n.ctx.Err() == nil {
				n.fail(err)
			}
			return
		}
		n.stir()
	}
}

func (n *Node) applyTurn(batch []work) error {
	if err := n.applyAll(batch, &n.pos); err != nil {
		return err
	}
	if term := n.pos.Term; term != n.announced {
		n.announced = term
		n.inbox.request(func() { n.lead.begin(n.ctx, term, n.cfg.Lead) })
	}
	return nil
}

// applyAll works off a batch. All entries up to a snapshot are applied together.
func (n *Node) applyAll(batch []work, pos *Position) error {
	var entries []*raftpb.Entry
	for _, w := range batch {
		if w.install == nil {
			entries = append(entries, w.message.GetEntries()...)
			continue
		}
		if err := n.applyEntries(entries, pos); err != nil {
			return err
		}
		entries = nil
		installed, err := n.switchTo(w.install.snapshot)
		w.install.done <- err
		if err != nil {
			return err
		}
		*pos = installed
	}
	if err := n.applyEntries(entries, pos); err != nil {
		return err
	}
	for _, w := range batch {
		n.release(w.message.GetResponses()) // an installation has none
	}
	return nil
}

func (n *Node) applyEntries(entries []*raftpb.Entry, pos *Position) error {
	for len(entries) > 0 {
		batch := cutBatch(entries)
		var err error
		if batch[0].GetType() == raftpb.EntryNormal {
			err = n.applyBatch(batch, pos)
		} else {
			err = n.applyChange(batch[0], pos)
		}
		if err != nil {
			return err
		}
		entries = entries[len(batch):]
	}
	return nil
}

// cutBatch takes as many entries as one Apply should get. A change of
// membership stands alone.
func cutBatch(entries []*raftpb.Entry) []*raftpb.Entry {
	size := 0
	for i, e := range entries {
		if e.GetType() != raftpb.EntryNormal {
			return entries[:max(i, 1)]
		}
		if size += len(e.GetData()); size > maxFrameBytes && i > 0 {
			return entries[:i]
		}
	}
	return entries
}

// applyBatch applies entries as one batch and settles their callers.
func (n *Node) applyBatch(entries []*raftpb.Entry, pos *Position) error {
	var cmds []Command
	frames := make([]frame, 0, len(entries))
	for _, e := range entries {
		f, err := commandsOf(e)
		if err != nil {
			return err
		}
		for seq, data := range f.cmds {
			cmds = append(cmds, Command{Index: e.GetIndex(), Seq: seq, Stamp: f.stamp, Data: data})
		}
		frames = append(frames, f)
	}
	last := entries[len(entries)-1]
	pos.Index, pos.Term = last.GetIndex(), last.GetTerm()
	results, err := n.cfg.StateMachine.Apply(cmds, *pos)
	if err != nil {
		return fmt.Errorf("raftstore: apply up to index %d: %w", pos.Index, err)
	}
	if len(results) != len(cmds) {
		return fmt.Errorf("raftstore: state machine returned %d results for %d commands", len(results), len(cmds))
	}
	n.setApplied(*pos)
	for i, f := range frames {
		n.open.termApplied(entries[i].GetTerm())
		mine := results[:len(f.cmds)]
		results = results[len(f.cmds):]
		if f.origin == n.id && f.incarnation == n.incarnation {
			n.open.applied(f.seq, entries[i].GetIndex(), mine, &n.counters.commit)
		}
	}
	return nil
}

// setApplied publishes how far the state machine has come.
func (n *Node) setApplied(pos Position) {
	n.position.Store(&pos)
	n.applied.advance(pos.Index)
}

func commandsOf(e *raftpb.Entry) (frame, error) {
	if len(e.GetData()) == 0 { // a new leader's first entry
		return frame{}, nil
	}
	f, err := decodeFrame(e.GetData())
	if err != nil {
		return frame{}, fmt.Errorf("%w: log entry %d: %v", ErrCorrupt, e.GetIndex(), err)
	}
	return f, nil
}

var _ raft.Logger = raftLogger{}
