package httpapi

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/auth"
)

const keysPrefix = "/v2/keys"

const keysMethods = "HEAD,GET,PUT,POST,DELETE"

// serveKeys answers a request for a key. Watches also end when stop does.
func (a *API) serveKeys(w http.ResponseWriter, r *http.Request, stop context.Context) {
	switch r.Method {
	case http.MethodHead, http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete:
	default:
		methodNotAllowed(w, keysMethods)
		return
	}
	raw := strings.TrimPrefix(r.URL.Path, keysPrefix)
	key := cleanKey(raw)
	q, err := a.decode(r)
	if err == nil {
		err = a.checkKey(r, raw, q.recursive)
	}
	if err == nil && auth.Reserved(key) {
		err = &kv.Error{Code: kv.CodeReservedKey, Cause: key}
	}
	if err != nil {
		a.writeError(w, r, err)
		return
	}
	count := a.counts.method(r.Method)
	count.received.Add(1)
	if q.wait && !q.quorum {
		a.serveWatch(w, r, key, q, stop)
		return
	}
	begun := time.Now()
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if l, ok := a.cfg.Store.(kv.Lister); ok && reads && q.recursive {
		if a.serveList(w, r, l, key, q) == nil {
			count.took(time.Since(begun))
		}
		return
	}
	ctx := r.Context()
	if !reads || q.quorum {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.cfg.RequestTimeout)
		defer cancel()
	}
	op, ev, err := do(ctx, a.cfg.Store, r.Method, key, q)
	a.counts.note(op, err)
	if err != nil {
		a.writeError(w, r, err)
		return
	}
	writes := r.Method == http.MethodPut || r.Method == http.MethodPost
	a.writeEvent(w, &ev, q.noValueOnSuccess && writes)
	count.took(time.Since(begun))
}

func (a *API) decode(r *http.Request) (request, error) {
	scratch := a.buffers.Get().(*[]byte)
	defer a.buffers.Put(scratch)
	return decode(r, scratch, a.cfg.MaxBodyBytes)
}

// do carries a request to the store, and says what it was.
func do(ctx context.Context, s kv.Store, method, key string, q request) (operation, kv.Event, error) {
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
func put(ctx context.Context, s kv.Store, key string, q request) (operation, kv.Event, error) {
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
func (a *API) writeEvent(w http.ResponseWriter, ev *kv.Event, actionOnly bool) {
	buf := a.buffers.Get().(*[]byte)
	defer a.buffers.Put(buf)
	b := (*buf)[:0]
	if actionOnly {
		b = append(append(append(b, `{"action":"`...), ev.Action...), "\"}\n"...)
	} else {
		b = appendEvent(b, ev, time.Now())
	}
	*buf = b

	status := http.StatusOK
	if ev.Action == kv.ActionCreate || ev.Action == kv.ActionSet && ev.PrevNode == nil {
		status = http.StatusCreated
	}
	a.keyHeaders(w.Header(), ev.Index)
	writeJSON(w, status, b)
}

// cleanKey is kv.Clean, which costs nothing for what is clean.
func cleanKey(raw string) string {
	if !strings.HasPrefix(raw, "/") {
		return kv.Clean(raw)
	}
	return path.Clean(raw)
}

// keyHeaders sets the headers of a successful key request or watch.
func (a *API) keyHeaders(h http.Header, index uint64) {
	a.clusterHeader(h)
	raftIndex, raftTerm := a.cfg.Cluster.Raft()
	setNumbers(h, []string{"X-Etcd-Index", "X-Raft-Index", "X-Raft-Term"}, index, raftIndex, raftTerm)
}

// setNumbers sets headers, whose canonical names are given, to numbers. All of
// them share two pieces of memory.
func setNumbers(h http.Header, names []string, numbers ...uint64) {
	var room [64]byte
	var ends [4]int
	b := room[:0]
	for i, n := range numbers {
		b = strconv.AppendUint(b, n, 10)
		ends[i] = len(b)
	}
	text, values, begin := string(b), make([]string, len(numbers)), 0
	for i, name := range names {
		values[i] = text[begin:ends[i]]
		h[name] = values[i : i+1 : i+1]
		begin = ends[i]
	}
}

// writeError answers with an error of the key space. What is not one is a
// failure of the cluster below.
func (a *API) writeError(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*kv.Error](err)
	if !ok {
		e = &kv.Error{Code: kv.CodeRaftInternal, Cause: err.Error()}
		if errors.Is(err, context.DeadlineExceeded) {
			e.Cause = "etcdserver: request timed out"
		}
	}
	status := statusOf(e.Code)
	a.counts.method(r.Method).fail(status)
	if status == http.StatusInternalServerError && r.Context().Err() == nil {
		a.cfg.Logger.Warn("key request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	h := w.Header()
	a.clusterHeader(h)
	h["X-Etcd-Index"] = []string{strconv.FormatUint(e.Index, 10)}
	if e.Code == kv.CodeHistoryCleared {
		if _, oldest, ok := strings.Cut(e.Cause, "["); ok {
			oldest, _, _ = strings.Cut(oldest, "/")
			h["X-Etcd-Oldest-Index"] = []string{oldest}
		}
	}
	writeJSON(w, status, appendError(nil, e))
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
