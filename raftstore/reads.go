package raftstore

import (
	"context"
	"encoding/binary"
	"sync"
)

// readRound is one confirmation of leadership, shared by all readers that asked
// before it was sent. Readers that come later must wait for the next round: the
// running one may have been answered before they asked.
type readRound struct {
	done  chan struct{} // closed when index or err is set
	index uint64
	err   error
}

// readRounds hands rounds from readers to the loop. One round runs at a time.
type readRounds struct {
	mu   sync.Mutex
	next *readRound // collects readers; nil when there are none

	// The rest belongs to the loop.
	running *readRound
	counter uint64 // of the latest request
	first   uint64 // of the running round's first request
	sentAt  uint64 // tick of its latest
	tries   uint64
}

// join enters the next round and reports whether the loop must be woken for it.
func (r *readRounds) join() (round *readRound, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &readRound{done: make(chan struct{})}
		first = true
	}
	return r.next, first
}

// start makes the next round the running one, if there is one and none runs.
func (r *readRounds) start() bool {
	if r.running != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running, r.next = r.next, nil
	r.first, r.tries = r.counter+1, 0
	return r.running != nil
}

// overdue reports whether the running round should be asked for again: its
// request or the answer may be lost. It is asked less and less often, so that a
// slow network is not made slower.
func (r *readRounds) overdue(tick, heartbeat uint64) bool {
	return r.running != nil && tick-r.sentAt >= heartbeat<<min(r.tries, 5)
}

// newKey returns a request context that was never used before by any member:
// the leader keys its bookkeeping by it, and an answer to an earlier request
// must not be taken for one to a later.
func (r *readRounds) newKey(id, incarnation, tick uint64) []byte {
	r.counter++
	r.tries++
	r.sentAt = tick
	b := binary.BigEndian.AppendUint64(nil, id)
	b = binary.BigEndian.AppendUint64(b, incarnation)
	return binary.BigEndian.AppendUint64(b, r.counter)
}

// confirm ends the running round if key is one of its requests. All of them were
// sent after its readers had asked, so any answer will do. It reports whether
// there was such a round.
func (r *readRounds) confirm(key []byte, id, incarnation, index uint64) bool {
	if r.running == nil || len(key) != 24 || binary.BigEndian.Uint64(key) != id ||
		binary.BigEndian.Uint64(key[8:]) != incarnation || binary.BigEndian.Uint64(key[16:]) < r.first {
		return false
	}
	r.running.index = index
	close(r.running.done)
	r.running = nil
	return true
}

// abandon ends all rounds with err.
func (r *readRounds) abandon(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, round := range []*readRound{r.running, r.next} {
		if round != nil {
			round.err = err
			close(round.done)
		}
	}
	r.running, r.next = nil, nil
}

// watermark is an index that only grows, and that goroutines wait for.
type watermark struct {
	mu      sync.Mutex
	index   uint64
	waiters []markWaiter
}

// markWaiter is something to do once the mark has reached an index. It must not
// block.
type markWaiter struct {
	index   uint64
	reached func()
	done    chan struct{} // what reached closes, if that is all it does
}

// advance raises the mark and does what waited for it.
func (w *watermark) advance(index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.index = max(w.index, index)
	kept := w.waiters[:0]
	for _, mw := range w.waiters {
		if mw.index <= w.index {
			mw.reached()
		} else {
			kept = append(kept, mw)
		}
	}
	clear(w.waiters[len(kept):])
	w.waiters = kept
}

// then calls reached when the mark has reached index, which may be now.
func (w *watermark) then(index uint64, reached func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.index >= index {
		reached()
	} else {
		w.waiters = append(w.waiters, markWaiter{index: index, reached: reached})
	}
}

// wait returns when the mark has reached index, ctx ends, or stopped closes.
func (w *watermark) wait(ctx context.Context, index uint64, stopped <-chan struct{}) error {
	w.mu.Lock()
	if w.index >= index {
		w.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	w.waiters = append(w.waiters, markWaiter{index, func() { close(done) }, done})
	w.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-stopped:
		return ErrStopped
	case <-ctx.Done():
		w.forget(done)
		return ctx.Err()
	}
}

func (w *watermark) forget(done chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, mw := range w.waiters {
		if mw.done == done {
			last := len(w.waiters) - 1
			w.waiters[i] = w.waiters[last]
			w.waiters[last] = markWaiter{}
			w.waiters = w.waiters[:last]
			return
		}
	}
}
