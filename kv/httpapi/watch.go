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
	if a.counts.watches.Add(1) > int64(a.cfg.MaxWatches) {
		a.counts.watches.Add(-1)
		a.writeError(w, r, &kv.Error{Code: kv.CodeRaftInternal, Cause: "etcdserver: too many watches"})
		return
	}
	defer a.counts.watches.Add(-1)
	a.counts.watchRequests.Add(1)
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
	client := &watchClient{http.NewResponseController(w), w, a.cfg.WriteTimeout}
	defer client.allow(a.cfg.WriteTimeout) // for the end of the body
	if client.send(nil) != nil {
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
		if client.send(line) != nil || !q.stream {
			return
		}
	}
}

// watchClient is who a watch is for: somebody with much patience while nothing
// happens, and little time to take what does.
type watchClient struct {
	conn    *http.ResponseController
	w       http.ResponseWriter
	timeout time.Duration
}

// send writes headers or an event. Then the watch may take as long as it likes.
func (c *watchClient) send(line []byte) error {
	c.allow(c.timeout)
	if _, err := c.w.Write(line); err != nil {
		return err
	}
	if err := c.conn.Flush(); err != nil {
		return err
	}
	c.allow(0)
	return nil
}

// allow bounds what is written from now on, and lets the client send what it
// will. A server without such bounds does not have them for others either.
func (c *watchClient) allow(timeout time.Duration) {
	var until time.Time
	if timeout > 0 {
		until = time.Now().Add(timeout)
	}
	_ = c.conn.SetReadDeadline(time.Time{})
	_ = c.conn.SetWriteDeadline(until)
}
