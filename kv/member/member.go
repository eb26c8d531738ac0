package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
	"github.com/strakeproject/strake/raftstore/seglog"
)

// A Member is a kv.Store that is one of a cluster. All methods are safe for
// concurrent use.
//
//	callers --commands--> raftstore.Node --batches--> tree.Tree
//	callers <--------------reads, watches------------- tree.Tree
//	lead (while leading) --expire, promote--> Node
//	publish (at start) --put-member--> Node
//	followLeader <--who leads, since when-- Node
//	peers <--HTTP--> peer server <--> Node
//
// A write that fails with error 300 matches kv.ErrNotApplied when it certainly
// has no effect, and kv.ErrOutcomeUnknown when it may have one. A write or
// quorum read whose context has no deadline is given 5 s and two election
// timeouts.
type Member struct {
	*tree.Writer
	cfg   Config
	peers *http.Server
	tree  *tree.Tree // this and the next three are set when opened is closed
	raft  *httppeer.Transport
	meter *meter
	node  *raftstore.Node

	opened  chan struct{}
	ready   chan struct{} // closed when published
	pending atomic.Int64  // writes under way
	stop    context.CancelFunc
	tasks   sync.WaitGroup
	done    chan struct{}
}

var (
	_ kv.Store  = (*Member)(nil)
	_ kv.Lister = (*Member)(nil)
)

// Open starts a member: a new one, of a new cluster or one that exists, if the
// data directory is empty, else the one that lives there. The context bounds Open alone. Stop the
// member when you are done with it.
func Open(ctx context.Context, cfg Config) (*Member, error) {
	m := &Member{cfg: cfg, opened: make(chan struct{}), ready: make(chan struct{}), done: make(chan struct{})}
	if err := m.cfg.fill(); err != nil {
		return nil, errors.Join(err, closeAll(cfg.PeerListeners))
	}
	// Peers that start at the same time ask this one whom it knows. They need
	// not wait for an answer until it knows somebody.
	m.servePeers()
	if err := m.open(ctx); err != nil {
		_ = m.peers.Close() // the listeners; there is nothing to lose
		m.tasks.Wait()
		return nil, fmt.Errorf("open member %s: %w", m.cfg.Name, err)
	}
	m.Writer = tree.NewWriter(m.propose)
	close(m.opened)
	m.start()
	return m, nil
}

// maxCommand has room for a form of 10 MiB, which the v2 API takes, and for what
// else may stand in a request line of 1 MiB.
const maxCommand = 12 << 20

// open opens the node.
func (m *Member) open(ctx context.Context) error {
	dir := m.cfg.memberDir()
	cfg := raftstore.Config{
		Dir:             dir,
		Name:            m.cfg.Name,
		Token:           m.cfg.InitialClusterToken,
		Initial:         m.cfg.InitialCluster,
		Lead:            m.lead,
		TickInterval:    m.cfg.HeartbeatInterval,
		ElectionTicks:   int(m.cfg.ElectionTimeout / m.cfg.HeartbeatInterval),
		MaxCommandBytes: maxCommand,
		LogRetainBytes:  m.cfg.LogRetainBytes,
		LogCapBytes:     m.cfg.LogCapBytes,
		FlushBytes:      2 * m.cfg.LogRetainBytes,
		Logger:          m.cfg.Logger,
	}
	if err := m.findOut(ctx, &cfg); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if m.cfg.ForceNewCluster {
		if err := m.cfg.standAlone(ctx); err != nil {
			return err
		}
	}
	log, err := m.cfg.openLog()
	if err != nil {
		return err
	}
	m.tree = tree.New(tree.Config{Logger: m.cfg.Logger})
	m.raft = httppeer.New(httppeer.Config{Logger: m.cfg.Logger, DialContext: m.cfg.DialPeer, TLS: m.cfg.PeerTLS})
	m.meter = newMeter(m.raft)
	cfg.StateMachine, cfg.Log, cfg.Transport = m.tree, log, m.meter
	m.node, err = raftstore.Open(ctx, cfg)
	return removedError(err)
}

func (c *Config) openLog() (raftstore.LogStore, error) {
	return seglog.Open(c.LogDir, seglog.Options{Logger: c.Logger})
}

// findOut looks what a member without data is to become.
func (m *Member) findOut(ctx context.Context, cfg *raftstore.Config) error {
	old, err := raftstore.HasMember(cfg.Dir)
	switch {
	case err != nil || old:
		return err
	case m.cfg.ForceNewCluster && holdsAnything(cfg.Dir):
		return nil // a backup that was restored
	case !m.cfg.Existing:
		return m.cfg.checkBootstrap(ctx)
	}
	p, err := m.cfg.findPlace(ctx)
	if err != nil {
		return err
	}
	cfg.Join, cfg.URLs = &p.cluster, p.urls
	return nil
}

