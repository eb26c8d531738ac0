package registry

import (
	"slices"

	"github.com/strakeproject/strake/kv"
)

// ownWrites are the writes that a view's own Registry has made below one
// directory and that the watch of the directory has not delivered yet. The view
// shows them already: what the watch delivers must not undo them.
type ownWrites struct {
	dir    string
	events []kv.Event        // by index
	latest map[string]uint64 // for each key that they touch, the latest index
}

func newOwnWrites(dir string) *ownWrites {
	return &ownWrites{dir: dir, latest: make(map[string]uint64)}
}

// add takes in a write, and returns it and those that came after it: writes made
// at the same time may be added in either order.
func (o *ownWrites) add(ev kv.Event) []kv.Event {
	i := len(o.events)
	for i > 0 && o.events[i-1].Index > ev.Index {
		i--
	}
	o.events = slices.Insert(o.events, i, ev)
	o.latest[ev.Node.Key] = max(o.latest[ev.Node.Key], ev.Index)
	return o.events[i:]
}

// cover reports whether a write of our own, no earlier than a change, has set or
// removed the changed key or a directory around it.
func (o *ownWrites) cover(ev kv.Event) bool {
	for key := ev.Node.Key; ; key = kv.Parent(key) {
		if o.latest[key] >= ev.Index {
			return true
		}
		if key == o.dir || key == "/" {
			return false
		}
	}
}

// after returns the writes that came after a change of a directory and lie
// within it.
func (o *ownWrites) after(ev kv.Event) []kv.Event {
	if !ev.Node.Dir {
		return nil // cover has dealt with writes to the same key
	}
	var later []kv.Event
	for _, own := range o.events {
		if own.Index > ev.Index && kv.Below(own.Node.Key, ev.Node.Key) {
			later = append(later, own)
		}
	}
	return later
}

// forget drops the writes that the watch has caught up with.
func (o *ownWrites) forget(index uint64) {
	n := 0
	for n < len(o.events) && o.events[n].Index <= index {
		if key := o.events[n].Node.Key; o.latest[key] <= index {
			delete(o.latest, key)
		}
		n++
	}
	o.events = o.events[n:]
}
