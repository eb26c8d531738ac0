package registry

import (
	"context"
	"errors"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/unit"
)

// How long a follower pauses after a failure: at first, and at most.
const (
	minPause = 100 * time.Millisecond
	maxPause = 3 * time.Second
)

// errStoreReset means that the store is behind what was already read from it:
// its data is not the data that the view was made of.
var errStoreReset = errors.New("store is behind an earlier reading")

// follower keeps one directory of a view current.
type follower struct {
	r     *Registry
	v     *View
	dir   string
	own   *ownWrites // of the directory
	from  uint64     // index of the first change that is not in the view
	pause time.Duration
}

// load reads the whole directory into the view.
func (f *follower) load(ctx context.Context) error {
	ev, err := f.r.read(ctx, f.dir, true)
	index := ev.Index
	if e, ok := errors.AsType[*kv.Error](err); ok && e.Code == kv.CodeKeyNotFound {
		ev.Node, index = kv.Node{Key: f.dir, Dir: true}, e.Index
	} else if err != nil {
		return err
	}
	// Files first, so that no unit is without its file for a moment.
	needed := newMirror(f.v.m.scope, f.r.derive)
	needed.load(f.r.keys, ev.Node)
	files := make(fileSet)
	if err := f.r.fetch(ctx, files, f.v.lacks(needed.missing())); err != nil {
		return err
	}
	unpin := f.v.pin(files)
	f.v.reload(f.own, index, ev.Node)
	unpin()
	f.from = index + 1
	return nil
}

// run watches the directory until ctx ends, and reads it again whenever the
// store cannot tell what has happened meanwhile.
func (f *follower) run(ctx context.Context) {
	reload := false
	for {
		var err error
		if reload {
			err = f.load(ctx)
		}
		if err == nil {
			err = f.watch(ctx)
			reload = errors.Is(err, kv.ErrHistoryCleared) || errors.Is(err, errStoreReset) ||
				errors.Is(err, &kv.Error{Code: kv.CodeWatcherCleared})
		}
		if ctx.Err() != nil {
			return
		}
		f.r.log.Warn("registry watch is interrupted", "key", f.dir, "err", err)
		if f.wait(ctx) != nil {
			return
		}
	}
}

// watch applies changes to the view until the watch breaks.
func (f *follower) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := f.r.store.Watch(ctx, f.dir, kv.WatchOptions{Recursive: true, From: f.from})
	if err != nil {
		return err
	}
	if w.Index+1 < f.from {
		return errStoreReset
	}
	for ev, err := range w.Events {
		if err != nil {
			if we, ok := errors.AsType[*kv.WatchError](err); ok {
				f.from = max(f.from, we.Resume)
			}
			return err
		}
		if err := f.apply(ctx, ev); err != nil {
			return err
		}
		f.from = ev.Index + 1
		f.pause = 0
	}
	return nil
}

// apply takes one change into the view, with the unit file that goes with it.
func (f *follower) apply(ctx context.Context, ev kv.Event) error {
	files := make(fileSet)
	if h := f.v.needs(ev); !h.IsZero() {
		if err := f.fetch(ctx, files, h); err != nil {
			return err
		}
	}
	unpin := f.v.pin(files)
	f.v.applyWatched(f.own, ev)
	unpin()
	// A unit may have come into scope by other means than a new file.
	return f.fetch(ctx, f.v, f.v.missing()...)
}

// fetch gets unit files, however long that takes.
func (f *follower) fetch(ctx context.Context, taker fileTaker, hashes ...unit.Hash) error {
	for len(hashes) > 0 {
		err := f.r.fetch(ctx, taker, hashes)
		if err == nil {
			return nil
		}
		f.r.log.Warn("unit files cannot be fetched", "err", err)
		if err := f.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// wait pauses, longer each time until something has worked.
func (f *follower) wait(ctx context.Context) error {
	f.pause = min(max(2*f.pause, minPause), maxPause)
	t := time.NewTimer(f.pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
