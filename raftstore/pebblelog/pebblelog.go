package pebblelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
)

// Store is a raftstore.LogStore on Pebble. Append must not be called
// concurrently; reads may run beside it.
//
// Keys, one batch per Append:
//
//	01 'H'           hard state: term, vote, commit, 8 bytes LE each
//	01 'B'           base: index, term, 8 bytes LE each
//	02 index(8 BE)   entry: uvarint term, kind byte, data
//
// A disk that fails ends the store, not the process: the operation under way
// and all later ones return the error, and nothing more is written.
type Store struct {
	db  *pebble.DB
	log *slog.Logger
	// Those of Append alone.
	base, last uint64
	stamp      stamp                 // of the latest batch
	failure    atomic.Pointer[error] // the first; set once
}

var _ raftstore.LogStore = (*Store)(nil)

// Options tune a Store. The zero value is the default.
type Options struct {
	// FS is the file system; nil means the operating system's. Tests give a
	// crashable one.
	FS vfs.FS
	// Logger receives what Pebble reports; nil means nobody does.
	Logger *slog.Logger
}

var (
	keyHard = []byte{0x01, 'H'}
	keyBase = []byte{0x01, 'B'}
)

const (
	entryPrefix = 0x02
	entriesEnd  = 0x03
)

// Open opens the log in dir, making it if it does not exist. The directory is
// locked until Close.
func Open(dir string, o Options) (*Store, error) {
	s := &Store{log: o.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	fsys := o.FS
	if fsys == nil {
		fsys = vfs.Default
	}
	if err := verify(fsys, dir); err != nil {
		return nil, fmt.Errorf("pebblelog: open %s: %w", dir, err)
	}
	var err error
	s.db, err = pebble.Open(dir, s.pebbleOptions(fsys))
	if pebble.IsCorruptionError(err) {
		err = fmt.Errorf("%w: %w", raftstore.ErrCorrupt, err)
	}
	if failed := s.err(); failed != nil {
		err = errors.Join(failed, err)
	}
	var st raftstore.LogState
	if err == nil {
		st, err = s.State()
	}
	if err != nil {
		if s.db != nil {
			err = errors.Join(err, s.db.Close())
		}
		return nil, fmt.Errorf("pebblelog: open %s: %w", dir, err)
	}
	s.base, s.last = st.Base.Index, st.Last
	return s, nil
}

// pebbleOptions are for a log: written once, read rarely, deleted from the
// front. Small memtables keep the WAL files that Pebble recycles warm, which is
// worth a tenth of an append's latency.
func (s *Store) pebbleOptions(fsys vfs.FS) *pebble.Options {
	return &pebble.Options{
		FS:                          Guard(fsys, s.fail),
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                8 << 20,
		MemTableStopWritesThreshold: 4,
		L0StopWritesThreshold:       64,
		CacheSize:                   3*8<<20 + 8<<20, // memtables are charged to the cache
		Logger:                      logger{s},
		EventListener: &pebble.EventListener{
			BackgroundError: s.fail,
			DataCorruption:  func(info pebble.DataCorruptionInfo) { s.fail(info.Details) },
		},
	}
}

// fail notes why the store is at its end.
func (s *Store) fail(err error) {
	if s.failure.CompareAndSwap(nil, &err) {
		s.log.Error("pebblelog: log failed", "err", err)
	}
}

// err returns why the store is at its end, nil if it is not.
func (s *Store) err() error {
	if failed := s.failure.Load(); failed != nil {
		return *failed
	}
	return nil
}

// State reads what the store holds.
func (s *Store) State() (raftstore.LogState, error) {
	var st raftstore.LogState
	if b, err := s.get(keyHard, 24); err != nil {
		return st, err
	} else if b != nil {
		le := binary.LittleEndian
		st.Hard = raftstore.HardState{Term: le.Uint64(b), Vote: le.Uint64(b[8:]), Commit: le.Uint64(b[16:])}
	}
	if b, err := s.get(keyBase, 16); err != nil {
		return st, err
	} else if b != nil {
		le := binary.LittleEndian
		st.Base = raftstore.LogPosition{Index: le.Uint64(b), Term: le.Uint64(b[8:])}
	}
	st.Last = st.Base.Index
	// From the base on, not from the start of the keys: what was trimmed away
	// lies there as tombstones.
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: entryKey(st.Base.Index + 1), UpperBound: []byte{entriesEnd}})
	if err != nil {
		return st, fmt.Errorf("pebblelog: %w", err)
	}
	if it.Last() {
		st.Last = binary.BigEndian.Uint64(it.Key()[1:])
	}
	return st, it.Close()
}

