package raftstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// A snapshot travels like this:
//
//	leader's loop      raft wants one sent: sendSnapshot, one at a time
//	task               checkpoint, files to the peer, report to raft
//	receiver           transport writes the files; EndSnapshot gives raft the message
//	receiver's append  raft accepts it: the apply goroutine installs it, then the
//	                   log is emptied, then the answers go out

// snapshots is what a node knows of snapshots under way.
type snapshots struct {
	mu        sync.Mutex
	sending   bool
	receiving bool
	// hold is the position that a snapshot being sent leaves a member at: the
	// log from there on is needed. 0 for none.
	hold uint64
}

// snapshotTimeout bounds the sending of one snapshot.
const snapshotTimeout = 30 * time.Minute

// sendSnapshot starts to send the snapshot that raft asks for in m. It runs on
// the loop.
func (n *Node) sendSnapshot(m *raftpb.Message) {
	n.snaps.mu.Lock()
	busy := n.snaps.sending
	n.snaps.sending = true
	n.snaps.mu.Unlock()
	if busy {
		// Told later, since raft is in the middle of handing out messages.
		n.inbox.request(func() { n.raft.ReportSnapshot(m.GetTo(), raft.SnapshotFailure) })
		return
	}
	n.spawn(func() {
		err := n.carrySnapshot(m)
		n.snaps.mu.Lock()
		n.snaps.sending, n.snaps.hold = false, 0
		n.snaps.mu.Unlock()
		status := raft.SnapshotFinish
		n.counters.snapshotsSent.Add(1)
		if err != nil {
			status = raft.SnapshotFailure
			n.counters.snapshotsUnsent.Add(1)
			if n.ctx.Err() == nil {
				n.log.Warn("raftstore: snapshot not sent", "to", fmt.Sprintf("%x", m.GetTo()), "err", err)
			}
		}
		n.inbox.request(func() { n.raft.ReportSnapshot(m.GetTo(), status) })
	})
}

// carrySnapshot makes a checkpoint and sends it in place of the one that raft
// had in mind, which was a little older.
func (n *Node) carrySnapshot(m *raftpb.Message) error {
	ctx, cancel := context.WithTimeout(n.ctx, snapshotTimeout)
	defer cancel()
	dir := filepath.Join(n.cfg.Dir, fmt.Sprintf("%s%x", outgoingName, m.GetTo()))
	if err := n.cfg.FS.RemoveAll(dir); err != nil {
		return err
	}
	defer n.cfg.FS.RemoveAll(dir)
	start := time.Now()
	pos, err := n.snapshotter.Checkpoint(ctx, dir)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if asked := m.GetSnapshot().GetMetadata().GetIndex(); pos.Index < asked {
		return fmt.Errorf("checkpoint is at index %d, raft wants %d", pos.Index, asked)
	}
	ms, err := decodeMembership(pos.Membership)
	if err != nil {
		return err
	}
	n.snaps.mu.Lock()
	n.snaps.hold = pos.Index
	n.snaps.mu.Unlock()
	m.Snapshot = snapshotAt(pos, ms)
	head, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	if err := n.cfg.Transport.SendSnapshot(ctx, m.GetTo(), head, dir); err != nil {
		return err
	}
	n.log.Info("raftstore: snapshot sent", "to", fmt.Sprintf("%x", m.GetTo()), "index", pos.Index, "took", time.Since(start))
	return nil
}

func snapshotAt(pos Position, ms membership) *raftpb.Snapshot {
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
		Index: new(pos.Index), Term: new(pos.Term), ConfState: ms.confState(),
	}}
}

// decodeHead returns the raft message that goes with a snapshot.
func (n *Node) decodeHead(head []byte) (*raftpb.Message, error) {
	m := new(raftpb.Message)
	if err := proto.Unmarshal(head, m); err != nil {
		return nil, fmt.Errorf("decode snapshot message: %w", err)
	}
	if m.GetType() != raftpb.MsgSnap || m.GetTo() != n.id || m.GetSnapshot().GetMetadata().GetIndex() == 0 {
		return nil, fmt.Errorf("%w: %s to %x is no snapshot for %x", ErrMismatch, m.GetType(), m.GetTo(), n.id)
	}
	return m, nil
}

var errSnapshotBusy = errors.New("raftstore: no snapshot is wanted now")

