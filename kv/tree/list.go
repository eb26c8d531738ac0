package tree

import (
	"bytes"
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strakeproject/strake/kv"
)

// List reads a file, or a directory with its children, node by node, as kv.Lister
// describes; opts.Quorum is for the caller to see to. It keeps files of the
// database that are replaced meanwhile until it returns.
func (t *Tree) List(ctx context.Context, key string, opts kv.GetOptions, each func(index uint64, n kv.Node) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key = clean(key)
	index := t.Index()
	db, err := t.use()
	if err != nil {
		return err
	}
	defer db.users.Done()
	r, err := t.file(db, key)
	if err != nil {
		return fmt.Errorf("tree: list %q: %w", key, err)
	}
	if r != nil {
		return each(max(index, r.modified), r.node(key))
	}
	snap := db.NewSnapshot()
	defer snap.Close()
	st, err := readState(snap)
	if err != nil {
		return fmt.Errorf("tree: list %q: %w", key, err)
	}
	top, err := topNode(snap, key, st.index)
	if err != nil {
		return err
	}
	if err := each(st.index, top); err != nil || !top.Dir {
		return err
	}
	w := walker{ctx: ctx, recursive: opts.Recursive, each: func(n kv.Node) error { return each(st.index, n) }}
	return w.run(snap, key)
}

// topNode returns the node of a key itself.
func topNode(r pebble.Reader, key string, index uint64) (kv.Node, error) {
	if key == "/" {
		return kv.Node{Key: "/", Dir: true}, nil
	}
	rec, err := readRecord(r, key)
	if err == nil && rec == nil {
		err = missingKey(func(key string) (*record, error) { return readRecord(r, key) }, key, index)
	}
	if err != nil {
		return kv.Node{}, err
	}
	return rec.node(key), nil
}

// A walker goes through a subtree in the order of a listing. In the database other
// keys may stand between a directory and what is below it: "/a", "/a-b", "/a/c".
// It jumps over those to what is below, back, and later over what it has seen.
type walker struct {
	ctx       context.Context
	recursive bool
	each      func(kv.Node) error
	it        *pebble.Iterator
}

func (w *walker) run(r pebble.Reader, dir string) error {
	lower, upper := subtree(dir)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("tree: list %q: %w", dir, err)
	}
	defer it.Close()
	w.it = it
	it.First()
	if err := w.list(lower); err != nil {
		return err
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("tree: list %q: %w", dir, err)
	}
	return nil
}

// list goes through the children of a directory, whose node key and a slash is
// prefix, from where the iterator stands.
func (w *walker) list(prefix []byte) error {
	for w.it.Valid() && bytes.HasPrefix(w.it.Key(), prefix) {
		k := w.it.Key()
		rest := k[len(prefix):]
		switch slash := bytes.IndexByte(rest, '/'); {
		case len(rest) > 0 && rest[0] == '_':
			w.it.SeekGE(append(bytes.Clone(prefix), '_'+1))
		case slash >= 0: // below a child that has been seen
			w.it.SeekGE(append(bytes.Clone(k[:len(prefix)+slash]), '/'+1))
		default:
			if err := w.child(string(k[1:])); err != nil {
				return err
			}
		}
	}
	return nil
}

// child passes on the node at the iterator, with what is below it, and moves on.
func (w *walker) child(key string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	r, err := decodeRecord(w.it.Value())
	if err != nil {
		return fmt.Errorf("tree: list: %w of %q", err, key)
	}
	if err := w.each(r.node(key)); err != nil {
		return err
	}
	if w.it.Next(); !r.dir || !w.recursive {
		return nil
	}
	below := nodeKey(under(key))
	switch {
	case !w.it.Valid():
		return nil
	case bytes.HasPrefix(w.it.Key(), below):
		return w.list(below)
	case bytes.Compare(w.it.Key(), below) > 0:
		return nil // nothing is below
	}
	next := bytes.Clone(w.it.Key())
	w.it.SeekGE(below)
	if err := w.list(below); err != nil {
		return err
	}
	w.it.SeekGE(next)
	return nil
}
