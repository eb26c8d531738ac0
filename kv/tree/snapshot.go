package tree

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/raftstore"
)

// Why state without a write-ahead log can be trusted: a batch carries its own
// position and enters one memtable as a whole, range deletions included, and
// memtables reach the disk in order, each by one edit of the manifest. So what a
// crash leaves, and what a checkpoint links, is the state after some batch.

// Durable returns the position up to which the state survives a crash; 0 for a
// tree in memory, none of which does.
func (t *Tree) Durable() uint64 {
	if t.cfg.InMemory {
		return 0
	}
	db, err := t.use()
	if err != nil {
		return t.durable.Load()
	}
	defer db.users.Done()
	index, err := db.durable()
	if err != nil {
		t.cfg.Logger.Warn("cannot tell what is durable of the key space", slog.Any("err", err))
	}
	for {
		known := t.durable.Load()
		if index <= known || t.durable.CompareAndSwap(known, index) {
			return max(index, known)
		}
	}
}

// Flush makes durable what was applied when it was called.
func (t *Tree) Flush(ctx context.Context) error {
	db, err := t.use()
	if err != nil {
		return err
	}
	defer db.users.Done()
	if err := db.flush(ctx); err != nil {
		return fmt.Errorf("tree: flush: %w", err)
	}
	return nil
}

// Checkpoint makes a copy of the state in the new directory dir, of hard links
// where the file system has them, and returns its position, which is at least
// that of the last Apply before the call.
func (t *Tree) Checkpoint(ctx context.Context, dir string) (raftstore.Position, error) {
	if t.cfg.InMemory {
		return raftstore.Position{}, errors.New("tree: a state in memory has no files to copy")
	}
	db, err := t.use()
	if err != nil {
		return raftstore.Position{}, err
	}
	defer db.users.Done()
	if err := db.flush(ctx); err != nil {
		return raftstore.Position{}, fmt.Errorf("tree: checkpoint: %w", err)
	}
	if err := db.failure.or(db.Checkpoint(dir)); err != nil {
		return raftstore.Position{}, fmt.Errorf("tree: checkpoint: %w", err)
	}
	pos, err := t.positionIn(dir)
	if err != nil {
		return raftstore.Position{}, fmt.Errorf("tree: read checkpoint %s: %w", dir, err)
	}
	return pos, nil
}

// positionIn reads the position of the checkpoint in dir from itself: the
// database may have moved on between the flush and the copy.
func (t *Tree) positionIn(dir string) (pos raftstore.Position, err error) {
	f := newFailure(t.cfg.Logger)
	o := t.options(f)
	o.ReadOnly = true
	o.CacheSize = 1 << 20
	db, err := pebble.Open(dir, o)
	if err != nil {
		return pos, f.or(err)
	}
	st, err := readState(db)
	return st.pos, f.or(errors.Join(err, db.Close()))
}

// Install replaces the state by the checkpoint in dir. Reads go on meanwhile.
// Watches go on without a gap if the checkpoint's history begins no later than
// what they have seen; otherwise they end with kv.ErrHistoryCleared.
func (t *Tree) Install(_ context.Context, dir string) (raftstore.Position, error) {
	old := t.db
	if old == nil {
		return raftstore.Position{}, ErrClosed
	}
	db, st, hist, err := t.openDatabase(dir)
	if err != nil {
		return raftstore.Position{}, fmt.Errorf("tree: install %s: %w", dir, err)
	}
	if err := t.replace(old, db, st, hist); err != nil {
		return raftstore.Position{}, fmt.Errorf("tree: install %s: %w", dir, errors.Join(err, db.Close()))
	}
	old.users.Wait()
	if err := old.Close(); err != nil {
		// Nothing there is needed any more.
		t.cfg.Logger.Warn("replaced state not closed well", slog.Any("err", err))
	}
	if err := t.due.reload(db); err != nil {
		return raftstore.Position{}, fmt.Errorf("tree: install %s: %w", dir, err)
	}
	return st.pos, nil
}

// replace makes db the current database, unless it fails. Nobody registers or
// examines a watch in between.
func (t *Tree) replace(old, db *database, st state, hist history) error {
	if st.index < t.state.index {
		return fmt.Errorf("it is at index %d, older than the state at %d", st.index, t.state.index)
	}
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	floor := hist.floor(st.index)
	if floor <= t.hub.index+1 {
		if err := t.hub.markRemovals(old, db, st.index); err != nil {
			return err
		}
	}
	t.adopt(db, st, hist)
	t.hub.jump(st.index, floor)
	return nil
}

// markRemovals finds the removals among the events that db holds beyond those
// published, up to index, and tells watchers whose keys they took along. Whether
// a key was there tells old, and what happened since.
func (h *hub) markRemovals(old, db *database, index uint64) error {
	if len(h.root.children) == 0 {
		return nil
	}
	changed := make(map[string]bool) // of watched keys: exists now
	exists := func(key string) (bool, error) {
		if now, ok := changed[key]; ok {
			return now, nil
		}
		r, err := readRecord(old, key)
		return r != nil, err
	}
	var failed error
	err := db.readEvents(h.index+1, index, func() error { return nil }, func(ev event) bool {
		failed = h.markRemoval(&ev, exists, changed)
		return failed == nil
	})
	return errors.Join(failed, err)
}

// markRemoval takes one event into account.
func (h *hub) markRemoval(ev *event, exists func(string) (bool, error), changed map[string]bool) error {
	key := ev.Node.Key
	switch ev.Action {
	case kv.ActionDelete, kv.ActionExpire, kv.ActionCompareAndDelete:
	default:
		// The key exists, and so do all above it.
		h.root.along(key, func(key string) { changed[key] = true })
		return nil
	}
	if ev.Node.Dir {
		if err := h.markGone(key, ev.Index, exists); err != nil {
			return err
		}
	}
	at := h.root.at(key, false)
	if at == nil {
		return nil
	}
	return at.walk(key, func(key string, at *spot) error {
		if len(at.watchers) > 0 {
			changed[key] = false
		}
		return nil
	})
}
