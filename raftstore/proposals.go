package raftstore

import (
	"sync"
	"sync/atomic"
	"time"
)

// callKind says what a call asks for. The values travel between members.
type callKind byte

const (
	callCommand callKind = 0 // a command for the state machine
	callChange  callKind = 1 // a change of membership
)

// call is one request and its caller. done receives the outcome exactly once.
type call struct {
	kind   callKind
	cmd    []byte
	done   chan Outcome
	known  atomic.Pointer[Outcome] // what done will receive, if that is clear before
	queued bool                    // protected by the mu of the queue it stands in
	gone   bool                    // likewise: the caller left while it was queued
}

func newCall(kind callKind, cmd []byte) *call {
	return &call{kind: kind, cmd: cmd, done: make(chan Outcome, 1)}
}

// callQueue is a bounded queue of calls that are certainly not applied.
type callQueue struct {
	mu       sync.Mutex
	calls    []*call
	bytes    int64
	maxBytes int64
	closed   error // once set, push fails with it
}

// push appends calls, all or none.
func (q *callQueue) push(calls ...*call) error {
	var size int64
	for _, c := range calls {
		size += int64(len(c.cmd))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != nil {
		return q.closed
	}
	// A single call is let in whatever its size, or it could never be.
	if q.bytes > 0 && q.bytes+size > q.maxBytes {
		return ErrOverloaded
	}
	for _, c := range calls {
		c.queued = true
	}
	q.calls = append(q.calls, calls...)
	q.bytes += size
	return nil
}

// leave tells the queue that the caller of c gives up. It reports whether c
// still stood in the queue, and thus is certainly not applied.
func (q *callQueue) leave(c *call) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	c.gone = c.queued
	return c.gone
}

// take removes calls from the front, as many as fit one frame.
func (q *callQueue) take() []*call { return q.takeUpTo(maxFrameCommands) }

// takeOne removes the first call whose caller still waits.
func (q *callQueue) takeOne() []*call { return q.takeUpTo(1) }

// peek returns the command of the first call whose caller still waits; nil if
// there is none.
func (q *callQueue) peek() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.calls {
		if !c.gone {
			return c.cmd
		}
	}
	return nil
}

func (q *callQueue) takeUpTo(limit int) []*call {
	q.mu.Lock()
	defer q.mu.Unlock()
	var taken []*call
	var size int64
	n := 0
	for ; n < len(q.calls) && len(taken) < limit; n++ {
		c := q.calls[n]
		if len(taken) > 0 && size+int64(len(c.cmd)) > maxFrameBytes {
			break
		}
		q.bytes -= int64(len(c.cmd))
		c.queued = false
		if !c.gone {
			size += int64(len(c.cmd))
			taken = append(taken, c)
		}
	}
	clear(q.calls[:n])
	if q.calls = q.calls[n:]; len(q.calls) == 0 {
		q.calls = nil
	}
	return taken
}

// len returns how many calls wait, those included whose callers have left.
func (q *callQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.calls)
}

// empty reports whether nothing waits.
func (q *callQueue) empty() bool { return q.len() == 0 }

// size returns the bytes that wait.
func (q *callQueue) size() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// refuse answers everything that waits with err.
func (q *callQueue) refuse(err error) {
	for calls := q.take(); len(calls) > 0; calls = q.take() {
		answer(calls, Outcome{Err: err})
	}
}

// close makes every later push fail with err, and answers what waits with it.
func (q *callQueue) close(err error) {
	q.mu.Lock()
	q.closed = err
	q.mu.Unlock()
	q.refuse(err)
}

func answer(calls []*call, out Outcome) {
	for _, c := range calls {
		c.done <- out
	}
}

// openFrame is a frame that entered this member's log as leader and is neither
// applied nor known to be lost.
type openFrame struct {
	seq, term uint64
	size      int64
	framed    time.Time
	calls     []*call
}

// openFrames keeps the callers of frames until the frames' fate is certain. The
// loop adds frames, the apply goroutine settles them.
//
// A frame is lost for sure once an entry of a higher term is applied here
// before it: terms grow along the log, so the frame's place has gone to others.
type openFrames struct {
	mu     sync.Mutex
	frames []openFrame // ordered by seq, and so by term
	bytes  int64
}

func (o *openFrames) add(f openFrame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.frames = append(o.frames, f)
	o.bytes += f.size
}

// size returns the bytes of all open frames.
func (o *openFrames) size() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// applied settles the frame seq with its results, one per call. All frames
// before it are settled already.
func (o *openFrames) applied(seq, index uint64, results [][]byte, took *histogram) {
	for _, f := range o.cut(func(f openFrame) bool { return f.seq == seq }) {
		took.observe(time.Since(f.framed))
		for i, c := range f.calls {
			c.done <- Outcome{Index: index, Result: results[i]}
		}
	}
}

// termApplied settles all frames of lower terms as lost.
func (o *openFrames) termApplied(term uint64) {
	for _, f := range o.cut(func(f openFrame) bool { return f.term < term }) {
		answer(f.calls, Outcome{Err: ErrDropped})
	}
}

// refused settles the newest frame, seq, which raft did not take.
func (o *openFrames) refused(seq uint64) {
	o.mu.Lock()
	last := len(o.frames) - 1
	f := o.frames[last]
	if f.seq != seq {
		panic("raftstore: refused frame is not the newest")
	}
	o.frames = o.frames[:last]
	o.bytes -= f.size
	o.mu.Unlock()
	answer(f.calls, Outcome{Err: ErrDropped})
}

// abandon answers all callers whose outcome nobody will ever know.
func (o *openFrames) abandon(err error) {
	for _, f := range o.cut(func(openFrame) bool { return true }) {
		answer(f.calls, Outcome{Err: err})
	}
}

// cut removes the leading frames that match.
func (o *openFrames) cut(match func(openFrame) bool) []openFrame {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for n < len(o.frames) && match(o.frames[n]) {
		o.bytes -= o.frames[n].size
		n++
	}
	settled := o.frames[:n:n]
	o.frames = o.frames[n:]
	return settled
}
