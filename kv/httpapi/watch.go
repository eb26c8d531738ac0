package httpapi

import (
	"context"
	"errors"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/auth"
)

// serveWatch answers with the next change, or with one after the other if a
// stream is asked for.
//
//	store --Events--> this handler --one line each--> client
//
// The handler's own goroutine does it all. It ends after the first event, or
// when the client goes, the store ends the watch, or stop ends; but for the
// first of these the client finds an empty or cut body, and asks again.
func (a *API) serveWatch(ctx, stop context.Context, w answer, r *keyRequest, key string) {
	if a.counts.watches.Add(1) > int64(a.cfg.MaxWatches) {
		a.counts.watches.Add(-1)
		a.writeError(ctx, w, r, &kv.Error{Code: kv.CodeRaftInternal, Cause: "etcdserver: too many watches"})
		return
	}
	defer a.counts.watches.Add(-1)
	a.counts.watchRequests.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(stop, cancel)()

	q := &r.params
	watch, err := a.cfg.Store.Watch(ctx, key, kv.WatchOptions{Recursive: q.recursive, From: q.waitIndex})
	if err != nil {
		a.writeError(ctx, w, r, err)
		return
	}
	// The head goes out at once: a client may rely on it to know that the watch is
	// in place and at which index it began.
	h := a.success(watch.Index)
	w.allow(a.cfg.WriteTimeout)
	defer w.allow(a.cfg.WriteTimeout) // for the end of the body
	if w.begin(&h) != nil || w.flush() != nil {
		return
	}
	a.sendEvents(ctx, w, key, q.stream, watch)
}

// sendEvents sends what a watch sees. The client may take long while nothing
// happens, but has little time to take what does.
func (a *API) sendEvents(ctx context.Context, w answer, key string, stream bool, watch *kv.Watch) {
	w.park()
	for ev, err := range watch.Events {
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, context.Canceled) {
				a.cfg.Logger.Info("watch ended", "key", key, "err", err)
			}
			return
		}
		if auth.Reserved(ev.Node.Key) {
			continue // the past of a watch from above shows what is hidden
		}
		w.allow(a.cfg.WriteTimeout)
		if a.sendEvent(w, &ev) != nil || !stream || w.flush() != nil {
			return
		}
		w.park()
	}
}

func (a *API) sendEvent(w answer, ev *kv.Event) error {
	buf := a.buffers.Get().(*[]byte)
	defer a.giveBack(buf)
	*buf = appendEvent((*buf)[:0], ev, time.Now())
	return w.part(*buf)
}
