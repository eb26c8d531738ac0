package raftstore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Propose replicates cmd and returns the state machine's result once it is
// applied by this member, from whichever member it is called on. A command that
// is certainly lost to a change of leader is proposed again until ctx ends.
//
// Errors: ErrTooLarge, ErrOverloaded, ErrDropped and ErrNoLeader mean that cmd
// is not and will not be applied; ErrOutcomeUnknown that it may be. When ctx
// ended, its error matches too.
func (n *Node) Propose(ctx context.Context, cmd []byte) ([]byte, error) {
	out := Outcome{Err: n.checkSize(cmd)}
	if out.Err == nil {
		out = n.route(ctx, callCommand, cmd)
	}
	n.counters.note(out.Err)
	return out.Result, out.Err
}

// ProposeMany proposes commands at once, in order, and returns an outcome for
// each, with the errors of Propose. They are not one step: others' commands may
// come between them, and some may succeed while others fail. If the queue has no
// room for all of them, all fail with ErrOverloaded.
func (n *Node) ProposeMany(ctx context.Context, cmds [][]byte) []Outcome {
	outs := make([]Outcome, len(cmds))
	calls := make([]*call, len(cmds))
	var sent []*call
	for i, cmd := range cmds {
		if outs[i].Err = n.checkSize(cmd); outs[i].Err == nil {
			calls[i] = newCall(callCommand, cmd)
			sent = append(sent, calls[i])
		}
	}
	leader, _ := n.leader.get()
	q := n.queueTo(leader, callCommand)
	if err := n.enqueue(q, sent...); err != nil {
		answer(sent, Outcome{Err: err})
	}
	for i, c := range calls {
		if c == nil {
			continue
		}
		if outs[i] = n.await(ctx, q, c); isLost(outs[i].Err) && ctx.Err() == nil && n.ctx.Err() == nil {
			outs[i] = n.route(ctx, callCommand, cmds[i])
		}
		n.counters.note(outs[i].Err)
	}
	return outs
}

func (n *Node) checkSize(cmd []byte) error {
	if int64(len(cmd)) > n.cfg.MaxCommandBytes {
		return fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, len(cmd), n.cfg.MaxCommandBytes)
	}
	return nil
}

// route takes a call to the leader until it is not lost on the way.
func (n *Node) route(ctx context.Context, kind callKind, cmd []byte) Outcome {
	for {
		leader, changed := n.leader.get()
		q := n.queueTo(leader, kind)
		attempt := newCall(kind, cmd)
		out := Outcome{Err: n.enqueue(q, attempt)}
		if out.Err == nil {
			out = n.await(ctx, q, attempt)
		}
		if !isLost(out.Err) || n.ctx.Err() != nil {
			return out
		}
		if err := n.awaitLeader(ctx, changed); err != nil {
			return Outcome{Err: errors.Join(out.Err, err)}
		}
	}
}

// isLost reports whether a call certainly came to nothing and may be tried
// again.
func isLost(err error) bool {
	return errors.Is(err, ErrDropped) || errors.Is(err, ErrNoLeader)
}

// queueTo returns where calls for the given leader wait; nil for no leader.
func (n *Node) queueTo(leader uint64, kind callKind) *callQueue {
	switch leader {
	case 0:
		return nil
	case n.id:
		return n.queueFor(kind)
	default:
		return &n.forwards.queue
	}
}

// enqueue puts calls into a queue, all or none, and wakes who works on it.
func (n *Node) enqueue(q *callQueue, calls ...*call) error {
	if q == nil {
		return ErrNoLeader
	}
	if err := q.push(calls...); err != nil {
		return err
	}
	if q == &n.forwards.queue {
		n.forwards.kick(n)
	} else {
		n.stirFor(q)
	}
	return nil
}

// stirFor has the loop look into a queue.
func (n *Node) stirFor(q *callQueue) {
	if q == &n.proposals && n.hold.on.Load() {
		return // something turns the loop anyway
	}
	n.stir()
}

// await waits for the outcome of a call that was put into q.
func (n *Node) await(ctx context.Context, q *callQueue, c *call) Outcome {
	var why error
	select {
	case out := <-c.done:
		return out
	case <-ctx.Done():
		why = ctx.Err()
	case <-n.ctx.Done():
		// A transport waits for us before the rest can be torn down.
		why = ErrStopped
	}
	select {
	case out := <-c.done: // it was there, too
		return out
	default:
	}
	if q.leave(c) {
		return Outcome{Err: errors.Join(ErrDropped, why)}
	}
	select {
	case out := <-c.done: // it came meanwhile
		return out
	default:
	}
	if out := c.known.Load(); out != nil {
		return *out // without the wait until it is applied here
	}
	return Outcome{Err: errors.Join(ErrOutcomeUnknown, why)}
}

// awaitLeader pauses before a lost command is proposed again: until the leader
// changes, or for a tick, since the leader that refused may be about to change
// its mind without our seeing it.
func (n *Node) awaitLeader(ctx context.Context, changed <-chan struct{}) error {
	t := time.NewTimer(n.cfg.TickInterval)
	defer t.Stop()
	select {
	case <-changed:
		return nil
	case <-t.C:
		return nil
	case <-n.ctx.Done():
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}
