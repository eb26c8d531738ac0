package raftstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
)

// Node is this process's member of a cluster. All methods are safe for
// concurrent use.
//
// What goes on in it, all ended by ctx:
//
//	callers --calls--> proposals --frames--> loop --MsgStorageAppend--> append --+
//	transport --messages--> inbox ---------> loop <-----responses in inbox-------+
//	                                         loop --MsgStorageApply---> apply ---+
//
// The loop alone owns the raft.RawNode; it does no I/O but the rare read of a
// log entry that left memory, and calls no user code. It is turned by whichever
// goroutine brings something, one at a time (see stir), and by one of its own
// besides. The append goroutine writes and syncs the log, the apply goroutine runs
// the state machine and answers callers. A follower's calls go to the leader
// through at most maxForwards forwarding goroutines.
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

	inbox    inbox
	appends  workQueue
	applies  workQueue
	inFlight atomic.Int32 // appends with entries handed out and not yet synced
	// appendsLeft counts what the append goroutine has not finished. At 0 its part
	// of raftLog is the loop's.
	appendsLeft atomic.Int32
	trim        atomic.Uint64 // index up to which the append goroutine shall trim the log
	proposals   callQueue
	changes     callQueue
	open        openFrames
	hold        hold
	forwards    forwarder
	reads       readRounds
	acks        acks
	applied     watermark
	leader      leaderBoard
	status      atomic.Pointer[Status]
	position    atomic.Pointer[Position] // of the state machine
	pos         Position                 // likewise; of the apply goroutine
	announced   uint64                   // term that the loop knows to be applied; likewise
	snaps       snapshots
	backing     sync.Mutex // one backup at a time
	events      events
	recorder    recorder
	counters    counters
	appending   gauge // the append goroutine's
	applying    gauge // the apply goroutine's

	// What the loop owns, and n.raft, is that of who holds turning.
	turning sync.Mutex
	asked   atomic.Bool // there is something to turn for

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
	failure  error         // set before failed is closed, read after
	failed   chan struct{} // closed when the node ends by failure, before ctx
}

// newNode returns a Node that is to be prepared.
func newNode(cfg Config) *Node {
	return &Node{cfg: cfg, done: make(chan struct{}), failed: make(chan struct{})}
}

func (n *Node) membership() membership { return *n.members.Load() }

// shutdown ends the node when ctx ends. That takes as long as the disk does; but a
// node that has failed and whose disk hangs besides has ended for all purposes.
func (n *Node) shutdown() {
	<-n.ctx.Done()
	torn := make(chan struct{})
	go func() {
		defer close(torn)
		n.tearDown()
	}()
	select {
	case <-torn:
	case <-n.failed:
		patience := time.NewTimer(4 * n.electionTimeout())
		defer patience.Stop()
		select {
		case <-torn:
		case <-patience.C:
			n.log.Error("raftstore: failed member cannot be closed, its disk or state machine hangs", "member", fmt.Sprintf("%x", n.id))
		}
	}
	close(n.done)
}

// tearDown closes everything, in the order in which nobody misses what is gone.
func (n *Node) tearDown() {
	n.cfg.Transport.Stop()
	stopped := errors.Join(ErrStopped, ErrDropped)
	n.proposals.close(stopped)
	n.changes.close(stopped)
	n.forwards.close(stopped)
	n.tasks.Wait()
	n.turning.Lock() // for good
	n.lead.stop()
	n.open.abandon(errors.Join(ErrStopped, ErrOutcomeUnknown))
	n.reads.abandon(ErrStopped)
	if err := errors.Join(n.cfg.StateMachine.Close(), n.cfg.Log.Close()); err != nil {
		n.fail(fmt.Errorf("raftstore: close: %w", err))
	}
}

// fail stops the node for good.
func (n *Node) fail(err error) {
	n.failOnce.Do(func() {
		n.failure = err
		close(n.failed)
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

// Done is closed when the node has ended, by Stop or by failure. Then all is
// closed; but if the disk or the state machine hangs after a failure, Done does not
// wait for them longer than 4 election timeouts. A program ends with it.
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

// ReadBarrier returns when everything that was acknowledged anywhere in the
// cluster before the call is applied on this member, so that a read of the
// local state is linearizable. It returns the index of that point. Readers that
// come together share one round trip to a majority.
//
// Errors: ErrStopped, and that of ctx, with ErrNoLeader if there was no leader
// when it ended. A retry is always safe.
func (n *Node) ReadBarrier(ctx context.Context) (uint64, error) {
	round, first := n.reads.join()
	if first {
		n.stir()
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

// TransferLeadership has this member, if it leads, hand over to member to, or to
// the most up-to-date one if to is 0. It returns when another member leads, which
// may be another one than that, and at once if this member follows one. Where
// nobody takes over it returns when ctx ends.
//
// Errors: ErrUnknownMember, ErrStopped, and that of ctx.
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

// WaitApplied returns when the state machine has applied the log up to index:
// after a command that another member has answered with that Outcome.Index, this
// one shows it. Errors: ErrStopped, and that of ctx.
func (n *Node) WaitApplied(ctx context.Context, index uint64) error {
	return n.applied.wait(ctx, index, n.ctx.Done())
}

func (n *Node) electionTimeout() time.Duration {
	return time.Duration(n.cfg.ElectionTicks) * n.cfg.TickInterval
}
