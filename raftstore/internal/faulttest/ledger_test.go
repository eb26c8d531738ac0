package faulttest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/pebblelog"
)

// ledger is a Snapshotter that writes down every command, numbered from 1. The
// result of a command is its number.
//
//	'c' number(8 BE)  a command
//	'p'               the head, as JSON
//
// The database has no WAL: what a crash takes is applied again.
type ledger struct {
	fs   vfs.FS
	seen *record

	failure atomic.Pointer[error]
	durable atomic.Uint64

	// mu is held while the state changes or is copied. It is no sync.Mutex,
	// because a bubble's time stands still while one is waited for, and a disk
	// may hang.
	mu   gate
	db   *pebble.DB
	head head

	installed int // snapshots
}

// gate is a mutex: a channel with one place, which the holder fills.
type gate chan struct{}

func (g gate) Lock()   { g <- struct{}{} }
func (g gate) Unlock() { <-g }

func newLedger(fsys vfs.FS, seen *record) *ledger {
	return &ledger{fs: fsys, seen: seen, mu: make(gate, 1)}
}

// head is where a ledger ends.
type head struct {
	Pos   raftstore.Position
	Count uint64
}

var (
	keyHead = []byte{'p'}

	_ raftstore.Snapshotter = (*ledger)(nil)
)

func (l *ledger) Open(_ context.Context, dir string) (raftstore.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open(dir)
}

func (l *ledger) Install(_ context.Context, dir string) (raftstore.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.installed++
	if err := l.db.Close(); err != nil {
		return raftstore.Position{}, err
	}
	l.db = nil
	return l.open(dir)
}

func (l *ledger) open(dir string) (raftstore.Position, error) {
	db, err := pebble.Open(dir, &pebble.Options{
		FS:                 pebblelog.Guard(l.fs, l.fail),
		DisableWAL:         true,
		FormatMajorVersion: pebble.FormatNewest,
		MemTableSize:       64 << 10,
		CacheSize:          1 << 20,
		Logger:             quiet{l},
		EventListener: &pebble.EventListener{
			BackgroundError: l.fail,
			DataCorruption:  func(info pebble.DataCorruptionInfo) { l.fail(info.Details) },
		},
	})
	if err = errors.Join(l.err(), err); err != nil {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
		return raftstore.Position{}, err
	}
	l.db = db
	if l.head, err = readHead(db, nil); err != nil {
		return raftstore.Position{}, err
	}
	l.durable.Store(l.head.Pos.Index)
	return l.head.Pos, nil
}

func readHead(db *pebble.DB, o *pebble.IterOptions) (h head, err error) {
	it, err := db.NewIter(o)
	if err != nil {
		return h, err
	}
	if it.SeekGE(keyHead) {
		err = json.Unmarshal(it.Value(), &h)
	}
	return h, errors.Join(err, it.Close())
}

func (l *ledger) Apply(cmds []raftstore.Command, pos raftstore.Position) ([][]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if pos.Index <= l.head.Pos.Index {
		return nil, fmt.Errorf("batch up to %d after one up to %d", pos.Index, l.head.Pos.Index)
	}
	b := l.db.NewBatch()
	defer b.Close()
	h := head{pos, l.head.Count}
	results := make([][]byte, len(cmds))
	for i, c := range cmds {
		h.Count++
		l.seen.applied(h.Count, string(c.Data))
		if err := b.Set(entryKey(h.Count), c.Data, nil); err != nil {
			return nil, err
		}
		results[i] = fmt.Append(nil, h.Count)
	}
	v, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	if err := b.Set(keyHead, v, nil); err != nil {
		return nil, err
	}
	if err := errors.Join(b.Commit(pebble.NoSync), l.err()); err != nil {
		return nil, err
	}
	l.head = h
	return results, nil
}

func entryKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'c'}, n) }

func (l *ledger) Durable() uint64 { return l.durable.Load() }

// noteDurable looks what the database has made durable, unless its disk failed:
// then it says so of what is not.
func (l *ledger) noteDurable() error {
	h, err := readHead(l.db, &pebble.IterOptions{OnlyReadGuaranteedDurable: true})
	if err = errors.Join(err, l.err()); err == nil {
		l.durable.Store(h.Pos.Index)
	}
	return err
}

func (l *ledger) Flush(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.db.Flush(), l.noteDurable())
}

