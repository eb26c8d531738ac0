package tree

import (
	"bytes"
	"fmt"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strakeproject/strake/kv"
)

// Get reads a file, or a directory with its children, from what has been
// applied here; opts.Quorum is for the caller to see to. Children are always
// sorted. The event's Index is one that the answer is at least as new as, so a
// watch from the next index on misses nothing.
func (t *Tree) Get(key string, opts kv.GetOptions) (kv.Event, error) {
	key = clean(key)
	index := t.Index()
	db, err := t.use()
	if err != nil {
		return kv.Event{}, err
	}
	defer db.users.Done()
	r, err := t.file(db, key)
	if err != nil {
		return kv.Event{}, fmt.Errorf("tree: get %q: %w", key, err)
	}
	if r != nil {
		return found(r.node(key), max(index, r.modified)), nil
	}
	snap := db.NewSnapshot()
	defer snap.Close()
	return getAll(snap, key, index, opts.Recursive)
}

// file returns the record of a key if that is of a file, which one read tells.
// Everything else takes several, which must see the same state.
func (t *Tree) file(db *database, key string) (*record, error) {
	if key == "/" {
		return nil, nil
	}
	r, known := t.cache.committed(key)
	if !known {
		var err error
		if r, err = readRecord(db, key); err != nil {
			return nil, err
		}
	}
	if r == nil || r.dir {
		return nil, nil
	}
	return r, nil
}

// getAll is Get from an unchanging reader that is as new as index.
func getAll(r pebble.Reader, key string, index uint64, recursive bool) (kv.Event, error) {
	node := kv.Node{Key: "/", Dir: true}
	if key != "/" {
		rec, err := readRecord(r, key)
		if err == nil && rec == nil {
			err = missingKey(func(key string) (*record, error) { return readRecord(r, key) }, key, index)
		}
		if err != nil {
			return kv.Event{}, err
		}
		node = rec.node(key)
		index = max(index, rec.modified)
	}
	if !node.Dir {
		return found(node, index), nil
	}
	l := lister{recursive: recursive}
	if err := l.run(r, key); err != nil {
		return kv.Event{}, fmt.Errorf("tree: list %q: %w", key, err)
	}
	node.Nodes = l.nodes
	return found(node, max(index, l.newest)), nil
}

func found(node kv.Node, index uint64) kv.Event {
	return kv.Event{Action: kv.ActionGet, Node: node, Index: index}
}

// A lister reads a directory in one pass over its subtree. Descendants of a
// child come after it, though not always at once: "/a", "/a-b", "/a/c".
type lister struct {
	recursive bool
	it        *pebble.Iterator
	nodes     []kv.Node
	newest    uint64 // highest index seen
}

func (l *lister) run(r pebble.Reader, dir string) error {
	lower, upper := subtree(dir)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer it.Close()
	l.it = it
	it.First()
	if l.nodes, err = l.list(lower); err != nil {
		return err
	}
	return it.Error()
}

// list reads on from the iterator while keys begin with prefix, which is the
// node key of a directory and a slash, and returns that directory's children.
func (l *lister) list(prefix []byte) ([]kv.Node, error) {
	var nodes []kv.Node
	for l.it.Valid() && bytes.HasPrefix(l.it.Key(), prefix) {
		k := l.it.Key()
		rest := k[len(prefix):]
		slash := bytes.IndexByte(rest, '/')
		switch {
		case len(rest) > 0 && rest[0] == '_':
			l.it.SeekGE(append(bytes.Clone(prefix), '_'+1))
		case slash < 0:
			key := string(k[1:])
			r, err := decodeRecord(l.it.Value())
			if err != nil {
				return nil, fmt.Errorf("%w of %q", err, key)
			}
			l.newest = max(l.newest, r.modified)
			nodes = append(nodes, r.node(key))
			l.it.Next()
		case l.recursive:
			child := k[:len(prefix)+slash]
			i := sort.Search(len(nodes), func(i int) bool { return nodes[i].Key >= string(child[1:]) })
			if i == len(nodes) || nodes[i].Key != string(child[1:]) {
				return nil, fmt.Errorf("%q has no parent", k[1:])
			}
			below, err := l.list(append(bytes.Clone(child), '/'))
			if err != nil {
				return nil, err
			}
			nodes[i].Nodes = below
		default:
			l.it.SeekGE(append(bytes.Clone(k[:len(prefix)+slash]), '/'+1))
		}
	}
	return nodes, nil
}
