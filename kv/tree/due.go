package tree

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// never stands for no expiry.
const never = math.MaxInt64

// due knows when the earliest expiry is, so that whoever expires nodes can
// sleep until then.
type due struct {
	mu     sync.Mutex
	next   int64 // nothing expires before; may be too early, never too late
	ended  bool
	waiter chan struct{} // of capacity 1: next became earlier, or all is over
}

// add notes a new expiry that has been committed.
func (d *due) add(at int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at < d.next {
		d.next = at
		d.signal()
	}
}

// signal wakes the waiter. The caller holds mu.
func (d *due) signal() {
	select {
	case d.waiter <- struct{}{}:
	default:
	}
}

// find looks up the earliest expiry in the database. Commits that it does not
// see are followed by a call of add, which has to wait for it.
func (d *due) find(r pebble.Reader) (at int64, ended bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next = never
	err = scan(r, []byte{tableExpiry}, tableEnd(tableExpiry), func(k, _ []byte) (bool, error) {
		at, _, ok := splitExpiryKey(k)
		if !ok {
			return false, fmt.Errorf("malformed expiry key %x", k)
		}
		d.next = at
		return false, nil
	})
	return d.next, d.ended, err
}

// reload looks up the earliest expiry anew, once nobody looks at an earlier
// database any more.
func (d *due) reload(r pebble.Reader) error {
	_, _, err := d.find(r)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.signal()
	return err
}

// before reports whether something may be due at the given time.
func (d *due) before(now int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.next <= now
}

func (d *due) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	d.signal()
}

// maxSleep bounds how late an expiry can be after the wall clock jumped ahead
// of the monotonic one, as it does when a machine was suspended.
const maxSleep = time.Minute

// WaitDue blocks until a node's expiry has passed by the wall clock and returns
// the time then, for the OpExpire command to carry. It sleeps without polling
// and notices expiries that are set meanwhile. One caller at a time.
func (t *Tree) WaitDue(ctx context.Context) (now time.Time, err error) {
	for {
		at, err := t.nextExpiry()
		if err != nil {
			return time.Time{}, err
		}
		now := time.Now()
		if at <= now.UnixNano() {
			return now, nil
		}
		wait := time.Duration(math.MaxInt64)
		if at != never {
			wait = min(time.Duration(at-now.UnixNano()), maxSleep)
		}
		if err := t.due.sleep(ctx, wait); err != nil {
			return time.Time{}, err
		}
	}
}

// sleep waits for the signal, the context, or the given time.
func (d *due) sleep(ctx context.Context, wait time.Duration) error {
	var ring <-chan time.Time
	if wait < math.MaxInt64 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		ring = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-d.waiter:
	case <-ring:
	}
	return nil
}

// nextExpiry returns when the earliest expiry is, or never.
func (t *Tree) nextExpiry() (int64, error) {
	db, err := t.use()
	if err != nil {
		return 0, err
	}
	defer db.users.Done()
	at, ended, err := t.due.find(db)
	if ended {
		return 0, t.stopped()
	}
	return at, err
}
