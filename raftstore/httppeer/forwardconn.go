package httppeer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

// Forwarded commands travel over a connection that is upgraded like a stream, and
// on which both sides send frames:
//
//	requester   1, uvarint id, commands   a batch; ids grow
//	            2, uvarint id             nobody waits for that one any more
//	server      1, uvarint id, outcomes   those of a batch, or the last of them
//	            2, uvarint id, outcomes   some of them, and more follow
//	            3, uvarint id             the server takes none after that one
//	either      nothing                   each beat, so that silence means death
//
//	commands    uvarint count, then per command uvarint length, bytes
//	outcomes    uvarint count, then per outcome a status byte, uvarint index,
//	            uvarint length, result
//
// Batches are answered in any order. What a server does not take it says before
// it hangs up, so that a member that stops in good order leaves nobody in doubt.
const (
	batchFrame  = 1
	cancelFrame = 2

	outcomesFrame = 1
	partFrame     = 2
	leaveFrame    = 3
)

// forwardConn is the requester's end.
//
//	caller --> (its turn) --> connection          --> server
//	caller <-- settled    <-- reader <-- connection <--
//	keeper: beats, cancels; hangs up when nobody needs the connection
type forwardConn struct {
	*sharedConn
	cancels chan struct{} // receives when there is something in abandoned
	ended   chan struct{} // closed when the connection is over

	mu        sync.Mutex
	closed    bool // takes no more batches
	failed    bool // and cannot be written to
	last      uint64
	used      time.Time // when a batch was settled last
	pending   map[uint64]*batch
	abandoned []uint64 // ids to cancel
}

// batch is one of commands and what became of it.
type batch struct {
	cmds [][]byte
	size int64
	id   uint64

	settled chan struct{} // closed once the rest is set
	outs    []raftstore.Outcome
	sent    bool // something of it may have been written, and taken
	err     error
}

var (
	errForwardClosed = errors.New("the connection was closed")
	errLeaves        = errors.New("peer is about to stop")
)

func newForwardConn(conn *patientConn) *forwardConn {
	conn.silence, conn.onMotion = forwardSilence, func(int, int, time.Time) {}
	return &forwardConn{
		sharedConn: share(conn),
		cancels:    make(chan struct{}, 1),
		ended:      make(chan struct{}),
		used:       time.Now(),
		pending:    make(map[uint64]*batch),
	}
}

// usable reports whether batches are taken.
func (c *forwardConn) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed
}

// send writes a batch, which is settled some time after that. An error means that
// nothing of it was written.
func (c *forwardConn) send(ctx context.Context, b *batch) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer c.release()
	if err := c.register(b); err != nil {
		return err
	}
	if b.size > piece {
		// It may take long, and cannot be left half done.
		defer context.AfterFunc(ctx, c.hangUp)()
	}
	// The server makes room before it is sent more.
	if !c.cancel() || c.finish(appendCommands(c.start(batchFrame, b.id), b.cmds)) != nil {
		c.fail() // and the reader settles the batch
	}
	return nil
}

// fail notes that writing has failed. What the server has said before that may
// still be read, for a beat.
func (c *forwardConn) fail() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed, c.failed = true, true
}

func (c *forwardConn) hangUp() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.Close()
}

func (c *forwardConn) register(b *batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errForwardClosed
	}
	c.last++
	b.id = c.last
	c.pending[b.id] = b
	return nil
}

