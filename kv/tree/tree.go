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
	// Logger hears what the storage engine has to say. Default: nobody.
	Logger *slog.Logger

	// Set by this package alone. What of the history is kept decides what is
	// replicated, so all members of a cluster must agree on it.
	limits limits
	fs     vfs.FS
}

// A Tree is the hierarchical key space as a replicated state machine. Open,
// Apply and Close are for the runtime that owns it (see
// [raftstore.StateMachine]); all other methods are for everybody, at any time,
// from any goroutine, and read what has been applied here.
//
//	Apply -> txn: one Pebble batch -> commit -> hub: wake watchers -> results
//	Get, Members      read Pebble beside Apply
//	Watch             waits in the hub, reads its ring, or the changelog
type Tree struct {
	cfg Config
	hub *hub
	due due // the earliest expiry

	index  atomic.Uint64 // the store index; raised after the commit
	floor  atomic.Uint64 // the oldest index in the history; raised before the commit
	failed atomic.Pointer[error]

	// mu guards db, which is nil before Open and after Close. Holders of the
	// read lock keep the database open; Apply, which comes from its owner, needs
	// no lock.
	mu sync.RWMutex
	db *pebble.DB

	state state // of the last batch; Apply only
	hist  history
}

var _ raftstore.StateMachine = (*Tree)(nil)

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
	cfg.limits.setDefaults()
	return &Tree{cfg: cfg, hub: newHub(cfg.limits), due: due{next: never, waiter: make(chan struct{}, 1)}}
}

// Open opens the state in dir, or a new one, and returns its position.
func (t *Tree) Open(_ context.Context, dir string) (raftstore.Position, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.db != nil || t.hub.closed() {
		return raftstore.Position{}, errors.New("tree: opened twice")
	}
	db, err := pebble.Open(dir, t.options())
	if err != nil {
		return raftstore.Position{}, fmt.Errorf("tree: open %s: %w", dir, err)
	}
	t.db = db
	if err := t.load(); err != nil {
		t.db = nil
		return raftstore.Position{}, fmt.Errorf("tree: open %s: %w", dir, errors.Join(err, db.Close()))
	}
	return t.state.pos, nil
}

// load reads into memory what Apply keeps there.
func (t *Tree) load() error {
	switch format, err := get(t.db, metaFormat); {
	case err != nil:
		return err
	case format == nil:
		if err := t.db.Set(metaFormat, []byte{formatVersion}, pebble.NoSync); err != nil {
			return err
		}
	case len(format) != 1 || format[0] != formatVersion:
		return fmt.Errorf("unknown format %x, this program knows %d", format, formatVersion)
	}
	b, err := get(t.db, metaState)
	if err != nil {
		return err
	}
	if b != nil {
		if err := t.state.decode(b); err != nil {
			return err
		}
	}
	if t.state.pos.Membership, err = get(t.db, metaMembership); err != nil {
		return err
	}
	if err := t.hist.load(t.db); err != nil {
		return err
	}
	t.index.Store(t.state.index)
	t.floor.Store(t.hist.floor(t.state.index))
	t.hub.start(t.state.index)
	_, _, err = t.due.find(t.db)
	return err
}

func (s *state) encode() []byte {
	b := binary.AppendUvarint(nil, s.pos.Index)
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

// Close makes the state durable and releases it. Watches end.
func (t *Tree) Close() error {
	t.hub.close(t.stopped())
	t.due.close()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.db == nil {
		return nil
	}
	err := errors.Join(t.db.Flush(), t.db.Close())
	t.db = nil
	if err != nil {
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

// Members returns what members have published about themselves, by id.
func (t *Tree) Members() ([]Member, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.db == nil {
		return nil, t.stopped()
	}
	var ms []Member
	err := scan(t.db, []byte{tableMember}, tableEnd(tableMember), func(k, v []byte) (bool, error) {
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
