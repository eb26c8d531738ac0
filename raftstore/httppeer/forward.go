package httppeer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/strakeproject/strake/raftstore"
)

const (
	forwardPath = "/raft/v1/forward"
	forwardKind = "forward"
	// maxForward bounds the frame of a forwarded batch.
	maxForward = maxFrame
	// maxOutstanding bounds the batches under way to one peer, in bytes. A larger
	// one goes alone.
	maxOutstanding = 16 << 20
	// forwardSilence is how long either side may be silent. It says something each
	// beat.
	forwardSilence = 10 * beat
	// forwardIdle is how long a connection stands that is not used.
	forwardIdle = time.Minute
	// forwardGrace is how long the answer of one who was told to give up is awaited.
	forwardGrace = 50 * time.Millisecond
	// forwardAttempts is how many connections may close before they are written to.
	forwardAttempts = 3
)

// Forward sends commands to a peer, over a connection that is opened for the
// first and kept. A batch that is too large for one frame goes in several, one
// after the other; a command that is too large alone fails with ErrTooLarge.
// Nothing is ever sent twice. At most 16 MiB are under way to a peer, or one
// batch that is larger; what comes then waits. After the end of ctx it takes up to
// 50 ms to learn what can be learnt.
func (t *Transport) Forward(ctx context.Context, to uint64, cmds [][]byte) ([]raftstore.Outcome, error) {
	var outs []raftstore.Outcome
	for first := true; len(cmds) > 0; first = false {
		n := batchOf(cmds)
		if n == 0 {
			outs = append(outs, raftstore.Outcome{Err: raftstore.ErrTooLarge})
			cmds = cmds[1:]
			continue
		}
		part, err := t.forward(ctx, to, cmds[:n])
		if err != nil && first && n == len(cmds) {
			return nil, err
		}
		if err != nil {
			part = failed(n, err)
		}
		outs = append(outs, part...)
		cmds = cmds[n:]
	}
	return outs, nil
}

// batchOf returns how many of the commands go into one frame. 0 means that the
// first one does not.
func batchOf(cmds [][]byte) int {
	size := 30 // more than what precedes the commands, and a length
	for i, c := range cmds {
		if size += 10 + len(c); size > maxForward {
			return i
		}
	}
	return len(cmds)
}

func failed(n int, err error) []raftstore.Outcome {
	outs := make([]raftstore.Outcome, n)
	for i := range outs {
		outs[i].Err = err
	}
	return outs
}

// forward sends one batch, as large as goes into a frame.
func (t *Transport) forward(ctx context.Context, to uint64, cmds [][]byte) (outs []raftstore.Outcome, err error) {
	p := t.peer(to)
	if p == nil {
		return nil, fmt.Errorf("%w: forward: no peer %x", raftstore.ErrDropped, to)
	}
	err = errNotRunning
	sent := false
	t.during(func() { outs, sent, err = t.forwardTo(ctx, p, cmds) })
	switch {
	case err == nil:
		return outs, nil
	case sent:
		return nil, fmt.Errorf("%w: forward to %x: %w", raftstore.ErrOutcomeUnknown, to, err)
	}
	return nil, fmt.Errorf("%w: forward to %x: %w", raftstore.ErrDropped, to, err)
}

// forwardTo reports beside an error whether the peer may have got the batch.
func (t *Transport) forwardTo(ctx context.Context, p *peer, cmds [][]byte) (outs []raftstore.Outcome, sent bool, err error) {
	size := int64(0)
	for _, c := range cmds {
		size += int64(len(c)) + frameCost
	}
	share := min(size, maxOutstanding)
	if err := p.forwards.room.Acquire(ctx, share); err != nil {
		return nil, false, err
	}
	defer p.forwards.room.Release(share)
	for range forwardAttempts {
		c, err := p.forwards.get(ctx, t, p)
		if err != nil {
			return nil, false, err
		}
		b := &batch{cmds: cmds, size: size, settled: make(chan struct{})}
		if err = c.send(ctx, b); errors.Is(err, errForwardClosed) {
			continue // since get, and before anything of the batch was written
		}
		if err != nil {
			return nil, false, err
		}
		c.await(ctx, b)
		return b.outs, b.sent, b.err
	}
	return nil, false, errForwardClosed
}

// forwards keeps the connection over which commands are forwarded to one peer.
type forwards struct {
	room *semaphore.Weighted

	mu     sync.Mutex
	latest *forwardDial // nil if there was none
}

// forwardDial is one attempt to connect.
type forwardDial struct {
	over chan struct{} // closed once the rest is set
	conn *forwardConn
	err  error
}

func newForwards() *forwards { return &forwards{room: semaphore.NewWeighted(maxOutstanding)} }

// get returns a connection, which stood a moment ago. However many ask for one,
// it is dialled once.
func (f *forwards) get(ctx context.Context, t *Transport, p *peer) (*forwardConn, error) {
	d := f.current(t, p)
	select {
	case <-d.over:
		return d.conn, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// current returns the latest dial if it is under way or led to a connection that
// stands, or else a new one.
func (f *forwards) current(t *Transport, p *peer) *forwardDial {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.latest != nil && f.latest.useful() {
		return f.latest
	}
	d := &forwardDial{over: make(chan struct{})}
	t.tasks.Go(func() { d.run(t, p) })
	f.latest = d
	return d
}

func (d *forwardDial) useful() bool {
	select {
	case <-d.over:
		return d.err == nil && d.conn.usable()
	default:
		return true
	}
}

// run opens a connection, lets those have it who wait, and serves it.
func (d *forwardDial) run(t *Transport, p *peer) {
	conn, _, err := t.dial(p.ctx, p, forwardPath, "")
	if err != nil {
		d.err = err
		close(d.over)
		return
	}
	d.conn = newForwardConn(conn)
	close(d.over)
	d.conn.run(p.ctx, &t.tasks)
}
