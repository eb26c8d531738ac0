package tree

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strakeproject/strake/kv"
)

// readRecord returns the record of a key; nil if there is none.
func readRecord(r pebble.Reader, key string) (*record, error) {
	b, err := get(r, nodeKey(key))
	if err != nil || b == nil {
		return nil, err
	}
	rec, err := decodeRecord(b)
	if err != nil {
		return nil, fmt.Errorf("%w of %q", err, key)
	}
	return &rec, nil
}

// missingKey says why a key that does not exist does not: the error is that of
// the first component that is missing, or of the file in the way.
func missingKey(r pebble.Reader, key string, index uint64) error {
	for {
		parent := kv.Parent(key)
		if parent != "/" {
			rec, err := readRecord(r, parent)
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
func (x *txn) record(key string) (*record, error) { return readRecord(x.b, key) }

// missing is missingKey in the state of the txn.
func (x *txn) missing(key string) error { return missingKey(x.b, key, x.state.index) }

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
		r := record{dir: true, created: index, modified: index, version: 1}
		if err := x.b.Set(nodeKey(dir), r.encode(), nil); err != nil {
			return err
		}
	}
	return nil
}

// store replaces the record of a key and its entry among the expiries.
func (x *txn) store(key string, old, r *record) error {
	if old != nil && old.expires != 0 && old.expires != r.expires {
		if err := x.b.Delete(expiryKey(old.expires, key), nil); err != nil {
			return err
		}
	}
	if r.expires != 0 {
		if err := x.b.Set(expiryKey(r.expires, key), nil, nil); err != nil {
			return err
		}
		x.next = min(x.next, r.expires)
	}
	return x.b.Set(nodeKey(key), r.encode(), nil)
}

// drop removes a node with all below it.
func (x *txn) drop(action kv.Action, key string, old *record) (kv.Event, error) {
	if old.expires != 0 {
		if err := x.b.Delete(expiryKey(old.expires, key), nil); err != nil {
			return kv.Event{}, err
		}
	}
	if err := x.b.Delete(nodeKey(key), nil); err != nil {
		return kv.Event{}, err
	}
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
	lower, upper := subtree(dir)
	var keys [][]byte
	err = scan(x.b, lower, upper, func(k, _ []byte) (bool, error) {
		keys = append(keys, append([]byte{}, k...))
		return len(keys) <= x.t.cfg.fewNodes, nil
	})
	if err != nil {
		return err
	}
	if len(keys) > x.t.cfg.fewNodes {
		x.ranges++
		return x.b.DeleteRange(lower, upper, nil)
	}
	for _, k := range keys {
		if err := x.b.Delete(k, nil); err != nil {
			return err
		}
	}
	return nil
}

// hasChildren reports whether a directory has children, hidden ones included.
func (x *txn) hasChildren(dir string) (bool, error) {
	lower, upper := subtree(dir)
	full := false
	err := scan(x.b, lower, upper, func(_, _ []byte) (bool, error) {
		full = true
		return false, nil
	})
	return full, err
}
