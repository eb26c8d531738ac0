package tree

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strakeproject/strake/kv"
)

// A lot is what one record of the changelog holds: the events of consecutive
// commands of one log entry, and of one segment of history, so that lots are the
// same on all members and go with their segment. It is stored under the index of
// its last event: the first lot at or after an index is where that is found.
type lot struct {
	entry   uint64 // in the log
	segment uint64 // its first index
	last    uint64
	events  int
	bytes   int
}

// lotBytes ends a lot, so that reading one event does not mean to read many.
const lotBytes = 16 << 10

// emit makes the next index's event.
func (x *txn) emit(action kv.Action, node kv.Node, prev *kv.Node, refresh bool) (kv.Event, error) {
	x.state.index++
	s := &x.t.scratch
	s.events = append(s.events, event{
		refresh: refresh, Event: kv.Event{Action: action, Node: node, PrevNode: prev, Index: x.state.index},
	})
	ev := &s.events[len(s.events)-1]
	bytes := ev.encodedLen()
	segment := x.t.hist.add(x.t.cfg.limits, ev.Index, x.state.clock, int64(bytes))
	n := len(s.lots)
	if n == 0 || s.lots[n-1].entry != x.entry || s.lots[n-1].segment != segment || s.lots[n-1].bytes >= lotBytes {
		s.lots = append(s.lots, lot{entry: x.entry, segment: segment})
		n++
	}
	l := &s.lots[n-1]
	l.last = ev.Index
	l.events++
	l.bytes += bytes
	return ev.Event, nil
}

// silent takes an index for a change without an event.
func (x *txn) silent() {
	x.state.index++
	x.t.hist.add(x.t.cfg.limits, x.state.index, x.state.clock, 0)
}

// log stores the events in the changelog. They come after the nodes, in the order
// of their keys, since the engine finds the place of a key faster if it is next
// to that of the key before.
func (x *txn) log() error {
	events := x.t.scratch.events
	for _, l := range x.t.scratch.lots {
		op := x.b.SetDeferred(eventKeyLen, l.bytes)
		appendEventKey(op.Key[:0], l.last)
		b := op.Value[:0]
		for i := range events[:l.events] {
			b = events[i].append(b)
		}
		if len(b) != l.bytes {
			return fmt.Errorf("events up to %d take %d bytes, not %d", l.last, len(b), l.bytes)
		}
		if err := op.Finish(); err != nil {
			return err
		}
		events = events[l.events:]
	}
	return nil
}

// errHistory ends the reading of a changelog that no longer goes back so far.
var errHistory = errors.New("history cleared")

// readHistory calls fn for each stored event from index lo up to index hi,
// until it returns false. It fails with errHistory if lo is below the floor.
func (t *Tree) readHistory(lo, hi uint64, fn func(event) bool) error {
	db, err := t.use()
	if err != nil {
		return err
	}
	defer db.users.Done()
	// The floor rises before the events below it go, or another database takes
	// the place of this one, so this notices whatever the events, which stand
	// still from here on, may lack.
	return db.readEvents(lo, hi, func() error {
		if lo < t.floor.Load() {
			return errHistory
		}
		return nil
	}, fn)
}

// readEvents calls check once it sees a state that stands still, and then fn for
// each event from index lo up to index hi, until it returns false.
func (db *database) readEvents(lo, hi uint64, check func() error, fn func(event) bool) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: eventKey(lo), UpperBound: tableEnd(tableEvent)})
	if err != nil {
		return err
	}
	if err := check(); err != nil {
		return errors.Join(err, it.Close())
	}
	for ok := it.First(); ok; ok = it.Next() {
		events, err := decodeLot(it.Value())
		if err != nil {
			return errors.Join(fmt.Errorf("%w under %x", err, it.Key()), it.Close())
		}
		for _, ev := range events {
			if ev.Index < lo {
				continue
			}
			if ev.Index > hi || !fn(ev) {
				return it.Close()
			}
		}
	}
	return it.Close()
}

// decodeLot decodes a record of the changelog.
func decodeLot(b []byte) ([]event, error) {
	var events []event
	for d := (decoder{b: b}); ; {
		ev := decodeEvent(&d)
		if d.failed {
			return nil, errors.New("malformed event")
		}
		if events = append(events, ev); d.done() {
			return events, nil
		}
	}
}
