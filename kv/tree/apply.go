package tree

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/raftstore"
)

// A txn applies the commands of one Apply. Its writes gather in a batch and in
// the record cache, so that each command sees the ones before it; and the events
// for the hub in a list.
type txn struct {
	t       *Tree
	b       *pebble.Batch
	indexed bool // b can be read
	state   state
	entry   uint64 // in the log, of the command
	next    int64  // the earliest expiry set
	ranges  int    // range deletions in the batch
	locked  bool   // holds the hub's lock, from the first removal of a directory on
}

// retainBatch is how large a batch may be for its memory to be used again. One
// megabyte of commands makes three to four.
const retainBatch = 8 << 20

// scratch is memory that one Apply leaves to the next.
type scratch struct {
	key, value []byte
	ends       []int // of the results
	events     []event
	lots       []lot // of the events, in their order
}

// Apply applies commands, each to the state that the ones before it left, and
// returns one encoded [Result] for each. An undecodable command changes nothing.
// When Apply returns, reads see the new state and watchers know of it.
func (t *Tree) Apply(cmds []raftstore.Command, pos raftstore.Position) ([][]byte, error) {
	if t.db == nil {
		return nil, ErrClosed
	}
	if err := t.db.failure.or(nil); err != nil {
		return nil, fmt.Errorf("tree: %w", err)
	}
	size := 0
	for _, c := range cmds {
		size += len(c.Data)
	}
	b := t.db.NewBatch(pebble.WithInitialSizeBytes(4*size), pebble.WithMaxRetainedSizeBytes(retainBatch))
	x := &txn{t: t, b: b, state: t.state, next: never}
	defer x.done()
	all := make([]byte, 0, size+64*len(cmds))
	ends := t.scratch.ends[:0]
	for _, c := range cmds {
		x.entry, x.state.clock = c.Index, max(x.state.clock, c.Stamp)
		res, err := x.command(c.Data)
		if err != nil {
			return nil, fmt.Errorf("tree: apply command %d of entry %d: %w", c.Seq, c.Index, t.db.failure.or(err))
		}
		all = res.append(all)
		ends = append(ends, len(all))
	}
	t.scratch.ends = ends
	x.state.pos = pos
	if err := x.commit(); err != nil {
		return nil, fmt.Errorf("tree: commit up to entry %d: %w", pos.Index, t.db.failure.or(err))
	}
	results := make([][]byte, len(cmds))
	begin := 0
	for i, end := range ends {
		results[i], begin = all[begin:end:end], end
	}
	return results, nil
}

// index makes the batch readable, which one without need is faster without.
func (x *txn) index() (*pebble.Batch, error) {
	if !x.indexed {
		b := x.t.db.NewIndexedBatch()
		if err := b.Apply(x.b, nil); err != nil {
			return nil, errors.Join(err, b.Close())
		}
		if err := x.b.Close(); err != nil {
			return nil, errors.Join(err, b.Close())
		}
		x.b, x.indexed = b, true
	}
	return x.b, nil
}

// done releases what the txn holds.
func (x *txn) done() {
	if x.locked {
		x.t.hub.mu.Unlock()
	}
	_ = x.b.Close() // it has been committed or serves nobody
	s := &x.t.scratch
	clear(s.events)
	s.events, s.lots = s.events[:0], s.lots[:0]
}

// commit writes the batch and makes its effects known: first to reads, then to
// watchers.
func (x *txn) commit() error {
	t := x.t
	if err := x.log(); err != nil {
		return err
	}
	if err := t.hist.save(x.b, &t.scratch); err != nil {
		return err
	}
	dropped, err := t.hist.prune(x.b, t.cfg.limits, x.state.index, x.state.clock)
	if err != nil {
		return err
	}
	s := &t.scratch
	s.value = x.state.append(s.value[:0])
	if err := x.b.Set(metaState, s.value, nil); err != nil {
		return err
	}
	if m := x.state.pos.Membership; !bytes.Equal(m, t.state.pos.Membership) {
		if err := x.b.Set(metaMembership, m, nil); err != nil {
			return err
		}
	}
	t.floor.Store(t.hist.floor(x.state.index))
	if err := x.b.Commit(pebble.NoSync); err != nil {
		return err
	}
	t.cache.commit()
	t.state = x.state
	t.state.pos.Membership = slices.Clone(x.state.pos.Membership)
	t.index.Store(x.state.index)
	if !x.locked {
		t.hub.mu.Lock()
		x.locked = true
	}
	t.hub.publish(t.scratch.events, x.state.index, t.floor.Load())
	t.due.add(x.next)
	return t.limitRanges(x.ranges + dropped)
}