// start begins what goes on until the node ends.
func (m *Member) start() {
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	m.tasks.Go(func() { m.publish(ctx) })
	m.tasks.Go(func() { m.meter.followLeader(ctx, m.node) })
	go func() {
		<-m.node.Done()
		cancel()
		_ = m.peers.Close() // the listeners; raft has closed its connections
		m.tasks.Wait()
		close(m.done)
	}()
}

// Stop hands leadership over, if it is here, and ends the member: watches end,
// operations fail. It returns when all is closed or ctx ends; then the member
// goes on stopping. Stopping twice is fine.
func (m *Member) Stop(ctx context.Context) error {
	m.stop()
	if err := m.node.Stop(ctx); err != nil {
		return fmt.Errorf("stop member %s: %w", m.cfg.Name, removedError(err))
	}
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop member %s: %w", m.cfg.Name, ctx.Err())
	}
}

// Done is closed when the member has ended, by Stop or by failure.
func (m *Member) Done() <-chan struct{} { return m.done }

// Err returns why the member ended: nil after a clean Stop or while it runs,
// ErrMemberRemoved when it was removed from the cluster.
func (m *Member) Err() error { return removedError(m.node.Err()) }

// Ready is closed when the cluster, which takes a quorum of members, knows of
// this one.
func (m *Member) Ready() <-chan struct{} { return m.ready }

// Get implements kv.Store. Without opts.Quorum it reads what has been applied
// here, leader or no leader.
func (m *Member) Get(ctx context.Context, key string, opts kv.GetOptions) (kv.Event, error) {
	if err := ctx.Err(); err != nil {
		return kv.Event{}, err
	}
	if opts.Quorum {
		if err := m.CheckHealth(ctx); err != nil {
			return kv.Event{}, err
		}
	}
	return m.tree.Get(key, opts)
}

// List implements kv.Lister. Like Get it reads what has been applied here.
func (m *Member) List(ctx context.Context, key string, opts kv.GetOptions, each func(index uint64, n kv.Node) error) error {
	if opts.Quorum {
		if err := m.CheckHealth(ctx); err != nil {
			return err
		}
	}
	return m.tree.List(ctx, key, opts, each)
}

// Watch implements kv.Store. It delivers what is applied here; a member cut off
// from its cluster is silent until it is back.
func (m *Member) Watch(ctx context.Context, key string, opts kv.WatchOptions) (*kv.Watch, error) {
	return m.tree.Watch(ctx, key, opts)
}

// CheckHealth returns nil once this member has caught up with all that was
// acknowledged before the call, which takes a leader with a quorum.
func (m *Member) CheckHealth(ctx context.Context) error {
	ctx, cancel := m.bound(ctx)
	defer cancel()
	if _, err := m.node.ReadBarrier(ctx); err != nil {
		return storeError(err)
	}
	return nil
}

// propose replicates a command of the Writer.
func (m *Member) propose(ctx context.Context, cmd []byte) ([]byte, error) {
	ctx, cancel := m.bound(ctx)
	defer cancel()
	m.pending.Add(1)
	defer m.pending.Add(-1)
	res, err := m.node.Propose(ctx, cmd)
	if err != nil {
		return nil, writeError(err)
	}
	return res, nil
}

// RequestTimeout returns how long a write or quorum read may take whose context
// has no deadline.
func (m *Member) RequestTimeout() time.Duration { return m.cfg.requestTimeout() }

// bound gives a context a deadline if it has none.
func (m *Member) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, m.cfg.requestTimeout())
}

// ID returns this member's id.
func (m *Member) ID() uint64 { return m.node.Status().ID }

// ClusterID returns the id that all members of the cluster share.
func (m *Member) ClusterID() uint64 { return m.node.Status().ClusterID }

// Leader returns the id of the leader that this member knows; 0 for none.
func (m *Member) Leader() uint64 { return m.node.Status().Leader }

// Status returns what the member knows of its cluster.
func (m *Member) Status() raftstore.Status { return m.node.Status() }

// Stats returns what the member has done since it was opened.
func (m *Member) Stats() raftstore.Stats { return m.node.Stats() }

// Pending returns how many writes wait for their outcome here.
func (m *Member) Pending() int64 { return m.pending.Load() }

// Peers tells how the connections to the other members do.
func (m *Member) Peers() []httppeer.PeerStats { return m.raft.Peers() }

// Raft returns this member's commit index and term.
func (m *Member) Raft() (index, term uint64) {
	st := m.node.Status()
	return st.Commit, st.Term
}

// Members lists the members of the cluster by id.
func (m *Member) Members() []Info {
	published, err := m.tree.Members()
	if err != nil {
		m.cfg.Logger.Debug("published attributes are not at hand", "err", err)
	}
	var all []Info
	for _, rm := range m.node.Members() {
		info := Info{ID: rm.ID, PeerURLs: rm.PeerURLs, Learner: rm.Learner}
		i := slices.IndexFunc(published, func(p tree.Member) bool { return p.ID == rm.ID })
		if i >= 0 {
			info.Name, info.ClientURLs = published[i].Name, published[i].ClientURLs
		}
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b Info) int { return cmp.Compare(a.ID, b.ID) })
	return all
}
