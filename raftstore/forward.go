package raftstore

import (
	"sync"
)

// maxForwards is how many batches of a follower's commands travel to the leader
// at a time. Commands that come meanwhile form the next batch.
const maxForwards = 4

// forwarder carries a follower's calls to the leader. It has goroutines only
// while there are calls.
type forwarder struct {
	queue callQueue

	mu      sync.Mutex
	running int
	closed  bool
}

// kick makes sure that somebody works on the queue.
func (f *forwarder) kick(n *Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running < maxForwards && !f.closed {
		f.running++
		n.tasks.Go(func() { f.run(n) })
	}
}

// close starts no more goroutines and answers what waits with err.
func (f *forwarder) close(err error) {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.queue.close(err)
}

func (f *forwarder) run(n *Node) {
	for {
		calls := f.queue.take()
		if len(calls) == 0 {
			if f.retire() {
				return
			}
			continue
		}
		n.forward(calls)
	}
}

// retire ends a runner unless calls came in just now.
func (f *forwarder) retire() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.queue.empty() {
		return false
	}
	f.running--
	return true
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
	for i, c := range calls {
		c.done <- outs[i]
	}
}
