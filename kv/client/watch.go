package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/strakeproject/strake/kv"
)

// The pause before another poll after one that brought nothing: none at first,
// then doubling between these two.
const (
	minPause = 50 * time.Millisecond
	maxPause = 5 * time.Second
)

// watcher is a watch made of long polls. It has no goroutine of its own: the
// first poll is opened by Watch, everything after that runs in the loop that
// ranges over Events.
//
//	poll from next -> headers -> (wait) -> event -> next = its index + 1 -> poll ...
//	                               |
//	                               +-> (nothing for long) -> next = index at the
//	                                   beginning of the poll + 1 -> poll ...
//
// The watch's context, or leaving the loop, ends the poll under way.
type watcher struct {
	client    *Client
	key       string
	recursive bool
	began     uint64 // store index when the watch began
	next      uint64 // waitIndex of the next poll
	poll      *liveBody
	polled    uint64 // store index when the poll began
	pause     time.Duration
}

// Watch implements kv.Store. It fails if no endpoint answers; once it is in
// place, the watch outlives lost connections and endpoints, and tries again and
// again until its context ends.
func (c *Client) Watch(ctx context.Context, key string, opts kv.WatchOptions) (*kv.Watch, error) {
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{client: c, key: kv.Clean(key), recursive: opts.Recursive, next: opts.From}
	if err := w.open(ctx); err != nil {
		cancel()
		return nil, fmt.Errorf("watch %s: %w", key, err)
	}
	w.began = w.polled
	if w.next == 0 {
		w.next = w.began + 1
	}
	return &kv.Watch{
		Index: w.began,
		Events: func(yield func(kv.Event, error) bool) {
			defer cancel()
			w.run(ctx, yield)
		},
	}, nil
}

// run delivers events until the watch ends.
func (w *watcher) run(ctx context.Context, yield func(kv.Event, error) bool) {
	defer func() { w.poll.Close() }()
	for {
		opened := time.Now()
		ev, err := w.read()
		_ = w.poll.Close() // it was read, or is not wanted any more
		switch {
		case err == nil:
			w.next = ev.Index + 1
			w.pause = 0
			if w.concerns(&ev) && !yield(ev, nil) {
				return
			}
		case errors.Is(err, errRenew):
			w.renew(ctx)
		case time.Since(opened) > maxPause:
			w.pause = 0 // the server, or something before it, ends long polls
		}
		if err := w.reopen(ctx); err != nil {
			yield(kv.Event{}, &kv.WatchError{Resume: w.next, Err: err})
			return
		}
	}
}

// errRenew ends a poll that has brought nothing for long.
var errRenew = errors.New("poll is to be renewed")

// read waits for the event of the current poll, for as long as a poll may last.
// An empty or cut body is an error, and so is the end of the context.
func (w *watcher) read() (kv.Event, error) {
	var old atomic.Bool
	poll := w.poll // the timer may fire when there is another one
	timer := time.AfterFunc(w.client.cfg.WatchRenewal, func() {
		old.Store(true)
		poll.cancel()
	})
	b, err := io.ReadAll(poll)
	timer.Stop()
	if err != nil && len(b) == 0 && old.Load() {
		return kv.Event{}, errRenew
	}
	if err != nil {
		return kv.Event{}, err
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return kv.Event{}, io.ErrUnexpectedEOF
	}
	ev, err := decodeEvent(b, 0)
	ev.Index = ev.Node.ModifiedIndex
	return ev, err
}

// renew prepares the poll that follows one without an event. What history had
// to offer would have come at once, so that the next poll need not look there
// again: were it to begin where this one did, a quiet key's watch would grow too
// old in a busy store. Whoever is asked whom it follows and follows nobody is
// not asked next.
func (w *watcher) renew(ctx context.Context) {
	w.next = max(w.next, w.polled+1)
	w.pause = 0
	if _, err := w.client.Leader(ctx); err != nil && ctx.Err() == nil {
		w.client.logger.Debug("no leader known where a watch is", "key", w.key, "err", err)
	}
}

// concerns reports whether an event belongs to the watch. What happens between
// two polls comes from the server's history, which is delivered more freely
// than what happens during a poll: without regard to underscores, and with
// removed directories whose key is a mere prefix. Such events are dropped here,
// unless they are older than the watch and history was asked for.
func (w *watcher) concerns(ev *kv.Event) bool {
	key := ev.Node.Key
	switch {
	case ev.Index <= w.began || kv.Below(w.key, key):
		return true
	case !w.recursive || !kv.Below(key, w.key):
		return false
	}
	below := strings.TrimPrefix(key, w.key)
	return !strings.Contains("/"+below, "/_")
}

// reopen opens the next poll, however long that takes. It fails when the
// context ends or the server refuses.
func (w *watcher) reopen(ctx context.Context) error {
	for {
		if err := w.rest(ctx); err != nil {
			return err
		}
		err := w.open(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case final(err):
			return err
		}
		w.client.logger.Warn("watch interrupted", "key", w.key, "resume", w.next, "err", err)
	}
}

// rest pauses before the next poll, longer each time.
func (w *watcher) rest(ctx context.Context) error {
	pause := w.pause
	w.pause = min(max(2*pause, minPause), maxPause)
	if pause == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// open starts a poll.
func (w *watcher) open(ctx context.Context) error {
	q := url.Values{"wait": {"true"}, "recursive": {strconv.FormatBool(w.recursive)}}
	if w.next > 0 {
		q.Set("waitIndex", strconv.FormatUint(w.next, 10))
	}
	a, err := w.client.send(ctx, call{method: http.MethodGet, path: keyPath(w.key), query: q, live: true})
	if err != nil {
		return err
	}
	if a.live == nil {
		return decodeError(a)
	}
	w.poll, w.polled = a.live, storeIndex(a.header)
	return nil
}

// final reports whether a refusal will stay one.
func final(err error) bool {
	if e, ok := errors.AsType[*kv.Error](err); ok {
		return e.Code != kv.CodeRaftInternal && e.Code != kv.CodeLeaderElection
	}
	if e, ok := errors.AsType[*StatusError](err); ok {
		return e.Status < 500
	}
	return false
}
