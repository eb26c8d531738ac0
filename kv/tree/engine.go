package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A database is an open Pebble. It stays open until its users are done.
type database struct {
	*pebble.DB
	users sync.WaitGroup
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
	pdb, err := pebble.Open(dir, t.options())
	if err != nil {
		return nil, state{}, history{}, err
	}
	db := &database{DB: pdb}
	st, hist, err := db.load()
	if err != nil {
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

// durable returns the index of the last batch that a crash leaves.
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
	return st.pos.Index, errors.Join(err, it.Close())
}

// flush makes durable what was committed before the call.
func (db *database) flush(ctx context.Context) error {
	done, err := db.AsyncFlush()
	if err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// options returns the settings of the storage engine. There is no WAL: what a
// crash takes is applied again from the raft log.
func (t *Tree) options() *pebble.Options {
	o := &pebble.Options{
		DisableWAL:         true,
		FormatMajorVersion: pebble.FormatValueSeparation,
		FS:                 t.cfg.fs,
		MemTableSize:       uint64(t.cfg.memTable),
		Logger:             engineLogger{t.cfg.Logger},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { t.fail(err) },
		},
	}
	if t.cfg.InMemory {
		o.FS = vfs.NewMem()
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	o.FS = orderedFS{o.FS}
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

// orderedFS makes the files of a directory durable before a marker that names
// one of them is there, and the marker before the one it replaces goes. Pebble
// syncs the directory only after all three, and a file system may do them in any
// order.
type orderedFS struct{ vfs.FS }

// Create implements vfs.FS.
func (fs orderedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !strings.HasPrefix(fs.PathBase(name), "marker.") {
		return fs.FS.Create(name, category)
	}
	if err := fs.syncDir(name); err != nil {
		return nil, err
	}
	f, err := fs.FS.Create(name, category)
	if err != nil {
		return nil, err
	}
	if err := fs.syncDir(name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// syncDir syncs the directory that holds the named file.
func (fs orderedFS) syncDir(name string) error {
	dir, err := fs.OpenDir(fs.PathDir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Unwrap implements vfs.FS.
func (fs orderedFS) Unwrap() vfs.FS { return fs.FS }

// fail remembers that the engine lost the ability to write. The next Apply
// returns it.
func (t *Tree) fail(err error) {
	t.cfg.Logger.Error("key space storage failed", slog.Any("err", err))
	t.failed.CompareAndSwap(nil, &err)
}

// engineLogger passes on what Pebble logs.
type engineLogger struct{ log *slog.Logger }

// Infof implements pebble.Logger.
func (l engineLogger) Infof(format string, args ...any) {
	l.log.Debug(fmt.Sprintf(format, args...))
}

// Errorf implements pebble.Logger.
func (l engineLogger) Errorf(format string, args ...any) {
	l.log.Error(fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. Pebble calls it when it no longer knows
// what is on disk, and must not run on.
func (l engineLogger) Fatalf(format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	l.log.Error(msg)
	panic("tree: storage engine: " + msg)
}
