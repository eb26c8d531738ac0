package tree

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strakeproject/strake/kv"
)

// readRecord returns the record of a key; nil if there is none.
func readRecord(r pebble.Reader, key string) (*record, error) {
	b, closer, err := r.Get(nodeKey(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", key, err)
	}
	rec, err := decodeRecord(b)
	if err = errors.Join(err, closer.Close()); err != nil {
		return nil, fmt.Errorf("%w of %q", err, key)
	}
	return &rec, nil
}

// missingKey says why a key that does not exist does not: the error is that of
// the first component that is missing, or of the file in the way.
func missingKey(read func(key string) (*record, error), key string, index uint64) error {
	for {
		parent := kv.Parent(key)
		if parent != "/" {
			rec, err := read(parent)
			if err != nil {
				return err
			}
			if rec == nil {
				key = parent
				continue
			}
			if !rec.dir {
				return &kv.Error{Code: kv.CodeNotDir, Cause: parent, Index: index}
			}
		}
		return &kv.Error{Code: kv.CodeKeyNotFound, Cause: key, Index: index}
	}
}

// record returns the record of a key; nil if there is none.
func (x *txn) record(key string) (*record, error) {
	if r, ok := x.t.cache.get(key); ok {
		return r, nil
	}
	var from pebble.Reader = x.t.db
	if x.indexed {
		from = x.b
	}
	r, err := readRecord(from, key)
	if err == nil {
		x.t.cache.put(key, r, x.indexed) // the batch may have changed it
		err = x.limitCache()
	}
	return r, err
}

// limitCache lets go of records within a txn if there are far too many. The batch
// has to tell of the changed ones from then on.
func (x *txn) limitCache() error {
	if x.t.cache.bytes <= 2*x.t.cache.maxBytes {
		return nil
	}
	_, err := x.index()
	x.t.cache.limit()
	return err
}

// missing is missingKey in the state of the txn.
func (x *txn) missing(key string) error { return missingKey(x.record, key, x.state.index) }

// existing returns the record of a key that must exist.
func (x *txn) existing(key string) (*record, error) {
	r, err := x.record(key)
	if err == nil && r == nil {
		err = x.missing(key)
	}
	return r, err
}

// makeParents makes the directories above key that do not exist. They share
// the index of the write that needs them and have no event of their own.
func (x *txn) makeParents(key string) error {
	var missing []string
	for dir := kv.Parent(key); dir != "/"; dir = kv.Parent(dir) {
		r, err := x.record(dir)
		if err != nil {
			return err
		}
		if r != nil && !r.dir {
			return x.refuse(kv.CodeNotDir, dir)
		}
		if r != nil {
			break
		}
		missing = append(missing, dir)
	}
	index := x.state.index + 1
	for _, dir := range missing {
		if err := x.set(dir, &record{dir: true, created: index, modified: index, version: 1}); err != nil {
			return err
		}
	}
	return nil
}

// store replaces the record of a key and its entry among the expiries.
func (x *txn) store(key string, old, r *record) error {
	if old != nil && old.expires != 0 && old.expires != r.expires {
		if err := x.unexpire(key, old); err != nil {
			return err
		}
	}
	if r.expires != 0 {
		s := &x.t.scratch
		s.key = appendExpiryKey(s.key[:0], r.expires, key)
		if err := x.b.Set(s.key, nil, nil); err != nil {
			return err
		}
		x.next = min(x.next, r.expires)
	}
	return x.set(key, r)
}

// set replaces the record of a key.
func (x *txn) set(key string, r *record) error {
	n := r.encodedLen()
	op := x.b.SetDeferred(1+len(key), n)
	appendNodeKey(op.Key[:0], key)
	if v := r.append(op.Value[:0]); len(v) != n {
		return fmt.Errorf("record of %q takes %d bytes, not %d", key, len(v), n)
	}
	if err := op.Finish(); err != nil {
		return err
	}
	x.t.cache.put(key, r, true)
	return x.limitCache()
}

// unexpire removes a record from among the expiries.
func (x *txn) unexpire(key string, r *record) error {
	s := &x.t.scratch
	s.key = appendExpiryKey(s.key[:0], r.expires, key)
	return x.b.Delete(s.key, nil)
}

// drop removes a node with all below it.
func (x *txn) drop(action kv.Action, key string, old *record) (kv.Event, error) {
	if old.expires != 0 {
		if err := x.unexpire(key, old); err != nil {
			return kv.Event{}, err
		}
	}
	s := &x.t.scratch
	s.key = appendNodeKey(s.key[:0], key)
	if err := x.b.Delete(s.key, nil); err != nil {
		return kv.Event{}, err
	}
	x.t.cache.put(key, nil, true)
	if old.dir {
		if err := x.dropBelow(key); err != nil {
			return kv.Event{}, err
		}
	}
	node := kv.Node{Key: key, Dir: old.dir, CreatedIndex: old.created, ModifiedIndex: x.state.index + 1}
	return x.emit(action, node, prevNode(key, old), false)
}

// fewNodes is how many nodes are removed one by one by default. A range deletion is one
// write for any number, but slows reads until it is compacted away.
const fewNodes = 1024

// dropBelow removes all below a directory. Entries among the expiries are left
// to be found stale when they come due.
func (x *txn) dropBelow(dir string) error {
	if !x.locked {
		x.t.hub.mu.Lock()
		x.locked = true
	}
	err := x.t.hub.markGone(dir, x.state.index+1, func(key string) (bool, error) {
		r, err := x.record(key)
		return r != nil, err
	})
	if err != nil {
		return err
	}
	b, err := x.index() // which tells of what the cache forgets below
	if err != nil {
		return err
	}
	lower, upper := subtree(dir)
	var keys [][]byte
	err = scan(b, lower, upper, func(k, _ []byte) (bool, error) {
		keys = append(keys, append([]byte{}, k...))
		return len(keys) <= x.t.cfg.fewNodes, nil
	})
	if err != nil {
		return err
	}
	if len(keys) > x.t.cfg.fewNodes {
		x.ranges++
		x.t.cache.clear()
		return x.b.DeleteRange(lower, upper, nil)
	}
	for _, k := range keys {
		if err := x.b.Delete(k, nil); err != nil {
			return err
		}
		x.t.cache.forget(string(k[1:]))
	}
	return nil
}

// hasChildren reports whether a directory has children, hidden ones included.
func (x *txn) hasChildren(dir string) (bool, error) {
	b, err := x.index()
	if err != nil {
		return false, err
	}
	lower, upper := subtree(dir)
	full := false
	err = scan(b, lower, upper, func(_, _ []byte) (bool, error) {
		full = true
		return false, nil
	})
	return full, err
}
