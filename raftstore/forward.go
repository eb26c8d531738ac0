package raftstore

import (
	"runtime"
	"sync"
)

// maxForwards is how many batches of a follower's commands travel to the leader at
// a time, at most.
const maxForwards = 4

// forwarder carries a follower's calls to the leader. A batch leaves at once when
// none is under way, and otherwise when as many calls wait as are under way: many
// small batches would cost both members more than they win. It has goroutines only
// while there are calls.
type forwarder struct {
	queue callQueue

	mu      sync.Mutex
	batches int // under way
	calls   int // in them
	closed  bool
}

// kick sends a batch if it is time for one.
func (f *forwarder) kick(n *Node) {
	if f.enter() {
		n.tasks.Go(func() { f.run(n) })
	}
}

// enter reports whether it is time for another batch, which then counts as under
// way, with no calls yet.
func (f *forwarder) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.batches == maxForwards || f.queue.len() < max(f.calls, 1) {
		return false
	}
	f.batches++
	return true
}

// run sends batches, one after the other, while it is time for one.
func (f *forwarder) run(n *Node) {
	for again := true; again; again = f.enter() {
		// Callers that are about to run come along.
		runtime.Gosched()
		calls := f.queue.take()
		f.count(0, len(calls))
		if len(calls) > 0 {
			n.forward(calls)
		}
		f.count(-1, -len(calls))
	}
}

func (f *forwarder) count(batches, calls int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batches += batches
	f.calls += calls
}

// close starts no more goroutines and answers what waits with err.
func (f *forwarder) close(err error) {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.queue.close(err)
}

// forward sends one batch and answers its calls.
func (n *Node) forward(calls []*call) {
	leader, _ := n.leader.get()
	if leader == 0 || leader == n.id {
		answer(calls, Outcome{Err: ErrDropped}) // they look for the leader anew
		return
	}
	requests := make([][]byte, len(calls))
	for i, c := range calls {
		requests[i] = append([]byte{byte(c.kind)}, c.cmd...)
	}
	// A leader that was cut off may keep the batch for ever.
	ctx, cancel := n.leader.during(n.ctx, leader)
	defer cancel()
	outs, err := n.cfg.Transport.Forward(ctx, leader, requests)
	if err == nil && len(outs) != len(calls) {
		err = ErrOutcomeUnknown
	}
	if err != nil {
		answer(calls, Outcome{Err: err})
		return
	}
	n.settle(calls, outs)
}

// settle answers calls that the leader has carried out. What was applied there is
// told when it is applied here, so that callers see their own writes.
func (n *Node) settle(calls []*call, outs []Outcome) {
	for i, c := range calls {
		c.known.Store(&outs[i])
	}
	for len(calls) > 0 {
		same := 1
		for same < len(calls) && outs[same].Index == outs[0].Index {
			same++
		}
		entry, results := calls[:same], outs[:same]
		n.applied.then(outs[0].Index, func() {
			for i, c := range entry {
				c.done <- results[i]
			}
		})
		calls, outs = calls[same:], outs[same:]
	}
}