func (h handler) BeginSnapshot(head []byte) (string, error) {
	m, err := h.n.decodeHead(head)
	if err != nil {
		return "", err
	}
	if h.n.snapshotter == nil {
		return "", errors.New("raftstore: the state machine takes no snapshots")
	}
	if m.GetSnapshot().GetMetadata().GetIndex() <= h.n.Status().Applied {
		return "", fmt.Errorf("%w: it is older than the state", errSnapshotBusy)
	}
	h.n.snaps.mu.Lock()
	defer h.n.snaps.mu.Unlock()
	if h.n.snaps.receiving {
		return "", fmt.Errorf("%w: another one is under way", errSnapshotBusy)
	}
	dir := filepath.Join(h.n.cfg.Dir, incomingDir)
	if err := h.n.cfg.FS.MkdirAll(dir); err != nil {
		return "", err
	}
	h.n.snaps.receiving = true
	return dir, nil
}

// EndSnapshot gives a received snapshot to raft. The next one is let in only
// when raft has installed or ignored this one.
func (h handler) EndSnapshot(head []byte, err error) error {
	n := h.n
	m, derr := n.decodeHead(head)
	if err = errors.Join(err, derr); err != nil {
		n.snapshotDone()
		return err
	}
	n.inbox.request(func() {
		_ = n.raft.Step(m)
		// If raft has taken it, it is handed to the append goroutine in this very
		// turn of the loop, which then says when it is done.
		n.takingSnapshot = true
	})
	return nil
}

func (n *Node) snapshotDone() {
	n.snaps.mu.Lock()
	defer n.snaps.mu.Unlock()
	n.snaps.receiving = false
}

// installation asks the apply goroutine to install the received snapshot.
type installation struct {
	snapshot *raftpb.Snapshot
	done     chan error
}

// installSnapshot runs on the append goroutine: it has the apply goroutine
// switch the state, which by then has applied all it was given, and empties the
// log.
func (n *Node) installSnapshot(m *raftpb.Message) error {
	defer n.snapshotDone()
	in := installation{m.GetSnapshot(), make(chan error, 1)}
	n.applies.push(work{install: &in})
	if n.solo {
		if err := n.applyTurn(n.applies.take()); err != nil {
			return err
		}
	}
	select {
	case err := <-in.done:
		if err != nil {
			return err
		}
	case <-n.ctx.Done():
		return ErrStopped
	}
	meta := in.snapshot.GetMetadata()
	base := LogPosition{Index: meta.GetIndex(), Term: meta.GetTerm()}
	hard := n.raftLog.lastHard
	if h := hardState(m); h != nil {
		hard = *h
	}
	// Entries that come with the snapshot, and may be committed, follow.
	hard.Commit = base.Index
	return n.raftLog.reset(base, hard)
}

// switchTo runs on the apply goroutine.
func (n *Node) switchTo(snap *raftpb.Snapshot) (Position, error) {
	meta := snap.GetMetadata()
	want := LogPosition{Index: meta.GetIndex(), Term: meta.GetTerm()}
	start := time.Now()
	dir, err := switchState(n.cfg.FS, n.cfg.Dir, want)
	if err != nil {
		return Position{}, fmt.Errorf("raftstore: install snapshot at %d: %w", want.Index, err)
	}
	pos, err := n.snapshotter.Install(n.ctx, dir)
	if err != nil {
		return Position{}, fmt.Errorf("raftstore: install snapshot at %d: %w", want.Index, err)
	}
	if got := (LogPosition{Index: pos.Index, Term: pos.Term}); got != want {
		return Position{}, fmt.Errorf("%w: snapshot holds position %v, not %v", ErrCorrupt, got, want)
	}
	ms, err := decodeMembership(pos.Membership)
	if err != nil {
		return Position{}, err
	}
	// Who waits for a command cannot be told whether the snapshot holds it.
	n.open.abandon(ErrOutcomeUnknown)
	n.setMembers(ms)
	n.setApplied(pos)
	n.counters.snapshotsIn.Add(1)
	n.events.publish(Event{Kind: EventSnapshot, Time: time.Now(), Index: pos.Index})
	if err := sweep(n.cfg.FS, n.cfg.Dir, filepath.Base(dir)); err != nil {
		n.log.Warn("raftstore: old state not removed", "err", err)
	}
	n.log.Info("raftstore: snapshot installed", "index", pos.Index, "took", time.Since(start))
	return pos, nil
}