// maxRanges is how many range deletions may slow reads down before a flush has
// them compacted away.
const maxRanges = 100

func (t *Tree) limitRanges(more int) error {
	if t.ranges += more; t.ranges < maxRanges {
		return nil
	}
	t.ranges = 0
	_, err := t.db.AsyncFlush()
	return err
}

// command applies one command.
func (x *txn) command(data []byte) (Result, error) {
	c, err := DecodeCommand(data)
	if err != nil {
		return Result{Err: &kv.Error{Code: kv.CodeRaftInternal, Cause: err.Error()}}, nil
	}
	if e := c.check(); e != nil {
		return Result{Err: e}, nil
	}
	var ev kv.Event
	switch c.Op {
	case OpSet, OpCreate, OpCreateInOrder:
		ev, err = x.put(&c)
	case OpUpdate, OpCompareAndSwap:
		ev, err = x.modify(&c)
	case OpDelete, OpCompareAndDelete:
		ev, err = x.remove(&c)
	case OpExpire:
		return Result{}, x.expire(&c)
	case OpPutMember:
		return Result{}, x.putMember(&c)
	case OpDropMember:
		return Result{}, x.dropMember(c.Member.ID)
	}
	// An error of the key space is an answer; any other ends the machine.
	if e, ok := errors.AsType[*kv.Error](err); ok {
		return Result{Err: e}, nil
	}
	return Result{Event: ev}, err
}

// refuse returns an error of the key space as it stands.
func (x *txn) refuse(code kv.Code, cause string) error {
	return &kv.Error{Code: code, Cause: cause, Index: x.state.index}
}

// put applies set, create and create-in-order.
func (x *txn) put(c *Command) (kv.Event, error) {
	key, action := c.Key, kv.ActionCreate
	switch {
	case c.Op == OpCreateInOrder:
		key = orderedKey(key, x.state.index+1)
	case c.Op == OpSet:
		action = kv.ActionSet
	}
	if key == "/" {
		return kv.Event{}, x.refuse(kv.CodeRootReadOnly, "/")
	}
	old, err := x.record(key)
	if err != nil {
		return kv.Event{}, err
	}
	switch {
	case old != nil && action == kv.ActionCreate:
		return kv.Event{}, x.refuse(kv.CodeKeyExists, key)
	case old != nil && old.dir:
		return kv.Event{}, x.refuse(kv.CodeNotFile, key)
	case old == nil && c.Refresh:
		return kv.Event{}, x.missing(key)
	case old == nil:
		if err := x.makeParents(key); err != nil {
			return kv.Event{}, err
		}
	}
	index := x.state.index + 1
	r := &record{dir: c.Dir, created: index, modified: index, version: 1, expires: x.expiry(c), value: c.Value}
	if c.Refresh {
		r.value = old.value
	}
	if r.dir {
		r.value = ""
	}
	if err := x.store(key, old, r); err != nil {
		return kv.Event{}, err
	}
	return x.emit(action, r.node(key), prevNode(key, old), c.Refresh)
}

// modify applies update and compare-and-swap.
func (x *txn) modify(c *Command) (kv.Event, error) {
	action := kv.ActionUpdate
	if c.Op == OpCompareAndSwap {
		action = kv.ActionCompareAndSwap
	}
	if c.Key == "/" {
		return kv.Event{}, x.refuse(kv.CodeRootReadOnly, "/")
	}
	old, err := x.existing(c.Key)
	if err != nil {
		return kv.Event{}, err
	}
	if old.dir && (c.compares() || c.Value != "") {
		return kv.Event{}, x.refuse(kv.CodeNotFile, c.Key)
	}
	if err := x.compare(c, old); err != nil {
		return kv.Event{}, err
	}
	index := x.state.index + 1
	r := new(*old)
	r.version++
	r.expires = x.expiry(c)
	if !c.Refresh && !r.dir {
		r.value = c.Value
	}
	node := r.node(c.Key)
	node.ModifiedIndex = index
	if !r.dir { // a directory keeps its stored index, as in the original
		r.modified = index
	}
	if err := x.store(c.Key, old, r); err != nil {
		return kv.Event{}, err
	}
	return x.emit(action, node, prevNode(c.Key, old), c.Refresh)
}