// await returns when the batch is settled. When ctx ends the server is told that
// nobody waits any more; if it then answers at once, that is taken: it may say
// that the batch is not executed, or the answer may have been on its way.
func (c *forwardConn) await(ctx context.Context, b *batch) {
	select {
	case <-b.settled:
		return
	case <-ctx.Done():
	}
	c.mu.Lock()
	c.abandoned = append(c.abandoned, b.id)
	c.mu.Unlock()
	select {
	case c.cancels <- struct{}{}:
	default:
	}
	timer := time.NewTimer(forwardGrace)
	defer timer.Stop()
	select {
	case <-b.settled:
		return
	case <-timer.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(b, nil, true, ctx.Err())
}

// settle is called with mu held. It does nothing if the batch was settled before.
func (c *forwardConn) settle(b *batch, outs []raftstore.Outcome, sent bool, err error) {
	if c.pending[b.id] != b {
		return
	}
	delete(c.pending, b.id)
	c.used = time.Now()
	b.outs, b.sent, b.err = outs, sent, err
	close(b.settled)
}

// run reads and keeps the connection until it ends, or ctx does.
func (c *forwardConn) run(ctx context.Context, tasks *sync.WaitGroup) {
	defer c.Close()
	defer context.AfterFunc(ctx, c.hangUp)()
	tasks.Go(c.keep)
	err := c.read()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	close(c.ended)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, b := range c.pending {
		c.settle(b, nil, true, fmt.Errorf("answer breaks off: %w", err))
	}
}

// read takes what the server says.
func (c *forwardConn) read() error {
	return c.eachFrame(func(payload []byte) error {
		d := decoder{payload}
		switch kind, id := d.byte(), d.uvarint(); kind {
		case outcomesFrame, partFrame:
			outs, err := d.outcomes()
			if err != nil {
				return err
			}
			return c.answered(id, outs, kind == outcomesFrame)
		case leaveFrame:
			if err := d.end(); err != nil {
				return err
			}
			c.left(id)
			return nil
		default:
			return errMalformed
		}
	})
}

// answered takes outcomes of a batch. That of one that was given up is not
// looked at.
func (c *forwardConn) answered(id uint64, outs []raftstore.Outcome, all bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.pending[id]
	switch {
	case id > c.last:
		return errMalformed
	case b == nil:
		return nil
	}
	b.outs = append(b.outs, outs...)
	switch n := len(b.outs); {
	case n > len(b.cmds) || all && n < len(b.cmds):
		return fmt.Errorf("%d outcomes for %d commands", n, len(b.cmds))
	case all:
		c.settle(b, b.outs, true, nil)
	}
	return nil
}

// left notes that the server takes no batch after id, of which there may be some
// on their way.
func (c *forwardConn) left(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, b := range c.pending {
		if b.id > id {
			c.settle(b, nil, false, errLeaves)
		}
	}
}

// keep writes what no caller does.
func (c *forwardConn) keep() {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-c.ended:
			return
		case now := <-ticker.C:
			if c.retire(now) {
				c.hangUp()
			} else if !c.beat() {
				c.fail()
			}
		case <-c.cancels:
			c.turn <- struct{}{} // which comes, since no write lasts for ever
			if !c.cancel() {
				c.fail()
			}
			c.release()
		}
	}
}

// retire reports whether the connection is of no use: broken, or not used for
// long. It is then closed for new batches.
func (c *forwardConn) retire(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed {
		return true
	}
	if len(c.pending) > 0 || now.Sub(c.used) < forwardIdle {
		return false
	}
	c.closed = true
	return true
}

// cancel tells the server of abandoned batches. It reports false if that fails.
// It must be the caller's turn.
func (c *forwardConn) cancel() bool {
	c.mu.Lock()
	ids := c.abandoned
	c.abandoned = nil
	c.mu.Unlock()
	for _, id := range ids {
		if c.finish(c.start(cancelFrame, id)) != nil {
			return false
		}
	}
	return true
}

// sharedConn is a connection on which several goroutines write frames.
type sharedConn struct {
	*patientConn
	turn  chan struct{} // holds an item while somebody writes
	frame []byte        // memory for the next one; belongs to whose turn it is
}

func share(conn *patientConn) *sharedConn {
	return &sharedConn{patientConn: conn, turn: make(chan struct{}, 1), frame: make([]byte, frameHead, 1<<10)}
}

// eachFrame takes what the other side says, but for its beats, until the connection
// ends or take fails.
func (c *sharedConn) eachFrame(take func(payload []byte) error) error {
	r := bufio.NewReaderSize(c.patientConn, 16<<10)
	for {
		payload, err := readFrame(r)
		if err == nil && len(payload) > 0 {
			err = take(payload)
		}
		if err != nil {
			return err
		}
	}
}

func (c *sharedConn) release() { <-c.turn }

// start returns the beginning of a frame, to be completed and given to finish.
func (c *sharedConn) start(kind byte, id uint64) []byte {
	return binary.AppendUvarint(append(c.frame[:frameHead], kind), id)
}

// keptMemory is how much of the memory for a frame is kept for the next one.
const keptMemory = 1 << 20

func (c *sharedConn) finish(frame []byte) error {
	if cap(frame) <= keptMemory {
		c.frame = frame
	}
	_, err := c.Write(sealFrame(frame))
	return err
}

// beat shows that this side lives. It reports false if that fails. Somebody who
// writes shows that, too.
func (c *sharedConn) beat() bool {
	select {
	case c.turn <- struct{}{}:
		defer c.release()
		return c.finish(c.frame[:frameHead]) == nil
	default:
		return true
	}
}
