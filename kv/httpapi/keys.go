package httpapi

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/auth"
)

const keysPrefix = "/v2/keys"

const keysMethods = "HEAD,GET,PUT,POST,DELETE"

// A keyRequest is a request for a key as either front has read it: net/http, or
// the loop of front.go.
type keyRequest struct {
	method string
	path   string // decoded, from keysPrefix on
	params params
	err    error // what is wrong with the parameters
	who    auth.Credentials
}

// serveKeys answers a request for a key that came by net/http.
func (a *API) serveKeys(w http.ResponseWriter, r *http.Request, stop context.Context) {
	switch r.Method {
	case http.MethodHead, http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete:
	default:
		methodNotAllowed(w, keysMethods)
		return
	}
	req := keyRequest{method: r.Method, path: r.URL.Path}
	req.params, req.err = a.decode(r)
	if a.guarded() {
		req.who = a.credentials(r)
	}
	a.serveKey(r.Context(), stop, &httpAnswer{w, http.NewResponseController(w), a}, &req)
}

// serveKey answers a request for a key, whose context ends when the client has
// gone. Watches also end when stop does.
func (a *API) serveKey(ctx, stop context.Context, w answer, r *keyRequest) {
	q := &r.params
	raw := strings.TrimPrefix(r.path, keysPrefix)
	key := cleanKey(raw)
	err := r.err
	if err == nil {
		err = a.checkKey(ctx, r, raw)
	}
	if err == nil && auth.Reserved(key) {
		err = &kv.Error{Code: kv.CodeReservedKey, Cause: key}
	}
	if err != nil {
		a.writeError(ctx, w, r, err)
		return
	}
	count := a.counts.method(r.method)
	count.received.Add(1)
	if q.wait && !q.quorum {
		a.serveWatch(ctx, stop, w, r, key)
		return
	}
	begun := time.Now()
	if l, ok := a.cfg.Store.(kv.Lister); ok && r.reads() {
		if a.serveList(ctx, w, r, l, key) == nil {
			count.took(time.Since(begun))
		}
		return
	}
	if !r.reads() || q.quorum {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.cfg.RequestTimeout)
		defer cancel()
	}
	op, ev, err := do(ctx, a.cfg.Store, r.method, key, q)
	a.counts.note(op, err)
	if err != nil {
		a.writeError(ctx, w, r, err)
		return
	}
	writes := r.method == http.MethodPut || r.method == http.MethodPost
	a.writeEvent(w, &ev, q.noValueOnSuccess && writes)
	count.took(time.Since(begun))
}

// reads reports whether a request leaves the store as it is.
func (r *keyRequest) reads() bool { return r.method == http.MethodGet || r.method == http.MethodHead }

// decode reads and checks the parameters of a request.
func (a *API) decode(r *http.Request) (params, error) {
	var body string
	if takesForm(r.Method) {
		scratch := a.buffers.Get().(*[]byte)
		defer a.buffers.Put(scratch)
		var err error
		if body, err = formBody(r, scratch, a.cfg.MaxBodyBytes); err != nil {
			return params{}, &kv.Error{Code: kv.CodeInvalidForm, Cause: err.Error()}
		}
	}
	return decode(r.Method, r.URL.RawQuery, body)
}

// do carries a request to the store, and says what it was.
func do(ctx context.Context, s kv.Store, method, key string, q *params) (operation, kv.Event, error) {
	switch method {
	case http.MethodPut:
		return put(ctx, s, key, q)
	case http.MethodPost:
		ev, err := s.CreateInOrder(ctx, key, q.value, kv.CreateOptions{TTL: q.ttl, Dir: q.dir})
		return opCreate, ev, err
	case http.MethodDelete:
		if q.conditional() {
			ev, err := s.CompareAndDelete(ctx, key, q.condition())
			return opCompareAndDelete, ev, err
		}
		ev, err := s.Delete(ctx, key, kv.DeleteOptions{Dir: q.dir, Recursive: q.recursive})
		return opDelete, ev, err
	}
	ev, err := s.Get(ctx, key, kv.GetOptions{
		Recursive: q.recursive,
		Sorted:    q.sorted,
		Quorum:    q.quorum && method == http.MethodGet,
	})
	if q.recursive {
		return opGetRecursive, ev, err
	}
	return opGet, ev, err
}

