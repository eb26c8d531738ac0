package tree

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/raftstore"
)

// Local is a kv.Store of one process: a Tree without a cluster. It is what
// tests use for a store. Time is that of the time package, so that inside a
// testing/synctest bubble TTLs run on the bubble's clock; open and close it in
// the bubble then.
//
//	callers --(mu)--> Tree.Apply
//	expirer --(mu)--> Tree.Apply, when something is due
//
// A node is never seen after its expiry: operations expire what is due before
// they begin. The expirer does so for watchers.
type Local struct {
	*Writer
	tree *Tree
	stop context.CancelFunc
	done chan struct{} // closed when the expirer has ended

	mu  sync.Mutex
	pos raftstore.Position
	err error // of the Apply that failed; it was the last
}

var (
	_ kv.Store  = (*Local)(nil)
	_ kv.Lister = (*Local)(nil)
)

// LocalConfig configures a Local.
type LocalConfig struct {
	// Dir is where the state is kept between Close and the next Open. A crash
	// may lose the latest changes, never older ones alone. Default: in memory.
	Dir string
	// HistoryEvents and HistoryAge say how far back a watch can begin: an event
	// is forgotten once it is neither among the latest so many nor so young.
	// Defaults: 10,000 and 10 minutes.
	HistoryEvents int
	HistoryAge    time.Duration
}

// NewLocal opens an empty Local in memory.
func NewLocal() (*Local, error) { return OpenLocal(LocalConfig{}) }

// OpenLocal opens a Local. Close it.
func OpenLocal(cfg LocalConfig) (*Local, error) {
	return openLocal(cfg.Dir, Config{
		InMemory: cfg.Dir == "",
		limits:   limits{events: uint64(max(cfg.HistoryEvents, 0)), age: cfg.HistoryAge},
	})
}

func openLocal(dir string, cfg Config) (*Local, error) {
	t := New(cfg)
	pos, err := t.Open(context.Background(), dir)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &Local{tree: t, stop: stop, done: make(chan struct{}), pos: pos}
	l.Writer = NewWriter(l.propose)
	go l.expireAll(ctx)
	return l, nil
}

// Close ends all watches and releases the store. Operations fail from then on.
func (l *Local) Close() error {
	l.stop()
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tree.Close()
}

// Get implements kv.Store. A Local has no quorum to ask; all reads are of the
// latest state.
func (l *Local) Get(ctx context.Context, key string, opts kv.GetOptions) (kv.Event, error) {
	if err := ctx.Err(); err != nil {
		return kv.Event{}, err
	}
	if err := l.expire(); err != nil {
		return kv.Event{}, err
	}
	return l.tree.Get(key, opts)
}

// List implements kv.Lister.
func (l *Local) List(ctx context.Context, key string, opts kv.GetOptions, each func(index uint64, n kv.Node) error) error {
	if err := l.expire(); err != nil {
		return err
	}
	return l.tree.List(ctx, key, opts, each)
}

// Watch implements kv.Store.
func (l *Local) Watch(ctx context.Context, key string, opts kv.WatchOptions) (*kv.Watch, error) {
	return l.tree.Watch(ctx, key, opts)
}

// Index returns the store index: how many changes there have been.
func (l *Local) Index() uint64 { return l.tree.Index() }

// expireAll is the expirer.
func (l *Local) expireAll(ctx context.Context) {
	defer close(l.done)
	for {
		if _, err := l.tree.WaitDue(ctx); err != nil {
			return // the context, or the tree failed and says so to everybody else
		}
		if err := l.expire(); err != nil {
			return
		}
	}
}

// expireBatch is how many nodes one command expires at most.
const expireBatch = 1000

// expire removes what is due.
func (l *Local) expire() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.expireLocked(time.Now())
}

func (l *Local) expireLocked(now time.Time) error {
	for l.tree.due.before(now.UnixNano()) {
		c := Command{Op: OpExpire, Now: now, Max: expireBatch}
		if _, err := l.apply(c.Encode(), now); err != nil {
			return err
		}
		if _, err := l.tree.nextExpiry(); err != nil {
			return err
		}
	}
	return nil
}

// propose applies a command at once.
func (l *Local) propose(_ context.Context, cmd []byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if err := l.expireLocked(now); err != nil {
		return nil, err
	}
	return l.apply(cmd, now)
}

func (l *Local) apply(cmd []byte, now time.Time) ([]byte, error) {
	if l.err != nil {
		return nil, l.err
	}
	next := raftstore.Position{Index: l.pos.Index + 1, Term: 1}
	res, err := l.tree.Apply([]raftstore.Command{{Index: next.Index, Stamp: now.UnixNano(), Data: cmd}}, next)
	if err != nil {
		l.err = &kv.Error{Code: kv.CodeRaftInternal, Cause: fmt.Sprint(err), Err: err}
		return nil, l.err
	}
	l.pos = next
	return res[0], nil
}