// get returns a copy of a value of fixed size, nil if the key is absent.
func (s *Store) get(key []byte, size int) ([]byte, error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pebblelog: read %q: %w", key, err)
	}
	defer closer.Close()
	if len(v) != size {
		return nil, fmt.Errorf("%w: pebblelog: record %q has %d bytes, want %d", raftstore.ErrCorrupt, key, len(v), size)
	}
	return append([]byte(nil), v...), nil
}

// Append writes a group as one batch.
func (s *Store) Append(g raftstore.LogGroup, sync bool) error {
	if err := s.err(); err != nil {
		return fmt.Errorf("pebblelog: %w", err)
	}
	empty := len(g.Entries) == 0 && g.Base == nil && g.Trim == nil && g.Hard == nil
	if empty && (!sync || s.stamp.number == s.stamp.synced) {
		return nil
	}
	b := s.db.NewBatch()
	defer b.Close()
	next := stamp{number: s.stamp.number + 1, synced: s.stamp.synced}
	if err := b.LogData(next.encode(), nil); err != nil {
		return err
	}
	base, last, err := setGroup(b, g, s.base, s.last)
	if err != nil {
		return err
	}
	opts := pebble.NoSync
	if sync {
		opts = pebble.Sync
		next.synced = next.number
	}
	err = b.Commit(opts)
	// Pebble knows nothing of a failed disk.
	if err = errors.Join(s.err(), err); err != nil {
		return fmt.Errorf("pebblelog: commit: %w", err)
	}
	s.base, s.last, s.stamp = base, last, next
	return nil
}

// setGroup writes a group over a log from base to last, and returns what it is
// from and to then.
func setGroup(b *pebble.Batch, g raftstore.LogGroup, base, last uint64) (newBase, newLast uint64, err error) {
	if g.Base != nil {
		if err := setBase(b, *g.Base, []byte{entryPrefix}, []byte{entriesEnd}); err != nil {
			return 0, 0, err
		}
		base, last = g.Base.Index, g.Base.Index
	}
	if t := g.Trim; t != nil {
		if t.Index < base || t.Index > last {
			return 0, 0, fmt.Errorf("pebblelog: cannot trim to %d a log from %d to %d", t.Index, base, last)
		}
		if err := setBase(b, *t, entryKey(base+1), entryKey(t.Index+1)); err != nil {
			return 0, 0, err
		}
		base = t.Index
	}
	if n := len(g.Entries); n > 0 {
		if err := setEntries(b, g.Entries, last); err != nil {
			return 0, 0, err
		}
		last = g.Entries[n-1].Index
	}
	if h := g.Hard; h != nil {
		le := binary.LittleEndian
		v := le.AppendUint64(le.AppendUint64(le.AppendUint64(nil, h.Term), h.Vote), h.Commit)
		if err := b.Set(keyHard, v, nil); err != nil {
			return 0, 0, err
		}
	}
	return base, last, nil
}

// setBase moves the base and deletes the entries from..to-1.
func setBase(b *pebble.Batch, base raftstore.LogPosition, from, to []byte) error {
	if err := b.DeleteRange(from, to, nil); err != nil {
		return err
	}
	le := binary.LittleEndian
	return b.Set(keyBase, le.AppendUint64(le.AppendUint64(nil, base.Index), base.Term), nil)
}

