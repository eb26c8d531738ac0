package httppeer

import "sync"

const (
	maxControlQueue = 1 << 20
	maxBulkQueue    = 32 << 20
	// frameCost is what a queued message takes beside its own bytes, so that many
	// small ones are bounded, too.
	frameCost = 64
)

// sendQueue holds what waits to be written to one stream, what is being written
// included.
type sendQueue struct {
	max  int
	wake chan struct{} // receives after a push

	mu     sync.Mutex
	frames [][]byte
	bytes  int  // of frames, and of those taken but not yet released
	full   bool // an overflow was reported and is not over
}

func newQueue(max int) *sendQueue { return &sendQueue{max: max, wake: make(chan struct{}, 1)} }

// pushResult says what became of a message.
type pushResult int

const (
	pushed      pushResult = iota
	overflowed             // dropped, the first one
	overflowing            // dropped like others before
)

// push adds a message, or drops it when the queue is full. An empty queue takes
// a message of any size.
func (q *sendQueue) push(data []byte) pushResult {
	cost := len(data) + frameCost
	q.mu.Lock()
	if q.bytes > 0 && q.bytes+cost > q.max {
		defer q.mu.Unlock()
		if q.full {
			return overflowing
		}
		q.full = true
		return overflowed
	}
	q.frames = append(q.frames, data)
	q.bytes += cost
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return pushed
}

// take returns what waits, which is to be released once it is written. A slice
// that was taken before can be given back for reuse.
func (q *sendQueue) take(reuse [][]byte) [][]byte {
	clear(reuse)
	q.mu.Lock()
	defer q.mu.Unlock()
	frames := q.frames
	q.frames = reuse[:0]
	return frames
}

// release makes room for as much as frames took.
func (q *sendQueue) release(frames [][]byte) {
	n := 0
	for _, f := range frames {
		n += len(f) + frameCost
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= n
	if q.bytes <= q.max/2 {
		q.full = false
	}
}

// drop empties the queue and returns how many messages it held.
func (q *sendQueue) drop() int {
	frames := q.take(nil)
	q.release(frames)
	return len(frames)
}

func (q *sendQueue) size() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int64(q.bytes)
}
