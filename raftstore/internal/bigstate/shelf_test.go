package bigstate

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strakeproject/strake/raftstore"
)

// shelf is a Snapshotter of the plain kind: a Pebble database without a WAL,
// which holds key and value of each command and the position. The command is the
// key, keySize bytes, and then the value.
type shelf struct {
	durable atomic.Uint64
	flushed atomic.Pointer[pebble.DB] // the database, once it is open

	// mu is held for reading while the database is used. What is written at a time
	// is written as one batch, so a checkpoint needs no more than that.
	mu sync.RWMutex
	db *pebble.DB
}

const keySize = 8

var (
	keyPosition = []byte("position") // sorts after all keys, whose first bytes are 0

	_ raftstore.Snapshotter = (*shelf)(nil)
)

func (s *shelf) Open(_ context.Context, dir string) (raftstore.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open(dir)
}

func (s *shelf) Install(_ context.Context, dir string) (raftstore.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushed.Store(nil)
	if err := s.db.Close(); err != nil {
		return raftstore.Position{}, err
	}
	return s.open(dir)
}

func (s *shelf) open(dir string) (pos raftstore.Position, err error) {
	s.db, err = pebble.Open(dir, &pebble.Options{
		DisableWAL:         true,
		FormatMajorVersion: pebble.FormatNewest,
		MemTableSize:       32 << 20,
		CacheSize:          160 << 20,
		Logger:             quiet{},
		EventListener:      &pebble.EventListener{FlushEnd: func(pebble.FlushInfo) { s.noteDurable() }},
	})
	if err != nil {
		return pos, err
	}
	pos, err = readPosition(s.db, nil)
	s.durable.Store(pos.Index)
	s.flushed.Store(s.db)
	return pos, err
}

// readPosition returns the zero Position if there is none.
func readPosition(db pebble.Reader, o *pebble.IterOptions) (pos raftstore.Position, err error) {
	it, err := db.NewIter(o)
	if err != nil {
		return pos, err
	}
	if it.SeekGE(keyPosition) {
		err = json.Unmarshal(it.Value(), &pos)
	}
	return pos, errors.Join(err, it.Close())
}

func (s *shelf) Apply(cmds []raftstore.Command, pos raftstore.Position) ([][]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b := s.db.NewBatch()
	defer b.Close()
	for _, c := range cmds {
		if err := b.Set(c.Data[:keySize], c.Data[keySize:], nil); err != nil {
			return nil, err
		}
	}
	v, err := json.Marshal(pos)
	if err != nil {
		return nil, err
	}
	if err := b.Set(keyPosition, v, nil); err != nil {
		return nil, err
	}
	return make([][]byte, len(cmds)), b.Commit(pebble.NoSync)
}

// has reports whether there is a value for the n-th key.
func (s *shelf) has(n uint64) (bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, closer, err := s.db.Get(key(n))
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, closer.Close()
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func (s *shelf) Durable() uint64 { return s.durable.Load() }

// noteDurable runs when the database has flushed, which it does once at a time.
func (s *shelf) noteDurable() {
	db := s.flushed.Load()
	if db == nil {
		return
	}
	pos, err := readPosition(db, &pebble.IterOptions{OnlyReadGuaranteedDurable: true})
	if err == nil && pos.Index > s.durable.Load() {
		s.durable.Store(pos.Index)
	}
}

func (s *shelf) Flush(context.Context) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db.Flush()
}

func (s *shelf) Checkpoint(_ context.Context, dir string) (raftstore.Position, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.db.Flush(); err != nil {
		return raftstore.Position{}, err
	}
	if err := s.db.Checkpoint(dir); err != nil {
		return raftstore.Position{}, err
	}
	// The copy may be ahead of the flush, and says itself where it is.
	copied, err := pebble.Open(dir, &pebble.Options{ReadOnly: true, Logger: quiet{}})
	if err != nil {
		return raftstore.Position{}, err
	}
	pos, err := readPosition(copied, nil)
	return pos, errors.Join(err, copied.Close())
}

func (s *shelf) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	s.flushed.Store(nil)
	return errors.Join(s.db.Flush(), s.db.Close())
}

// quiet keeps Pebble from reporting what it does.
type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, _ ...any) { panic("pebble: " + format) }