// setEntries writes entries over a log that ends at last.
func setEntries(b *pebble.Batch, entries []raftstore.LogEntry, last uint64) error {
	first, newLast := entries[0].Index, entries[len(entries)-1].Index
	if first > last+1 {
		return fmt.Errorf("pebblelog: entry %d leaves a gap after %d", first, last)
	}
	for _, e := range entries {
		// Key and value are built in place: the data is copied once.
		op := b.SetDeferred(9, uvarintLen(e.Term)+1+len(e.Data))
		op.Key[0] = entryPrefix
		binary.BigEndian.PutUint64(op.Key[1:], e.Index)
		n := binary.PutUvarint(op.Value, e.Term)
		op.Value[n] = byte(e.Kind)
		copy(op.Value[n+1:], e.Data)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	if last > newLast {
		return b.DeleteRange(entryKey(newLast+1), entryKey(last+1), nil)
	}
	return nil
}

// Entries reads entries lo..hi-1, fewer once they exceed maxBytes.
func (s *Store) Entries(lo, hi, maxBytes uint64) ([]raftstore.LogEntry, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: entryKey(lo), UpperBound: entryKey(hi)})
	if err != nil {
		return nil, fmt.Errorf("pebblelog: %w", err)
	}
	defer it.Close()
	var entries []raftstore.LogEntry
	var size uint64
	for it.First(); it.Valid() && (size <= maxBytes || len(entries) == 0); it.Next() {
		index := binary.BigEndian.Uint64(it.Key()[1:])
		if want := lo + uint64(len(entries)); index != want {
			return nil, fmt.Errorf("%w: pebblelog: entry %d is missing", raftstore.ErrCorrupt, want)
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, fmt.Errorf("pebblelog: read entry %d: %w", index, err)
		}
		e, err := decodeEntry(index, v)
		if err != nil {
			return nil, err
		}
		if size += uint64(len(e.Data)); size > maxBytes && len(entries) > 0 {
			break
		}
		entries = append(entries, e)
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("pebblelog: read entries from %d: %w", lo, err)
	}
	if len(entries) == 0 && lo < hi {
		return nil, fmt.Errorf("%w: pebblelog: entry %d is missing", raftstore.ErrCorrupt, lo)
	}
	return entries, nil
}

// decodeEntry returns an entry that does not alias v.
func decodeEntry(index uint64, v []byte) (raftstore.LogEntry, error) {
	term, n := binary.Uvarint(v)
	if n <= 0 || len(v) <= n {
		return raftstore.LogEntry{}, fmt.Errorf("%w: pebblelog: entry %d is malformed", raftstore.ErrCorrupt, index)
	}
	return raftstore.LogEntry{
		Index: index,
		Term:  term,
		Kind:  raftstore.EntryKind(v[n]),
		Data:  append([]byte(nil), v[n+1:]...),
	}, nil
}

// Close releases the store. It fails if the disk has failed before.
func (s *Store) Close() error {
	err := s.err()
	if err == nil {
		// A last stamp, for what was synced last.
		err = s.db.LogData(stamp{s.stamp.number + 1, s.stamp.synced}.encode(), pebble.NoSync)
	}
	if err = errors.Join(err, s.db.Close()); err != nil {
		return fmt.Errorf("pebblelog: close: %w", err)
	}
	return s.err()
}

func entryKey(index uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{entryPrefix}, index)
}

func uvarintLen(x uint64) int {
	n := 1
	for ; x >= 0x80; x >>= 7 {
		n++
	}
	return n
}

// logger passes on Pebble's reports. Its Fatalf, which by default ends the
// process, ends the store: Pebble goes on with an error.
type logger struct{ s *Store }

func (l logger) Infof(format string, args ...any)  { l.s.log.Debug(fmt.Sprintf(format, args...)) }
func (l logger) Errorf(format string, args ...any) { l.s.log.Error(fmt.Sprintf(format, args...)) }
func (l logger) Fatalf(format string, args ...any) { l.s.fail(fmt.Errorf(format, args...)) }
