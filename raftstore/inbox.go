package raftstore

import (
	"context"
	"sync"

	"go.etcd.io/raft/v3/raftpb"
)

// inbox is what others have for the loop. The loop swaps it out whole, so that a
// burst costs one turn.
type inbox struct {
	wake chan struct{} // of the loop's own goroutine

	mu       sync.Mutex
	messages []*raftpb.Message // from peers, and answers from append and apply
	requests []func()          // to run on the loop
	inflow   int64             // bytes of messages from peers
}

// maxInflow bounds the unread messages from peers. Beyond it they are dropped,
// which raft takes for a slow network.
const maxInflow = 64 << 20

func (b *inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// receive takes a message from a peer, or drops it.
func (b *inbox) receive(m *raftpb.Message, size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inflow+int64(size) > maxInflow && b.inflow > 0 {
		return
	}
	b.messages = append(b.messages, m)
	b.inflow += int64(size)
}

// respond takes messages of this member to itself, which are never dropped.
func (b *inbox) respond(ms []*raftpb.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, ms...)
}

// request has the loop's own goroutine run f, since whoever asks for it may hold
// locks.
func (b *inbox) request(f func()) {
	b.mu.Lock()
	b.requests = append(b.requests, f)
	b.mu.Unlock()
	b.signal()
}

func (b *inbox) take() (messages []*raftpb.Message, requests []func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	messages, requests = b.messages, b.requests
	b.messages, b.requests, b.inflow = nil, nil, 0
	return messages, requests
}

// work is a storage message for one of the two workers, or the order to install
// the snapshot of one.
type work struct {
	message *raftpb.Message
	install *installation
}

// workQueue carries work to one worker, in order and without loss.
type workQueue struct {
	wake chan struct{}
	mu   sync.Mutex
	work []work
}

func (q *workQueue) push(w work) {
	q.mu.Lock()
	q.work = append(q.work, w)
	q.mu.Unlock()
	q.signal()
}

func (q *workQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next waits for work or a signal and returns all the work there is; false when
// ctx ends.
func (q *workQueue) next(ctx context.Context) ([]work, bool) {
	batch := q.take()
	if len(batch) == 0 {
		select {
		case <-q.wake:
			batch = q.take()
		case <-ctx.Done():
		}
	}
	return batch, ctx.Err() == nil
}

func (q *workQueue) take() []work {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch := q.work
	q.work = nil
	return batch
}
