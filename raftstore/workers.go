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
		work := n.appends.next(n.ctx)
		if work == nil {
			return
		}
		if err := n.appendGroup(work); err != nil {
			n.fail(err)
			return
		}
	}
}

func (n *Node) appendGroup(work []*raftpb.Message) error {
	var entries []*raftpb.Entry
	var hard *HardState
	sync := false
	holding := int32(0)
	for _, m := range work {
		if es := m.GetEntries(); len(es) > 0 {
			holding++
			entries = mergeEntries(entries, es)
		}
		if m.Term != nil { // raft sets the three fields together or not at all
			hard = &HardState{Term: m.GetTerm(), Vote: m.GetVote(), Commit: m.GetCommit()}
		}
		sync = sync || len(m.GetResponses()) > 0
	}
	if err := n.raftLog.append(entries, hard, sync); err != nil {
		return err
	}
	n.inFlight.Add(-holding)
	for _, m := range work {
		n.release(m.GetResponses())
	}
	return nil
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
		if r.GetTo() == n.self.ID {
			own = append(own, r)
		} else {
			n.send(r)
		}
	}
	if len(own) > 0 {
		n.inbox.respond(own)
	}
}

// runApplies feeds committed entries to the state machine, from after pos on.
func (n *Node) runApplies(pos Position) {
	defer n.recoverBroken("state machine")
	announced := uint64(0) // the term that the loop knows to be applied
	for {
		work := n.applies.next(n.ctx)
		if work == nil {
			return
		}
		var entries []*raftpb.Entry
		for _, m := range work {
			entries = append(entries, m.GetEntries()...)
		}
		for len(entries) > 0 {
			batch := cutBatch(entries)
			if err := n.applyBatch(batch, &pos); err != nil {
				n.fail(err)
				return
			}
			entries = entries[len(batch):]
		}
		for _, m := range work {
			n.release(m.GetResponses())
		}
		if term := pos.Term; term != announced {
			announced = term
			n.inbox.request(func() { n.lead.begin(n.ctx, term, n.cfg.Lead) })
		}
	}
}

// cutBatch takes as many entries as one Apply should get.
func cutBatch(entries []*raftpb.Entry) []*raftpb.Entry {
	size := 0
	for i, e := range entries {
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
	n.applied.advance(pos.Index)
	for i, f := range frames {
		n.open.termApplied(entries[i].GetTerm())
		mine := results[:len(f.cmds)]
		results = results[len(f.cmds):]
		if f.origin == n.self.ID && f.incarnation == n.incarnation {
			n.open.applied(f.seq, entries[i].GetIndex(), mine)
		}
	}
	return nil
}

func commandsOf(e *raftpb.Entry) (frame, error) {
	if e.GetType() != raftpb.EntryNormal {
		return frame{}, fmt.Errorf("%w: log entry %d is of kind %s", ErrCorrupt, e.GetIndex(), e.GetType())
	}
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