// remove applies delete and compare-and-delete.
func (x *txn) remove(c *Command) (kv.Event, error) {
	if c.Key == "/" {
		if c.compares() {
			return kv.Event{}, x.refuse(kv.CodeNotFile, "")
		}
		return kv.Event{}, x.refuse(kv.CodeRootReadOnly, "/")
	}
	old, err := x.existing(c.Key)
	if err != nil {
		return kv.Event{}, err
	}
	if old.dir {
		if c.compares() || !c.Dir && !c.Recursive {
			return kv.Event{}, x.refuse(kv.CodeNotFile, c.Key)
		}
		if !c.Recursive {
			full, err := x.hasChildren(c.Key)
			if err != nil {
				return kv.Event{}, err
			}
			if full {
				return kv.Event{}, x.refuse(kv.CodeDirNotEmpty, c.Key)
			}
		}
	}
	if err := x.compare(c, old); err != nil {
		return kv.Event{}, err
	}
	action := kv.ActionDelete
	if c.compares() {
		action = kv.ActionCompareAndDelete
	}
	return x.drop(action, c.Key, old)
}

// compare holds a node against the condition of a command.
func (x *txn) compare(c *Command, old *record) error {
	if !c.compares() {
		return nil
	}
	var cause string
	if c.PrevValue != "" && c.PrevValue != old.value {
		cause = fmt.Sprintf("[%s != %s]", c.PrevValue, old.value)
	}
	if c.PrevIndex != 0 && c.PrevIndex != old.modified {
		if cause != "" {
			cause += " "
		}
		cause += fmt.Sprintf("[%d != %d]", c.PrevIndex, old.modified)
	}
	if cause != "" {
		return x.refuse(kv.CodeCompareFailed, cause)
	}
	return nil
}

// expiry returns when a node written now expires; 0 for never.
func (x *txn) expiry(c *Command) int64 {
	switch {
	case c.TTL == 0:
		return 0
	case c.TTL > 0 && x.state.clock > math.MaxInt64-1-int64(c.TTL):
		return math.MaxInt64 - 1
	}
	return max(x.state.clock+int64(max(c.TTL, 0)), 1)
}

// expire removes what is due, earliest first.
func (x *txn) expire(c *Command) error {
	limit := min(nanos(c.Now), x.state.clock)
	b, err := x.index()
	if err != nil {
		return err
	}
	var keys [][]byte
	err = scan(b, []byte{tableExpiry}, tableEnd(tableExpiry), func(k, _ []byte) (bool, error) {
		at, _, ok := splitExpiryKey(k)
		if !ok {
			return false, fmt.Errorf("malformed expiry key %x", k)
		}
		if at > limit || len(keys) >= c.Max {
			return false, nil
		}
		keys = append(keys, bytes.Clone(k))
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		at, key, _ := splitExpiryKey(k)
		if err := x.b.Delete(k, nil); err != nil {
			return err
		}
		r, err := x.record(key)
		if err != nil {
			return err
		}
		// The node may have gone with a directory, and another may be there now.
		if r == nil || r.expires != at {
			continue
		}
		if _, err := x.drop(kv.ActionExpire, key, r); err != nil {
			return err
		}
		x.t.expired.Add(1)
	}
	return nil
}

// putMember stores what a member publishes. Like every change it takes an
// index, though no event goes with it.
func (x *txn) putMember(c *Command) error {
	if err := x.b.Set(memberKey(c.Member.ID), appendMember(nil, c.Member), nil); err != nil {
		return err
	}
	x.silent()
	return nil
}

// dropMember forgets what a member has published.
func (x *txn) dropMember(id uint64) error {
	if err := x.b.Delete(memberKey(id), nil); err != nil {
		return err
	}
	x.silent()
	return nil
}

func prevNode(key string, old *record) *kv.Node {
	if old == nil {
		return nil
	}
	n := old.node(key)
	return &n
}
