package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore/pebblelog"
)

// A database is an open Pebble. It stays open until its users are done.
type database struct {
	*pebble.DB
	users   sync.WaitGroup
	failure *failure
}

// use returns the current database for reading. The caller calls users.Done
// when it is done.
func (t *Tree) use() (*database, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.db == nil {
		return nil, t.stopped()
	}
	t.db.users.Add(1)
	return t.db, nil
}

// openDatabase opens the database in dir, or a new one, and reads what Apply
// keeps of it in memory.
func (t *Tree) openDatabase(dir string) (*database, state, history, error) {
	db := &database{failure: newFailure(t.cfg.Logger)}
	var err error
	if db.DB, err = pebble.Open(dir, t.options(db.failure)); err != nil {
		return nil, state{}, history{}, db.failure.or(err)
	}
	st, hist, err := db.load()
	if err = db.failure.or(err); err != nil {
		return nil, state{}, history{}, errors.Join(err, db.Close())
	}
	return db, st, hist, nil
}

// load reads what Apply keeps in memory. A new database is given its format.
func (db *database) load() (st state, hist history, err error) {
	switch format, err := get(db, metaFormat); {
	case err != nil:
		return st, hist, err
	case format == nil:
		if err := db.Set(metaFormat, []byte{formatVersion}, pebble.NoSync); err != nil {
			return st, hist, err
		}
	case len(format) != 1 || format[0] != formatVersion:
		return st, hist, fmt.Errorf("unknown format %x, this program knows %d", format, formatVersion)
	}
	if st, err = readState(db); err != nil {
		return st, hist, err
	}
	err = hist.load(db)
	return st, hist, err
}

// readState reads the state of the last batch; the zero state if there was
// none.
func readState(r pebble.Reader) (st state, err error) {
	b, err := get(r, metaState)
	if err == nil && b != nil {
		err = st.decode(b)
	}
	if err == nil {
		st.pos.Membership, err = get(r, metaMembership)
	}
	return st, err
}

// durable returns the index of the last batch that a crash leaves, 0 if that
// cannot be told since the storage failed.
func (db *database) durable() (uint64, error) {
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound: metaState, UpperBound: append(metaState[:2:2], 0), OnlyReadGuaranteedDurable: true,
	})
	if err != nil {
		return 0, err
	}
	var st state
	if it.First() {
		err = st.decode(it.Value())
	}
	if err := errors.Join(err, it.Close()); err != nil {
		return 0, err
	}
	// Pebble knows nothing of a failed disk, and takes for durable what is not.
	if db.failure.or(nil) != nil {
		return 0, nil
	}
	return st.pos.Index, nil
}

// flush makes durable what was committed before the call.
func (db *database) flush(ctx context.Context) error {
	if err := db.failure.or(nil); err != nil {
		return err
	}
	done, err := db.AsyncFlush()
	if err != nil {
		return db.failure.or(err)
	}
	select {
	case <-done:
	case <-db.failure.happened:
	case <-ctx.Done():
		return ctx.Err()
	}
	return db.failure.or(nil)
}

// options returns the settings of the storage engine. There is no WAL: what a
// crash takes is applied again from the raft log. Once f has happened, nothing
// more is written.
func (t *Tree) options(f *failure) *pebble.Options {
	o := &pebble.Options{
		DisableWAL:         true,
		FormatMajorVersion: pebble.FormatValueSeparation,
		FS:                 t.cfg.fs,
		MemTableSize:       uint64(t.cfg.memTable),
		Logger:             engineLogger{f},
		EventListener: &pebble.EventListener{
			BackgroundError: f.happen,
			DataCorruption:  func(info pebble.DataCorruptionInfo) { f.happen(info.Details) },
		},
	}
	if t.cfg.InMemory {
		o.FS = vfs.NewMem()
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	o.FS = pebblelog.Guard(linkFS{o.FS}, f.happen)
	o.MemTableStopWritesThreshold = 3
	// Memtables are taken out of the cache, so it has to be that much larger.
	o.CacheSize = t.cfg.CacheBytes + 3*int64(o.MemTableSize)
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	// Few large files: to create one costs as much as to write a hundred records.
	o.TargetFileSizes[0] = 8 << 20
	o.Experimental.SpanPolicyFunc = storagePolicy
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled: true, MinimumSize: apartBytes, MaxBlobReferenceDepth: 10,
			TargetGarbageRatio: 1, // a file's events go all at about the same time
		}
	}
	return o
}

// apartBytes is how large a record of the changelog must be to be kept apart from
// its key.
const apartBytes = 128

// storagePolicy has the changelog written once: compactions move its keys, and
// leave what the keys stand for where it is until it is forgotten. It also gives
// each of its files to the changelog alone or to other tables alone, so that those
// of forgotten events go whole.
func storagePolicy(start []byte) (pebble.SpanPolicy, []byte, error) {
	together := pebble.SpanPolicy{ValueStoragePolicy: pebble.ValueStorageLowReadLatency}
	begin, end := []byte{tableEvent}, tableEnd(tableEvent)
	switch {
	case bytes.Compare(start, begin) < 0:
		return together, begin, nil
	case bytes.Compare(start, end) < 0:
		return pebble.SpanPolicy{}, end, nil
	}
	return together, nil, nil
}

// linkFS copies a file where it cannot be linked, as on file systems without
// links. That is not for Pebble to do, since its guard takes a link that fails for
// a failed disk.
type linkFS struct{ vfs.FS }

// Link implements vfs.FS.
func (f linkFS) Link(from, to string) error {
	err := f.FS.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		return err
	}
	return vfs.Copy(f.FS, from, to)
}

// Unwrap implements vfs.FS.
func (f linkFS) Unwrap() vfs.FS { return f.FS }

// A failure is why a database is no longer to be trusted with writes. It happens
// at most once, at any time, and ends the Tree: what is asked of it next, be it
// Apply or Flush, returns the error. What has been applied can still be read.
type failure struct {
	log      *slog.Logger
	once     sync.Once
	err      error         // set before happened is closed
	happened chan struct{} // closed when it has
}

func newFailure(log *slog.Logger) *failure {
	return &failure{log: log, happened: make(chan struct{})}
}

// happen is told of all errors, of which the first counts: the engine meets the
// others because of it.
func (f *failure) happen(err error) {
	f.once.Do(func() {
		f.err = fmt.Errorf("storage failed: %w", err)
		close(f.happened)
		// As text: the engine's errors would have their stacks logged.
		f.log.Error("tree: storage failed", slog.String("err", err.Error()))
	})
}

// or returns the failure, or else err, which may be due to a failure or be nil
// because the engine does not know of it.
func (f *failure) or(err error) error {
	select {
	case <-f.happened:
		return f.err
	default:
		return err
	}
}

// engineLogger passes on what Pebble logs.
type engineLogger struct{ failure *failure }

// Infof implements pebble.Logger.
func (l engineLogger) Infof(format string, args ...any) {
	l.failure.log.Debug(fmt.Sprintf(format, args...))
}

// Errorf implements pebble.Logger.
func (l engineLogger) Errorf(format string, args ...any) {
	l.failure.log.Error(fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. Pebble calls it when it no longer knows what
// is on disk, and goes on with an error if it returns.
func (l engineLogger) Fatalf(format string, args ...any) {
	l.failure.happen(fmt.Errorf(format, args...))
}