func (l *ledger) Checkpoint(_ context.Context, dir string) (raftstore.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := errors.Join(l.db.Flush(), l.db.Checkpoint(dir), l.err())
	return l.head.Pos, err
}

func (l *ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.db == nil {
		return nil
	}
	err := errors.Join(l.db.Flush(), l.db.Close(), l.err())
	l.db = nil
	return err
}

var errLedgerClosed = errors.New("the ledger is closed")

// commands returns all that was applied, in order.
func (l *ledger) commands() ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.db == nil {
		return nil, errLedgerClosed
	}
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: entryKey(0), UpperBound: keyHead})
	if err != nil {
		return nil, err
	}
	var cmds []string
	for it.First(); it.Valid(); it.Next() {
		if n := binary.BigEndian.Uint64(it.Key()[1:]); n != uint64(len(cmds))+1 {
			return nil, errors.Join(fmt.Errorf("command %d follows %d", n, len(cmds)), it.Close())
		}
		cmds = append(cmds, string(it.Value()))
	}
	if err := it.Close(); err != nil {
		return nil, err
	}
	if uint64(len(cmds)) != l.head.Count {
		return nil, fmt.Errorf("%d commands, head says %d", len(cmds), l.head.Count)
	}
	return cmds, l.err()
}

func (l *ledger) fail(err error) { l.failure.CompareAndSwap(nil, &err) }

func (l *ledger) err() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// quiet keeps of Pebble's reports what ends the ledger.
type quiet struct{ l *ledger }

func (q quiet) Infof(string, ...any)              {}
func (q quiet) Errorf(string, ...any)             {}
func (q quiet) Fatalf(format string, args ...any) { q.l.fail(fmt.Errorf(format, args...)) }

// record is what is known of all commands, by whoever proposed or applied them.
type record struct {
	mu      sync.Mutex
	order   []string          // as applied by anybody
	acked   map[string]uint64 // number that the caller was told
	dropped map[string]error  // the caller was told that it was not applied
	wrong   []string
}

func newRecord() *record {
	return &record{acked: make(map[string]uint64), dropped: make(map[string]error)}
}

// fork returns a copy, for a twin of the cluster that goes its own way from here.
func (r *record) fork() *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &record{order: slices.Clone(r.order), acked: maps.Clone(r.acked), dropped: maps.Clone(r.dropped)}
}

// applied notes that some member applied cmd as its n-th command.
func (r *record) applied(n uint64, cmd string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch have := uint64(len(r.order)); {
	case n == have+1:
		r.order = append(r.order, cmd)
	case n > have+1:
		r.wrong = append(r.wrong, fmt.Sprintf("command %d is %q, nobody applied number %d", n, cmd, have+1))
	case r.order[n-1] != cmd:
		r.wrong = append(r.wrong, fmt.Sprintf("command %d is %q, others applied %q", n, cmd, r.order[n-1]))
	}
}

// answered notes what the caller of a command was told.
func (r *record) answered(cmd string, result []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		n, _ := strconv.ParseUint(string(result), 10, 64)
		r.acked[cmd] = n
	case !errors.Is(err, raftstore.ErrOutcomeUnknown):
		r.dropped[cmd] = err
	}
}

// check compares all the commands of a member with what the callers were told.
func (r *record) check(cmds []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.err(); err != nil {
		return err
	}
	at := make(map[string]uint64, len(cmds))
	for i, cmd := range cmds {
		if first, twice := at[cmd]; twice {
			return fmt.Errorf("command %q was applied twice, as %d and %d", cmd, first, i+1)
		}
		at[cmd] = uint64(i) + 1
		if err := r.dropped[cmd]; err != nil {
			return fmt.Errorf("command %q was applied as %d; its caller was told: %w", cmd, i+1, err)
		}
	}
	for cmd, n := range r.acked {
		if at[cmd] != n {
			return fmt.Errorf("command %q was acknowledged as number %d, is number %d of %d", cmd, n, at[cmd], len(cmds))
		}
	}
	return nil
}

// err returns what members applied differently. The mu is held.
func (r *record) err() error {
	if len(r.wrong) == 0 {
		return nil
	}
	return errors.New(r.wrong[0])
}

// checkPart compares the first commands of a member with those of the others.
func (r *record) checkPart(cmds []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(cmds), len(r.order))
	if !slices.Equal(cmds[:n], r.order[:n]) {
		return fmt.Errorf("the first %d commands are %q, others applied %q", n, cmds[:n], r.order[:n])
	}
	return r.err()
}
