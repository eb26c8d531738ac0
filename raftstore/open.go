package raftstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// Open starts the member that cfg describes: a new one if cfg.Dir is empty,
// else the one that lives there. The context bounds Open alone. On error all
// that cfg hands over is closed.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	n := newNode(cfg)
	n.spawn = n.tasks.Go
	err := n.cfg.fill()
	if err == nil {
		n.log = n.cfg.Logger
		err = n.prepare(ctx)
	}
	if err == nil {
		n.launch()
		return n, nil
	}
	return nil, errors.Join(err, closeParts(&cfg))
}

func (n *Node) prepare(ctx context.Context) error {
	cfg := &n.cfg
	if err := cfg.FS.MkdirAll(cfg.Dir); err != nil {
		return fmt.Errorf("raftstore: %w", err)
	}
	id, err := loadIdentity(cfg)
	if err != nil {
		return err
	}
	cur, err := loadCurrent(cfg.FS, cfg.Dir)
	if err != nil {
		return err
	}
	logState, err := openLog(cfg.Log)
	if err != nil {
		return err
	}
	if logState, err = finishInstall(cfg.Log, logState, cur.Installed); err != nil {
		return err
	}
	pos, err := openState(ctx, cfg, filepath.Join(cfg.Dir, cur.Dir), id.Initial)
	if err != nil {
		return err
	}
	ms, err := decodeMembership(pos.Membership)
	if err != nil {
		return err
	}
	n.id, n.clusterID, n.storage, n.initial = id.Self.ID, id.ClusterID, id.Self.Storage, id.Initial
	if err := n.checkSelf(ms); err != nil {
		return err
	}
	if err := checkPositions(logState, pos); err != nil {
		return err
	}
	// Only now is it certain that cur names the state.
	if err := sweep(cfg.FS, cfg.Dir, cur.Dir); err != nil {
		return fmt.Errorf("raftstore: %w", err)
	}
	n.members.Store(&ms)
	n.snapshotter, _ = cfg.StateMachine.(Snapshotter)
	n.raftLog = n.newRaftLog(logState, pos, ms)
	if n.incarnation, err = cfg.randomID(); err != nil {
		return err
	}
	return n.start(pos, id)
}

// checkSelf looks whether the cluster, as far as it is known here, wants this
// member. One that joined does not know of itself until it has caught up.
func (n *Node) checkSelf(ms membership) error {
	if ms.removed(n.id) {
		return fmt.Errorf("%w: %x", ErrRemoved, n.id)
	}
	if m, ok := ms.member(n.id); ok && m.Storage != 0 && m.Storage != n.storage {
		return fmt.Errorf("%w: member %x", ErrOtherStorage, n.id)
	}
	return nil
}

// openLog reads the log of a member, which was based when the member began.
func openLog(log LogStore) (LogState, error) {
	st, err := log.State()
	if err != nil {
		return LogState{}, fmt.Errorf("raftstore: open log: %w", err)
	}
	if st.Base.Index == 0 {
		return LogState{}, fmt.Errorf("%w: the member's log is gone", ErrCorrupt)
	}
	return st, nil
}

// openState opens the state machine, and gives a new one the position that the
// log is based at.
func openState(ctx context.Context, cfg *Config, dir string, initial membership) (Position, error) {
	if err := cfg.FS.MkdirAll(dir); err != nil {
		return Position{}, fmt.Errorf("raftstore: %w", err)
	}
	pos, err := cfg.StateMachine.Open(ctx, dir)
	if err != nil {
		return Position{}, fmt.Errorf("raftstore: open state machine: %w", err)
	}
	if pos.Index > 0 {
		return pos, nil
	}
	pos = Position{Index: 1, Term: 1, Membership: initial.encode()}
	if _, err := cfg.StateMachine.Apply(nil, pos); err != nil {
		return Position{}, fmt.Errorf("raftstore: bootstrap state machine: %w", err)
	}
	return pos, nil
}

// checkPositions refuses a state that the log cannot continue, and a log that
// lost entries which the state has seen committed: such a member may have
// voted for what it no longer knows.
func checkPositions(log LogState, pos Position) error {
	switch {
	case pos.Index < log.Base.Index:
		return fmt.Errorf("%w: state ends at index %d, log begins after %d", ErrCorrupt, pos.Index, log.Base.Index)
	case pos.Index > log.Last:
		return fmt.Errorf("%w: state is at index %d, log ends at %d", ErrCorrupt, pos.Index, log.Last)
	case log.Hard.Commit > log.Last:
		return fmt.Errorf("%w: committed up to index %d, log ends at %d", ErrCorrupt, log.Hard.Commit, log.Last)
	}
	return nil
}

