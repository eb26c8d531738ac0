package raftstore

import (
	"context"
)

// leadRun runs Config.Lead while this member leads. Owned by the loop, but for
// stop.
type leadRun struct {
	term   uint64 // term that was won and whose first entry is not yet applied
	began  uint64 // term in which this member leads with all of before applied
	cancel context.CancelFunc
	ended  chan struct{} // of the latest run
}

// await notes that term was won.
func (r *leadRun) await(term uint64) { r.term = term }

// begin starts f for a term whose first entry is applied.
func (r *leadRun) begin(ctx context.Context, term uint64, f func(context.Context, uint64)) {
	if r.term != term {
		return
	}
	r.term, r.began = 0, term
	if f == nil {
		return
	}
	ctx, r.cancel = context.WithCancel(ctx)
	before, ended := r.ended, make(chan struct{})
	r.ended = ended
	go func() {
		defer close(ended)
		if before != nil {
			<-before
		}
		if ctx.Err() == nil {
			f(ctx, term)
		}
	}()
}

// end tells the running f that leadership is over.
func (r *leadRun) end() {
	r.term, r.began = 0, 0
	if r.cancel != nil {
		r.cancel()
		r.cancel = nil
	}
}

// stop ends f and waits for it, after the loop has ended.
func (r *leadRun) stop() {
	r.end()
	if r.ended != nil {
		<-r.ended
	}
}
