package raftstore

import (
	"context"
	"iter"
	"sync"
	"time"
)

// EventKind says what an Event reports.
type EventKind string

// The kinds of events.
const (
	EventLeader     EventKind = "leader"     // another member leads, or none
	EventMembership EventKind = "membership" // a change of membership was applied
	EventSnapshot   EventKind = "snapshot"   // a snapshot was installed here
	EventStall      EventKind = "stall"      // disk or state machine hang, or hang no more
)

// Event is something that an operator or a program may act on.
type Event struct {
	Kind EventKind
	Time time.Time
	// Term and Leader are set for EventLeader; Leader is 0 when nobody leads.
	Term, Leader uint64
	// Index is the position for EventMembership and EventSnapshot.
	Index uint64
	// Stalled, for EventStall, is how long the oldest write or batch has been
	// under way; 0 when all is well again.
	Stalled time.Duration
}

// events keeps the latest event of each kind for readers that may be slow.
type events struct {
	mu      sync.Mutex
	readers map[*eventReader]struct{}
}

type eventReader struct {
	pending []Event // at most one of a kind, oldest first
	wake    chan struct{}
}

func (e *events) publish(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for r := range e.readers {
		for i, p := range r.pending {
			if p.Kind == ev.Kind {
				r.pending = append(r.pending[:i], r.pending[i+1:]...)
				break
			}
		}
		r.pending = append(r.pending, ev)
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// Events yields what happens from this call on, until ctx ends or the node has
// stopped. There may be many readers; one that is slow misses all but the latest
// event of each kind.
func (n *Node) Events(ctx context.Context) iter.Seq[Event] {
	r := &eventReader{wake: make(chan struct{}, 1)}
	n.events.mu.Lock()
	if n.events.readers == nil {
		n.events.readers = make(map[*eventReader]struct{})
	}
	n.events.readers[r] = struct{}{}
	n.events.mu.Unlock()
	return func(yield func(Event) bool) {
		defer func() {
			n.events.mu.Lock()
			defer n.events.mu.Unlock()
			delete(n.events.readers, r)
		}()
		for {
			n.events.mu.Lock()
			pending := r.pending
			r.pending = nil
			n.events.mu.Unlock()
			for _, ev := range pending {
				if !yield(ev) {
					return
				}
			}
			select {
			case <-r.wake:
			case <-ctx.Done():
				return
			case <-n.done:
				return
			}
		}
	}
}
