package httpapi

import (
	"context"
	"errors"
	"net/http"
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
func (a *API) serveWatch(w http.ResponseWriter, r *http.Request, key string, q request, stop context.Context) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(stop, cancel)()

	watch, err := a.cfg.Store.Watch(ctx, key, kv.WatchOptions{Recursive: q.recursive, From: q.waitIndex})
	if err != nil {
		a.writeError(w, r, err)
		return
	}
	// The headers go out at once: a client may rely on them to know that the
	// watch is in place and at which index it began.
	h := w.Header()
	a.keyHeaders(h, watch.Index)
	h["Content-Type"] = jsonType
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w).Flush
	if flush() != nil {
		return
	}
	var line []byte
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
		line = appendEvent(line[:0], &ev, time.Now())
		if _, err := w.Write(line); err != nil || !q.stream {
			return
		}
		if flush() != nil {
			return
		}
	}
}
