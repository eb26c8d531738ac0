package overlay

import (
	"context"
	"time"
)

// backoff is how long to wait before a further try: min, then twice as long
// each time, up to max.
type backoff struct {
	min, max time.Duration
	last     time.Duration
}

// next returns the next wait.
func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, b.min), b.max)
	return b.last
}

// reset begins anew.
func (b *backoff) reset() { b.last = 0 }

// wait waits for the next wait, or fails with ctx.
func (b *backoff) wait(ctx context.Context) error { return wait(ctx, b.next()) }

// wait lets d pass, or fails with ctx.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// news tells a new error from one that was reported already.
type news struct{ last string }

// of reports whether err differs from the last one.
func (n *news) of(err error) bool {
	old := n.last
	n.last = err.Error()
	return n.last != old
}

// over reports whether there was an error, and forgets it.
func (n *news) over() bool {
	old := n.last
	n.last = ""
	return old != ""
}
