package raftstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// Node is this process's member of a cluster. All methods are safe for
// concurrent use.
//
// Its goroutines, each ended by ctx:
//
//	callers --calls--> proposals --frames--> loop --MsgStorageAppend--> append --+
//	transport --messages--> inbox ---------> loop <-----responses in inbox-------+
//	                                         loop --MsgStorageApply---> apply ---+
//
// The loop alone owns the raft.RawNode; it does no I/O but the rare read of a
// log entry that left memory, and calls no user code. The append goroutine
// writes and syncs the log, the apply goroutine runs the state machine and
// answers callers. A follower's calls go to the leader through at most
// maxForwards forwarding goroutines.
type Node struct {
	cfg         Config
	log         *slog.Logger
	id          uint64
	clusterID   uint64
	storage     uint64 // identifies cfg.Dir
	incarnation uint64 // random per start
	initial     membership
	snapshotter Snapshotter // nil if the state machine is none

	raft    *raft.RawNode // owned by the loop
	raftLog *raftLog
	members atomic.Pointer[membership] // stored by the apply goroutine

	inbox     inbox
	appends   workQueue
	applies   workQueue
	inFlight  atomic.Int32  // appends with entries handed out and not yet synced
	trim      atomic.Uint64 // index up to which the append goroutine shall trim the log
	proposals callQueue
	changes   callQueue
	open      openFrames
	forwards  forwarder
	reads     readRounds
	applied   watermark
	leader    leaderBoard
	status    atomic.Pointer[Status]
	position  atomic.Pointer[Position] // of the state machine
	pos       Position                 // likewise; of the apply goroutine
	announced uint64                   // term that the loop knows to be applied; likewise
	snaps     snapshots
	backing   sync.Mutex // one backup at a time
	events    events
	recorder  recorder
	counters  counters
	appending gauge // the append goroutine's
	applying  gauge // the apply goroutine's

	// The rest belongs to the loop.
	loop           loopState
	lead           leadRun
	unattached     map[uint64]uint64 // members seen with a storage not yet recorded
	takingSnapshot bool              // raft was just given one
	heardOf        map[uint64]bool   // as a leader, at the latest tick

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	done   chan struct{}
	// spawn starts a task; tasks.Go but in a simulator.
	spawn func(func())
	// solo says that all runs in one goroutine, which then cannot wait for
	// another. Simulators only.
	solo bool

	failOnce sync.Once
	failure  error // set before ctx ends, read after done
}

// Open starts the member that cfg describes: a new one if cfg.Dir is empty,
// else the one that lives there. The context bounds Open alone. On error all
// that cfg hands over is closed.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	n := &Node{cfg: cfg, done: make(chan struct{})}
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
	if err := sweep(cfg.FS, cfg.Dir, cur.Dir); err != nil {
		return fmt.Errorf("raftstore: %w", err)
	}
	logState, err := bootstrapLog(cfg.Log)
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

func (n *Node) membership() membership { return *n.members.Load() }

