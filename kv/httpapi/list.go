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

// serveList answers with a whole subtree. It passes nodes on as the store gives
// them, and holds no more than a chunk and the directories it is in. It returns
// the error that it has answered with.
func (a *API) serveList(ctx context.Context, w answer, r *keyRequest, l kv.Lister, key string) error {
	buf := a.buffers.Get().(*[]byte)
	defer a.giveBack(buf)
	out := &listing{b: (*buf)[:0], now: time.Now()}
	begun := false
	send := func() error {
		w.allow(listPatience)
		if !begun {
			begun = true
			h := a.success(out.index)
			if err := w.begin(&h); err != nil {
				return err
			}
		}
		err := w.part(out.b)
		out.b = out.b[:0]
		return err
	}
	q := &r.params
	opts := kv.GetOptions{Recursive: true, Sorted: q.sorted, Quorum: q.quorum && r.method == http.MethodGet}
	err := a.list(ctx, l, key, opts, func(index uint64, n *kv.Node) error {
		out.index = index
		if out.add(n); len(out.b) < listChunk {
			return nil
		}
		return send()
	})
	a.counts.note(opGetRecursive, err)
	switch {
	case err != nil && begun:
		w.abort() // so that the client does not take it for all
	case err != nil:
		a.writeError(ctx, w, r, err)
	case begun:
		out.end()
		_ = send()                  // a client that has gone needs no answer
		w.allow(a.cfg.WriteTimeout) // for what is still in buffers
	default:
		out.end()
		h := a.success(out.index)
		w.whole(&h, out.b)
	}
	*buf = out.b
	return err
}

// list is kv.Lister's List, which takes as long as the client needs but for the
// wait for a quorum.
func (a *API) list(
	ctx context.Context, l kv.Lister, key string, opts kv.GetOptions, each func(index uint64, n *kv.Node) error,
) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if opts.Quorum {
		timer := time.AfterFunc(a.cfg.RequestTimeout, func() { cancel(context.DeadlineExceeded) })
		defer timer.Stop()
		inner := each
		each = func(index uint64, n *kv.Node) error {
			timer.Stop()
			return inner(index, n)
		}
	}
	err := l.List(ctx, key, opts, func(index uint64, n kv.Node) error { return each(index, &n) })
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// A listing appends the JSON of a get event from nodes that come one by one, each
// directory before its children.
type listing struct {
	b     []byte
	now   time.Time
	index uint64    // of the store
	open  []openDir // the directories, each in the one before, that may have more
}

type openDir struct {
	kv.Node
	children bool
}

func (l *listing) add(n *kv.Node) {
	if len(l.open) == 0 {
		l.b = append(l.b, `{"action":"get","node":`...)
	}
	for len(l.open) > 1 && l.open[len(l.open)-1].Key != kv.Parent(n.Key) {
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
	l.open = append(l.open, openDir{Node: kv.Node{
		Key: n.Key, CreatedIndex: n.CreatedIndex, ModifiedIndex: n.ModifiedIndex,
	}})
}

// close ends the innermost node.
func (l *listing) close() {
	last := &l.open[len(l.open)-1]
	if last.children {
		l.b = append(l.b, `],`...)
	}
	l.b = appendNodeTail(l.b, &last.Node)
	l.open = l.open[:len(l.open)-1]
}

func (l *listing) end() {
	for len(l.open) > 0 {
		l.close()
	}
	l.b = append(l.b, "}\n"...)
}
