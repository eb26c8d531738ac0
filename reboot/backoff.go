package reboot

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

// wait waits, or fails with ctx.
func (b *backoff) wait(ctx context.Context) error {
	b.last = min(max(2*b.last, b.min), b.max)
	t := time.NewTimer(b.last)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reset begins anew.
func (b *backoff) reset() { b.last = 0 }
