package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/strakeproject/strake/kv"
)

// listChunk is how much of a listing goes out at a time.
const listChunk = 64 << 10

// listPatience is how long a client may take to read a chunk. A listing keeps
// files of the store from being removed, so nobody may linger.
const listPatience = 30 * time.Second

// serveList answers with a file, or a directory with its children. It passes nodes
// on as the store gives them, and holds no more than a chunk and the directories
// it is in. It returns the error that it has answered with.
func (a *API) serveList(ctx context.Context, w answer, r *keyRequest, l kv.Lister, key string) error {
	buf := a.buffers.Get().(*[]byte)
	defer a.giveBack(buf)
	out := &listing{api: a, w: w, b: (*buf)[:0]}
	q := &r.params
	opts := kv.GetOptions{Recursive: q.recursive, Sorted: q.sorted, Quorum: q.quorum && r.method == http.MethodGet}
	err := out.list(ctx, l, key, opts)
	op := opGet
	if q.recursive {
		op = opGetRecursive
	}
	a.counts.note(op, err)
	switch {
	case err != nil && out.begun:
		w.abort() // so that the client does not take it for all
	case err != nil:
		a.writeError(ctx, w, r, err)
	case out.begun:
		out.end()
		_ = out.send()              // a client that has gone needs no answer
		w.allow(a.cfg.WriteTimeout) // for what is still in buffers
	default:
		out.end()
		h := a.success(out.index)
		w.whole(&h, out.b)
	}
	*buf = out.b
	return err
}

// A listing is the answer to a get: the JSON of the event, from nodes that come
// one by one, each directory before its children.
type listing struct {
	api   *API
	w     answer
	timer *time.Timer // until the first node, of a quorum's
	begun bool        // the answer, of which b is the part to be sent
	b     []byte
	now   time.Time
	index uint64    // of the store
	open  []openDir // the directories, each in the one before, that may have more
}

type openDir struct {
	key               string
	created, modified uint64
	children          bool
}

// list has the listing filled by the store, which takes as long as the client needs
// but for the wait for a quorum.
func (l *listing) list(ctx context.Context, from kv.Lister, key string, opts kv.GetOptions) error {
	if !opts.Quorum {
		return from.List(ctx, key, opts, l.each)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(l.api.cfg.RequestTimeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	l.timer = timer
	err := from.List(ctx, key, opts, l.each)
	if err != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// each takes a node from the store.
func (l *listing) each(index uint64, n kv.Node) error {
	if l.now.IsZero() {
		l.index, l.now = index, time.Now()
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	l.add(&n)
	if len(l.b) < listChunk || len(l.open) == 0 { // a file goes as a whole
		return nil
	}
	return l.send()
}

// send passes on what there is.
func (l *listing) send() error {
	l.w.allow(listPatience)
	if !l.begun {
		l.begun = true
		h := l.api.success(l.index)
		if err := l.w.begin(&h); err != nil {
			return err
		}
	}
	err := l.w.part(l.b)
	l.b = l.b[:0]
	return err
}

func (l *listing) add(n *kv.Node) {
	if l.open == nil {
		l.b = append(l.b, `{"action":"get","node":`...)
	}
	for len(l.open) > 1 && l.open[len(l.open)-1].key != kv.Parent(n.Key) {
		l.close()
	}
	if last := len(l.open) - 1; last >= 0 {
		if l.open[last].children {
			l.b = append(l.b, ',')
		} else {
			l.b = append(l.b, `"nodes":[`...)
		}
		l.open[last].children = true
	}
	l.b = appendNodeHead(l.b, n, l.now, true)
	if !n.Dir {
		l.b = appendNodeTail(l.b, n)
		return
	}
	l.open = append(l.open, openDir{key: n.Key, created: n.CreatedIndex, modified: n.ModifiedIndex})
}

// close ends the innermost directory.
func (l *listing) close() {
	last := &l.open[len(l.open)-1]
	if last.children {
		l.b = append(l.b, `],`...)
	}
	l.b = appendNodeTail(l.b, &kv.Node{CreatedIndex: last.created, ModifiedIndex: last.modified})
	l.open = l.open[:len(l.open)-1]
}

func (l *listing) end() {
	for len(l.open) > 0 {
		l.close()
	}
	l.b = append(l.b, "}\n"...)
}