func (n *Node) newRaftLog(st LogState, pos Position, ms membership) *raftLog {
	l := &raftLog{
		store:    n.cfg.Log,
		maxMem:   n.cfg.TailCacheBytes,
		reads:    &n.counters.diskReads,
		markAt:   min(maxMarkBytes, max(n.cfg.LogRetainBytes/4, 1)),
		base:     st.Base,
		last:     st.Last,
		lastHard: st.Hard,
		stored:   st.Hard,
		conf:     ms.confState(),
		// The commit index is written lazily and may lag behind the state.
		hard: &raftpb.HardState{Term: new(st.Hard.Term), Vote: new(st.Hard.Vote), Commit: new(max(st.Hard.Commit, pos.Index))},
	}
	if n.snapshotter != nil {
		l.position = n.appliedPosition
	}
	return l
}

// appliedPosition returns a position of the state and the membership there.
func (n *Node) appliedPosition() (Position, membership) {
	pos := *n.position.Load()
	ms, err := decodeMembership(pos.Membership)
	if err != nil {
		panic(err) // it was encoded here
	}
	return pos, ms
}

// start makes all that the goroutines need.
func (n *Node) start(pos Position, id identity) (err error) {
	defer func() {
		if p := recover(); p != nil { // raft's word for a state that makes no sense
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	rn, err := raft.NewRawNode(&raft.Config{
		ID:                        n.id,
		ElectionTick:              n.cfg.ElectionTicks,
		HeartbeatTick:             n.cfg.HeartbeatTicks,
		Storage:                   n.raftLog,
		Applied:                   pos.Index,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             1 << 20,
		MaxCommittedSizePerReady:  4 << 20,
		MaxInflightMsgs:           256,
		MaxInflightBytes:          16 << 20,
		CheckQuorum:               true,
		PreVote:                   true,
		StepDownOnRemoval:         true,
		DisableProposalForwarding: true,
		Logger:                    raftLogger{n.log.With("member", fmt.Sprintf("%x", n.id))},
	})
	if err != nil {
		return fmt.Errorf("raftstore: %w", err)
	}
	n.raft = rn
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.proposals.maxBytes = n.cfg.MaxQueueBytes
	n.changes.maxBytes = n.cfg.MaxQueueBytes
	n.forwards.queue.maxBytes = n.cfg.MaxQueueBytes
	n.inbox.wake = make(chan struct{}, 1)
	n.appends.wake = make(chan struct{}, 1)
	n.applies.wake = make(chan struct{}, 1)
	n.hold.timer = time.NewTimer(maxHold)
	n.hold.timer.Stop()
	n.leader.changed = make(chan struct{})
	n.leader.grace = n.electionTimeout() / 2
	n.leader.tenures = make(map[*tenure]struct{})
	n.unattached = make(map[uint64]uint64)
	n.heardOf = make(map[uint64]bool)
	n.pos = pos
	n.setApplied(pos)
	n.publish()
	self, ok := n.membership().member(n.id)
	if !ok {
		self = id.Self
	}
	self.Storage = n.storage
	for _, m := range n.peers(id.Seeds) {
		n.cfg.Transport.SetPeer(m)
	}
	if err := n.cfg.Transport.Start(self, n.clusterID, handler{n}); err != nil {
		n.cancel()
		return fmt.Errorf("raftstore: start transport: %w", err)
	}
	return nil
}

// launch starts the goroutines.
func (n *Node) launch() {
	n.tasks.Go(n.runLoop)
	n.tasks.Go(n.runAppends)
	n.tasks.Go(n.runApplies)
	if n.snapshotter != nil {
		n.tasks.Go(n.runCompactor)
	}
	go n.shutdown()
}

// peers returns the other members, and those of seeds that were not removed:
// a member that has just joined knows the cluster from before its time only.
func (n *Node) peers(seeds []Member) []Member {
	ms := n.membership()
	var peers []Member
	for _, m := range ms.Members {
		if m.ID != n.id {
			peers = append(peers, m)
		}
	}
	for _, m := range seeds {
		if _, known := ms.member(m.ID); !known && !ms.removed(m.ID) && m.ID != n.id {
			peers = append(peers, m)
		}
	}
	return peers
}
