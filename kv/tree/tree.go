package tree

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/raftstore"
)

// ErrClosed is under every error of a Tree that is not open.
var ErrClosed = errors.New("tree: not open")

// Config configures a Tree. The zero value is a tree on disk.
type Config struct {
	// InMemory keeps the state in memory instead of in the directory given to
	// Open; it is gone with the Tree.
	InMemory bool
	// CacheBytes bounds the memory for blocks read from disk. Default 128 MiB;
	// 4 MiB in memory.
	CacheBytes int64
	// RecordBytes bounds the memory for the nodes that were changed lately, which
	// spares commands the look at the disk. Default 64 MiB; 1 MiB in memory.
	RecordBytes int64
	// Logger hears what the storage engine has to say. Default: nobody.
	Logger *slog.Logger

	// Set by this package alone. What of the history is kept decides what is
	// replicated, so all members of a cluster must agree on it.
	limits   limits
	fewNodes int // how many nodes are removed one by one
	memTable int // bytes of changes kept in memory until they are flushed
	fs       vfs.FS
}

// A Tree is the hierarchical key space as a replicated state machine. The
// methods of [raftstore.Snapshotter] are for the runtime that owns it; all
// others are for everybody, at any time, from any goroutine, and read what has
// been applied here.
//
//	Apply -> txn: one Pebble batch -> commit -> hub: wake watchers -> results
//	Get, Members      read Pebble beside Apply
//	Watch             waits in the hub, reads its ring, or the changelog
//	Install           opens another Pebble beside the old one and swaps them
type Tree struct {
	cfg Config
	hub *hub
	due due // the earliest expiry

	index atomic.Uint64 // the store index; raised after the commit
	floor atomic.Uint64 // the oldest index in the history; raised before the commit

	expired atomic.Uint64 // nodes

	durable atomic.Uint64 // the highest position known to survive a crash

	// mu guards db, which is nil before Open and after Close. Its owner alone
	// changes it and so reads it without the lock; all others call use.
	mu sync.RWMutex
	db *database

	// The rest belongs to the owner: Open, Apply, Install and Close.
	state   state // of the last batch
	hist    history
	cache   *recordCache
	scratch scratch
	ranges  int // range deletions since the last flush they led to
}

var _ raftstore.Snapshotter = (*Tree)(nil)

// state is what a batch changes besides nodes; it is stored with each batch.
type state struct {
	pos   raftstore.Position
	index uint64 // store index
	clock int64  // nanoseconds since 1970; never steps back
}

// formatVersion is the version of the key layout and of all encodings.
const formatVersion = 1

// New returns a Tree that is not open yet.
func New(cfg Config) *Tree {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = 128 << 20
		if cfg.InMemory {
			cfg.CacheBytes = 4 << 20
		}
	}
	if cfg.RecordBytes == 0 {
		cfg.RecordBytes = 64 << 20
		if cfg.InMemory {
			cfg.RecordBytes = 1 << 20
		}
	}
	cfg.limits.setDefaults()
	if cfg.fewNodes == 0 {
		cfg.fewNodes = fewNodes
	}
	if cfg.memTable == 0 {
		cfg.memTable = 32 << 20
		if cfg.InMemory {
			cfg.memTable = 1 << 20
		}
	}
	return &Tree{
		cfg: cfg, hub: newHub(cfg.limits), due: due{next: never, waiter: make(chan struct{}, 1)},
		cache: newRecordCache(cfg.RecordBytes),
	}
}

// Open opens the state in dir, or a new one, and returns its position.
func (t *Tree) Open(_ context.Context, dir string) (raftstore.Position, error) {
	if t.db != nil || t.hub.closed() {
		return raftstore.Position{}, errors.New("tree: opened twice")
	}
	db, st, hist, err := t.openDatabase(dir)
	if err != nil {
		return raftstore.Position{}, fmt.Errorf("tree: open %s: %w", dir, err)
	}
	t.adopt(db, st, hist)
	t.hub.start(st.index, t.floor.Load())
	if _, _, err = t.due.find(db); err != nil {
		return raftstore.Position{}, fmt.Errorf("tree: open %s: %w", dir, err)
	}
	return st.pos, nil
}

// adopt makes a database the current one. Readers take the index first and the
// database then, so what they read is never older than the index they tell;
// and the floor after the database, so that they miss no rise of it.
func (t *Tree) adopt(db *database, st state, hist history) {
	t.state, t.hist = st, hist
	t.cache.clear()
	t.floor.Store(hist.floor(st.index))
	t.mu.Lock()
	t.db = db
	t.mu.Unlock()
	t.index.Store(st.index)
}

func (s *state) append(b []byte) []byte {
	b = binary.AppendUvarint(b, s.pos.Index)
	b = binary.AppendUvarint(b, s.pos.Term)
	b = binary.AppendUvarint(b, s.index)
	return binary.AppendVarint(b, s.clock)
}

func (s *state) decode(b []byte) error {
	d := decoder{b: b}
	s.pos.Index, s.pos.Term = d.uvarint(), d.uvarint()
	s.index, s.clock = d.uvarint(), d.varint()
	if !d.done() {
		return errors.New("malformed position record")
	}
	return nil
}

// Close makes the state durable and releases it. Watches end. It fails if the
// storage has failed.
func (t *Tree) Close() error {
	t.hub.close(t.stopped())
	t.due.close()
	t.mu.Lock()
	db := t.db
	t.db = nil
	t.mu.Unlock()
	if db == nil {
		return nil
	}
	db.users.Wait()
	err := db.flush(context.Background())
	if err = db.failure.or(errors.Join(err, db.Close())); err != nil {
		return fmt.Errorf("tree: close: %w", err)
	}
	return nil
}

// stopped is the error of everything that needs an open tree.
func (t *Tree) stopped() *kv.Error {
	return &kv.Error{Code: kv.CodeRaftInternal, Cause: "etcdserver: server stopped", Err: ErrClosed}
}

// Index returns the store index: how many changes there have been.
func (t *Tree) Index() uint64 { return t.index.Load() }

// Expired returns how many nodes have expired since the Tree was opened.
func (t *Tree) Expired() uint64 { return t.expired.Load() }

// Members returns what members have published about themselves, by id.
func (t *Tree) Members() ([]Member, error) {
	db, err := t.use()
	if err != nil {
		return nil, err
	}
	defer db.users.Done()
	var ms []Member
	err = scan(db, []byte{tableMember}, tableEnd(tableMember), func(k, v []byte) (bool, error) {
		if len(k) != 9 {
			return false, fmt.Errorf("malformed member key %x", k)
		}
		d := decoder{b: v}
		m := Member{ID: binary.BigEndian.Uint64(k[1:])}
		if decodeMember(&d, &m); !d.done() {
			return false, fmt.Errorf("malformed attributes of member %x", m.ID)
		}
		ms = append(ms, m)
		return true, nil
	})
	slices.SortFunc(ms, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return ms, err
}

// get returns a copy of the value of a key; nil if there is none.
func get(r pebble.Reader, key []byte) ([]byte, error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", key, err)
	}
	v = append([]byte{}, v...)
	return v, closer.Close()
}

// scan calls fn for each key of a range until it returns false. Keys and
// values are only valid during the call.
func scan(r pebble.Reader, lower, upper []byte, fn func(k, v []byte) (bool, error)) error {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		more, err := fn(it.Key(), it.Value())
		if err != nil || !more {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}