// bootstrapLog bases a new log at (1, 1), which every initial member does alike
// in place of a first entry.
func bootstrapLog(log LogStore) (LogState, error) {
	st, err := log.State()
	if err != nil {
		return LogState{}, fmt.Errorf("raftstore: open log: %w", err)
	}
	if st.Base.Index > 0 {
		return st, nil
	}
	if st.Last > 0 {
		return LogState{}, fmt.Errorf("%w: log has entries but no base", ErrCorrupt)
	}
	g := LogGroup{Base: &LogPosition{Index: 1, Term: 1}, Hard: &HardState{Term: 1, Commit: 1}}
	if err := log.Append(g, true); err != nil {
		return LogState{}, fmt.Errorf("raftstore: bootstrap log: %w", err)
	}
	return LogState{Hard: *g.Hard, Base: *g.Base, Last: 1}, nil
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
func (n *Node) start(pos Position, id identity) error {
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
	n.leader.changed = make(chan struct{})
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

// shutdown tears down when ctx ends, in the order in which nobody misses what
// is gone.
func (n *Node) shutdown() {
	<-n.ctx.Done()
	n.cfg.Transport.Stop()
	stopped := errors.Join(ErrStopped, ErrDropped)
	n.proposals.close(stopped)
	n.changes.close(stopped)
	n.forwards.close(stopped)
	n.tasks.Wait()
	n.lead.stop()
	n.open.abandon(errors.Join(ErrStopped, ErrOutcomeUnknown))
	n.reads.abandon(ErrStopped)
	if err := errors.Join(n.cfg.StateMachine.Close(), n.cfg.Log.Close()); err != nil {
		n.fail(fmt.Errorf("raftstore: close: %w", err))
	}
	close(n.done)
}

// fail stops the node for good.
func (n *Node) fail(err error) {
	n.failOnce.Do(func() {
		n.failure = err
		n.log.Error("raftstore: member failed and stops", "member", fmt.Sprintf("%x", n.id), "err", err)
	})
	n.cancel()
}

// Stop hands leadership over, if it is here and the cluster has another member,
// and ends the node. It returns when all is closed or ctx ends; then the node
// goes on stopping. Stopping twice is fine.
func (n *Node) Stop(ctx context.Context) error {
	if st := n.Status(); st.Role == Leader && n.membership().voters() > 1 && n.ctx.Err() == nil {
		grace, cancel := context.WithTimeout(ctx, n.electionTimeout())
		if err := n.TransferLeadership(grace, 0); err != nil {
			n.log.Warn("raftstore: leadership not handed over before stop", "err", err)
		}
		cancel()
	}
	n.cancel()
	select {
	case <-n.done:
		return n.failure
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Done is closed when the node has ended, by Stop or by failure.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err returns why the node ended: nil after a clean Stop or while it runs.
func (n *Node) Err() error {
	select {
	case <-n.done:
		return n.failure
	default:
		return nil
	}
}

// Propose replicates cmd and returns the state machine's result once it is
// applied by this member, from whichever member it is called on. A command that
// is certainly lost to a change of leader is proposed again until ctx ends.
//
// Errors: ErrTooLarge, ErrOverloaded, ErrDropped and ErrNoLeader mean that cmd
// is not and will not be applied; ErrOutcomeUnknown that it may be. When ctx
// ended, its error matches too.
func (n *Node) Propose(ctx context.Context, cmd []byte) ([]byte, error) {
	result, err := []byte(nil), n.checkSize(cmd)
	if err == nil {
		result, err = n.route(ctx, call{kind: callCommand, cmd: cmd})
	}
	n.counters.note(err)
	return result, err
}

// ProposeMany proposes commands at once, in order, and returns an outcome for
// each. They are not one step: others' commands may come between them, and some
// may succeed while others fail.
func (n *Node) ProposeMany(ctx context.Context, cmds [][]byte) []Outcome {
	outs := make([]Outcome, len(cmds))
	calls := make([]*call, len(cmds))
	var sent []*call
	for i, cmd := range cmds {
		if outs[i].Err = n.checkSize(cmd); outs[i].Err == nil {
			calls[i] = newCall(callCommand, cmd)
			sent = append(sent, calls[i])
		}
	}
	leader, _ := n.leader.get()
	q := n.queueTo(leader, callCommand)
	if err := n.enqueue(q, sent...); err != nil {
		answer(sent, Outcome{Err: err})
	}
	for i, c := range calls {
		if c == nil {
			continue
		}
		if outs[i] = n.await(ctx, q, c); outs[i].Err == nil && leader != n.id {
			_ = n.applied.wait(ctx, outs[i].Index, n.ctx.Done()) // as in route
		}
		if isLost(outs[i].Err) && ctx.Err() == nil && n.ctx.Err() == nil {
			outs[i].Result, outs[i].Err = n.route(ctx, call{kind: callCommand, cmd: cmds[i]})
		}
		n.counters.note(outs[i].Err)
	}
	return outs
}

func (n *Node) checkSize(cmd []byte) error {
	if int64(len(cmd)) > n.cfg.MaxCommandBytes {
		return fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, len(cmd), n.cfg.MaxCommandBytes)
	}
	return nil
}

// route takes a call to the leader until it is not lost on the way.
func (n *Node) route(ctx context.Context, c call) ([]byte, error) {
	for {
		leader, changed := n.leader.get()
		q := n.queueTo(leader, c.kind)
		attempt := newCall(c.kind, c.cmd)
		out := Outcome{Err: n.enqueue(q, attempt)}
		if out.Err == nil {
			out = n.await(ctx, q, attempt)
		}
		if out.Err == nil {
			if leader != n.id {
				// The caller sees its own write here. If it will not wait any
				// longer, it has its result all the same.
				_ = n.applied.wait(ctx, out.Index, n.ctx.Done())
			}
			return out.Result, nil
		}
		if !isLost(out.Err) || n.ctx.Err() != nil {
			return nil, out.Err
		}
		if err := n.awaitLeader(ctx, changed); err != nil {
			return nil, errors.Join(out.Err, err)
		}
	}
}

// isLost reports whether a call certainly came to nothing and may be tried
// again.
func isLost(err error) bool {
	return errors.Is(err, ErrDropped) || errors.Is(err, ErrNoLeader)
}

// queueTo returns where calls for the given leader wait; nil for no leader.
func (n *Node) queueTo(leader uint64, kind callKind) *callQueue {
	switch leader {
	case 0:
		return nil
	case n.id:
		return n.queueFor(kind)
	default:
		return &n.forwards.queue
	}
}

// enqueue puts calls into a queue, all or none, and wakes who works on it.
func (n *Node) enqueue(q *callQueue, calls ...*call) error {
	if q == nil {
		return ErrNoLeader
	}
	if err := q.push(calls...); err != nil {
		return err
	}
	if q == &n.forwards.queue {
		n.forwards.kick(n)
	} else {
		n.inbox.signal()
	}
	return nil
}

// await waits for the outcome of a call that was put into q.
func (n *Node) await(ctx context.Context, q *callQueue, c *call) Outcome {
	var why error
	select {
	case out := <-c.done:
		return out
	case <-ctx.Done():
		why = ctx.Err()
	case <-n.ctx.Done():
		// A transport waits for us before the rest can be torn down.
		why = ErrStopped
	}
	select {
	case out := <-c.done: // it was there, too
		return out
	default:
	}
	if q.leave(c) {
		return Outcome{Err: errors.Join(ErrDropped, why)}
	}
	select {
	case out := <-c.done: // it came meanwhile
		return out
	default:
		return Outcome{Err: errors.Join(ErrOutcomeUnknown, why)}
	}
}

// awaitLeader pauses before a lost command is proposed again: until the leader
// changes, or for a tick, since the leader that refused may be about to change
// its mind without our seeing it.
func (n *Node) awaitLeader(ctx context.Context, changed <-chan struct{}) error {
	t := time.NewTimer(n.cfg.TickInterval)
	defer t.Stop()
	select {
	case <-changed:
		return nil
	case <-t.C:
		return nil
	case <-n.ctx.Done():
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ReadBarrier returns when everything that was acknowledged anywhere in the
// cluster before the call is applied on this member, so that a read of the
// local state is linearizable. It returns the index of that point. Without a
// leader it waits until ctx ends, with ErrNoLeader.
func (n *Node) ReadBarrier(ctx context.Context) (uint64, error) {
	round, first := n.reads.join()
	if first {
		n.inbox.signal()
	}
	select {
	case <-round.done:
	case <-n.ctx.Done():
		return 0, ErrStopped
	case <-ctx.Done():
		err := ctx.Err()
		if leader, _ := n.leader.get(); leader == 0 {
			err = errors.Join(ErrNoLeader, err)
		}
		return 0, fmt.Errorf("read barrier: %w", err)
	}
	if round.err != nil {
		return 0, round.err
	}
	if err := n.applied.wait(ctx, round.index, n.ctx.Done()); err != nil {
		return 0, fmt.Errorf("read barrier: apply up to %d: %w", round.index, err)
	}
	return round.index, nil
}

// TransferLeadership asks this member, which must lead, to hand over to member
// to, or to the most up-to-date one if to is 0. It returns when another member
// leads or ctx ends.
func (n *Node) TransferLeadership(ctx context.Context, to uint64) error {
	if _, ok := n.membership().member(to); to != 0 && !ok {
		return fmt.Errorf("%w: %x", ErrUnknownMember, to)
	}
	n.inbox.request(func() { n.transfer(to) })
	for {
		leader, changed := n.leader.get()
		if leader != 0 && leader != n.id {
			return nil
		}
		select {
		case <-changed:
		case <-n.ctx.Done():
			return ErrStopped
		case <-ctx.Done():
			return fmt.Errorf("transfer leadership: %w", ctx.Err())
		}
	}
}

// Members returns the cluster's members, ordered by id.
func (n *Node) Members() []Member { return slices.Clone(n.membership().Members) }

// Cluster returns what a new member has to know.
func (n *Node) Cluster() Cluster {
	return Cluster{ID: n.clusterID, Initial: slices.Clone(n.initial.Members), Members: n.Members()}
}

// WaitApplied returns when the state machine has applied the log up to index, or
// with the error of ctx.
func (n *Node) WaitApplied(ctx context.Context, index uint64) error {
	return n.applied.wait(ctx, index, n.ctx.Done())
}

func (n *Node) electionTimeout() time.Duration {
	return time.Duration(n.cfg.ElectionTicks) * n.cfg.TickInterval
}
