package tree

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strakeproject/strake/kv"
)

// A watcher is one watch: a cursor over the events, and what to match.
//
// It is parked while nothing that it has not examined concerns it; then the hub
// looks out for it, and sets its cursor on the event that wakes it. Awake, it
// examines the events from its cursor on by itself, at the pace of its reader.
// So no event is ever queued for it.
type watcher struct {
	key       string
	recursive bool
	live      uint64        // events from this index on were published after it came
	wake      chan struct{} // of capacity 1: it has been unparked, or the hub is closed

	// Guarded by hub.mu.
	next   uint64   // the first index not examined
	gone   []uint64 // removals of directories that took its key along, ascending
	parked bool
	cut    bool // what comes next was lost
}

// fetchMost bounds how many events one turn hands out or examines.
const fetchMost = 512

// Watch observes changes of a key, as kv.Store describes. Events below
// opts.From are not examined, so From may lie in the future.
//
// What happens from now on matches a watch of key W, if it happens
//   - to W;
//   - below W, if the watch is recursive and no segment below W begins with an
//     underscore;
//   - to a directory above W, if that went away and W, which existed, with it.
//
// What is history matches as in the original: underscores hide nothing, and the
// removal of a directory matches every W that its key is a prefix of.
// Refreshes match nothing.
func (t *Tree) Watch(ctx context.Context, key string, opts kv.WatchOptions) (*kv.Watch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &watcher{
		key: kv.Clean(key), recursive: opts.Recursive, next: opts.From,
		wake: make(chan struct{}, 1),
	}
	index, err := t.hub.register(w)
	if err != nil {
		return nil, err
	}
	// A watch whose events nobody ranges over has to go with its context too.
	stop := context.AfterFunc(ctx, func() { t.hub.remove(w) })
	events := func(yield func(kv.Event, error) bool) {
		defer t.hub.remove(w)
		defer stop()
		for {
			evs, err := t.fetch(ctx, w)
			if err != nil {
				yield(kv.Event{}, &kv.WatchError{Resume: t.hub.cursor(w), Err: err})
				return
			}
			for _, ev := range evs {
				if !yield(ev, nil) {
					return
				}
			}
		}
	}
	return &kv.Watch{Index: index, Events: events}, nil
}

// cleared is the error of a watch from an index that history has lost.
func cleared(floor, asked, index uint64) error {
	return &kv.Error{
		Code:  kv.CodeHistoryCleared,
		Cause: fmt.Sprintf("the requested history has been cleared [%d/%d]", floor, asked),
		Index: index,
	}
}

// fetch returns the next events of a watcher, at least one unless it fails.
func (t *Tree) fetch(ctx context.Context, w *watcher) ([]kv.Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		evs, state, err := t.hub.examine(w)
		if err != nil {
			return nil, err
		}
		if state.behind {
			evs, err = t.fetchHistory(w, state)
			if err != nil {
				return nil, err
			}
		}
		if len(evs) > 0 {
			return evs, nil
		}
		if !state.parked {
			continue
		}
		select {
		case <-ctx.Done():
		case <-w.wake:
		}
	}
}

// fetchHistory takes the watcher through a stretch of the changelog, up to
// where the hub's ring takes over.
func (t *Tree) fetchHistory(w *watcher, state watchState) ([]kv.Event, error) {
	var evs []kv.Event
	examined := 0
	next := state.ring
	err := t.readHistory(state.next, state.ring-1, func(ev event) bool {
		if examined == fetchMost {
			next = ev.Index
			return false
		}
		examined++
		if w.matches(&ev, state.gone) {
			evs = append(evs, ev.Event)
		}
		return true
	})
	if errors.Is(err, errHistory) {
		return nil, cleared(t.floor.Load(), state.next, t.Index())
	}
	if err != nil {
		return nil, err
	}
	t.hub.advance(w, next)
	return evs, nil
}

// matches reports whether an event is for the watcher; gone is its own.
func (w *watcher) matches(ev *event, gone []uint64) bool {
	key := ev.Node.Key
	switch {
	case ev.refresh:
		return false
	case key == w.key:
		return true
	case w.recursive && kv.Below(key, w.key):
		return ev.Index < w.live || !hiddenBelow(key, w.key)
	case ev.Index < w.live:
		return removesDir(ev) && strings.HasPrefix(w.key, key)
	default:
		return slices.Contains(gone, ev.Index)
	}
}

// removesDir reports whether an event took away a directory with all below.
func removesDir(ev *event) bool {
	return ev.Node.Dir && (ev.Action == kv.ActionDelete || ev.Action == kv.ActionExpire)
}

// hiddenBelow reports whether a segment of key, which lies under dir, begins
// with an underscore.
func hiddenBelow(key, dir string) bool {
	return strings.Contains(key[len(under(dir))-1:], "/_")
}
