package httppeer

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/strakeproject/strake/raftstore"
)

// forwardServer is the serving end of a connection for forwarded commands.
//
//	reader: one goroutine per batch --> Handler.ServeForward --> (its turn) --> connection
//	main:   beats; says goodbye when the Transport stops or the peer is removed,
//	        and waits for all others
type forwardServer struct {
	*sharedConn
	t       *Transport
	room    *semaphore.Weighted // for batches being served
	serving sync.WaitGroup

	mu      sync.Mutex
	closed  bool // takes no more batches
	taken   uint64
	cancels map[uint64]context.CancelFunc
}

// serveForwards serves an upgraded connection until it breaks or bye ends. After
// that no batches are taken, but those that were are answered.
func (t *Transport) serveForwards(bye context.Context, conn *patientConn) error {
	conn.silence = forwardSilence
	s := &forwardServer{
		sharedConn: share(conn), t: t,
		room:    semaphore.NewWeighted(maxOutstanding),
		cancels: make(map[uint64]context.CancelFunc),
	}
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	ended, answered := make(chan error, 1), make(chan struct{})
	t.tasks.Go(func() { ended <- s.read(ctx) })
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	leaving := bye.Done()
	for {
		select {
		case <-ticker.C:
			if !s.beat() {
				s.Close()
				cancel()
			}
		case <-leaving:
			leaving = nil
			s.leave()
			t.tasks.Go(func() {
				s.serving.Wait()
				close(answered)
			})
		case <-answered:
			s.Close()
			return <-ended
		case err := <-ended:
			s.close()
			s.Close()
			cancel()
			s.serving.Wait()
			return err
		}
	}
}

// close takes no more batches, and returns which one was the last.
func (s *forwardServer) close() (last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.taken
}

// leave takes no more batches, and says which one was the last.
func (s *forwardServer) leave() {
	last := s.close()
	s.turn <- struct{}{}
	defer s.release()
	_ = s.finish(s.start(leaveFrame, last)) // whoever does not hear it is in doubt
}

// read takes batches until the connection ends.
func (s *forwardServer) read(ctx context.Context) error {
	return s.eachFrame(func(payload []byte) error {
		d := decoder{payload}
		switch kind, id := d.byte(), d.uvarint(); kind {
		case batchFrame:
			cmds, err := d.commands()
			if err != nil {
				return err
			}
			size := min(int64(len(payload)), maxOutstanding)
			if s.room.Acquire(ctx, size) != nil {
				return nil // at the end; the batch is not taken
			}
			return s.take(ctx, id, size, cmds)
		case cancelFrame:
			s.cancel(id)
			return d.end()
		default:
			return errMalformed
		}
	})
}

// take starts to serve a batch, unless no more are taken.
func (s *forwardServer) take(ctx context.Context, id uint64, size int64, cmds [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	if id <= s.taken {
		return errMalformed
	}
	s.taken = id
	ctx, s.cancels[id] = context.WithCancel(ctx)
	s.serving.Go(func() {
		defer s.room.Release(size)
		outs := s.t.handler.ServeForward(ctx, cmds)
		s.cancel(id)
		s.answer(id, outs)
	})
	return nil
}

// cancel tells who serves a batch, if anybody still does, that nobody waits.
func (s *forwardServer) cancel(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.cancels[id]; cancel != nil {
		cancel()
		delete(s.cancels, id)
	}
}

// answerSize is how large a part of an answer becomes, if one outcome does not
// make it larger.
const answerSize = 1 << 20

// answer writes outcomes. If that fails the peer is left in doubt, which is what
// it then reports.
func (s *forwardServer) answer(id uint64, outs []raftstore.Outcome) {
	s.turn <- struct{}{}
	defer s.release()
	for {
		n, kind := answerOf(outs), byte(outcomesFrame)
		if n < len(outs) {
			kind = partFrame
		}
		if s.finish(encodeOutcomes(s.start(kind, id), outs[:n])) != nil {
			s.Close()
			return
		}
		if outs = outs[n:]; len(outs) == 0 {
			return
		}
	}
}

// answerOf returns how many of the outcomes go into one frame. One that does not
// go into any is made unknown.
func answerOf(outs []raftstore.Outcome) int {
	size := 0
	for i := range outs {
		if len(outs[i].Result) > maxFrame-100 {
			outs[i] = raftstore.Outcome{Err: raftstore.ErrOutcomeUnknown}
		}
		if size += 20 + len(outs[i].Result); size > answerSize && i > 0 {
			return i
		}
	}
	return len(outs)
}