// put picks the operation: prevExist=false beats the other conditions, and
// prevExist=true adds nothing to them.
func put(ctx context.Context, s kv.Store, key string, q *params) (operation, kv.Event, error) {
	switch {
	case q.prevExistGiven && !q.prevExist:
		ev, err := s.Create(ctx, key, q.value, kv.CreateOptions{TTL: q.ttl, Dir: q.dir})
		return opCreate, ev, err
	case q.conditional():
		ev, err := s.CompareAndSwap(ctx, key, q.value, q.condition(), kv.UpdateOptions{TTL: q.ttl, Refresh: q.refresh})
		return opSwap, ev, err
	case q.prevExistGiven:
		ev, err := s.Update(ctx, key, q.value, kv.UpdateOptions{TTL: q.ttl, Refresh: q.refresh})
		return opUpdate, ev, err
	}
	ev, err := s.Set(ctx, key, q.value, kv.SetOptions{TTL: q.ttl, Dir: q.dir, Refresh: q.refresh})
	return opSet, ev, err
}

// writeEvent answers with an event, or with its action alone.
func (a *API) writeEvent(w answer, ev *kv.Event, actionOnly bool) {
	buf := a.buffers.Get().(*[]byte)
	defer a.giveBack(buf)
	b := (*buf)[:0]
	if actionOnly {
		b = append(append(append(b, `{"action":"`...), ev.Action...), "\"}\n"...)
	} else {
		b = appendEvent(b, ev, time.Now())
	}
	*buf = b
	h := a.success(ev.Index)
	if ev.Action == kv.ActionCreate || ev.Action == kv.ActionSet && ev.PrevNode == nil {
		h.status = http.StatusCreated
	}
	w.whole(&h, b)
}

// success is the head of the answer to what was done, or a watch that began.
func (a *API) success(index uint64) head {
	h := head{status: http.StatusOK, index: index, raft: true}
	h.raftIndex, h.raftTerm = a.cfg.Cluster.Raft()
	return h
}

// cleanKey is kv.Clean, which costs nothing for what is clean.
func cleanKey(raw string) string {
	if !strings.HasPrefix(raw, "/") {
		return kv.Clean(raw)
	}
	return path.Clean(raw)
}

// writeError answers with an error of the key space. What is not one is a
// failure of the cluster below.
func (a *API) writeError(ctx context.Context, w answer, r *keyRequest, err error) {
	e, ok := errors.AsType[*kv.Error](err)
	if !ok {
		e = &kv.Error{Code: kv.CodeRaftInternal, Cause: err.Error()}
		if errors.Is(err, context.DeadlineExceeded) {
			e.Cause = "etcdserver: request timed out"
		}
	}
	h := head{status: statusOf(e.Code), index: e.Index}
	a.counts.method(r.method).fail(h.status)
	if h.status == http.StatusInternalServerError && !errors.Is(ctx.Err(), context.Canceled) {
		a.cfg.Logger.Warn("key request failed", "method", r.method, "path", r.path, "err", err)
	}
	if e.Code == kv.CodeHistoryCleared {
		if _, oldest, ok := strings.Cut(e.Cause, "["); ok {
			h.oldest, _, _ = strings.Cut(oldest, "/")
		}
	}
	w.whole(&h, appendError(nil, e))
}

// statusOf returns the HTTP status that goes with an error code.
func statusOf(c kv.Code) int {
	switch c {
	case kv.CodeKeyNotFound:
		return http.StatusNotFound
	case kv.CodeNotFile, kv.CodeDirNotEmpty:
		return http.StatusForbidden
	case kv.CodeUnauthorized:
		return http.StatusUnauthorized
	case kv.CodeCompareFailed, kv.CodeKeyExists:
		return http.StatusPreconditionFailed
	case kv.CodeRaftInternal, kv.CodeLeaderElection:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}
