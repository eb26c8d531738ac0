package reboot_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/kv"
)

// patchyStore is a store with outages, in which watches break.
type patchyStore struct {
	kv.Store
	up    atomic.Pointer[context.Context] // ends with the next outage
	fails context.CancelFunc
	tries atomic.Int64 // requests during outages
}

func newPatchyStore(store kv.Store) *patchyStore {
	s := &patchyStore{Store: store}
	s.recover()
	return s
}

func (s *patchyStore) recover() {
	up, fails := context.WithCancel(context.Background())
	s.up.Store(&up)
	s.fails = fails
}

func (s *patchyStore) outage(d time.Duration) {
	s.fails()
	time.Sleep(d)
	s.recover()
}

var errOutage = errors.New("connection refused")

func (s *patchyStore) Get(ctx context.Context, key string, o kv.GetOptions) (kv.Event, error) {
	if (*s.up.Load()).Err() != nil {
		s.tries.Add(1)
		return kv.Event{}, errOutage
	}
	return s.Store.Get(ctx, key, o)
}

func (s *patchyStore) Watch(ctx context.Context, key string, o kv.WatchOptions) (*kv.Watch, error) {
	up := *s.up.Load()
	if up.Err() != nil {
		s.tries.Add(1)
		return nil, errOutage
	}
	ctx, cancel := context.WithCancel(ctx)
	w, err := s.Store.Watch(ctx, key, o)
	if err != nil {
		cancel()
		return nil, err
	}
	events := w.Events
	w.Events = func(yield func(kv.Event, error) bool) {
		defer cancel()
		defer context.AfterFunc(up, cancel)()
		events(yield)
	}
	return w, nil
}

// A machine may wait for weeks. An outage makes it try less and less often, but
// only until that is over.
func TestAnOutageDoesNotSlowAWaitDownForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newPatchyStore(newStore(t))
		sem := newSemaphore(t, store)
		if err := sem.Lock(t.Context(), "other"); err != nil {
			t.Fatal(err)
		}
		locked := make(chan error, 1)
		go func() { locked <- sem.LockWait(t.Context(), "waiting") }()
		synctest.Wait()
		for n := range 3 {
			store.tries.Store(0)
			store.outage(10 * time.Minute)
			if got := store.tries.Load(); got < 10 || got > 20 { // 1 s, 2 s, and so on up to a minute
				t.Errorf("in outage %d the store is asked %d times, want about 15", n, got)
			}
			time.Sleep(20 * time.Minute)
		}
		store.outage(time.Millisecond)
		if err := newSemaphore(t, store.Store).Unlock(t.Context(), "other"); err != nil {
			t.Fatal(err)
		}
		free := time.Now()
		if err := <-locked; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(free); took > time.Second {
			t.Errorf("after a short outage the slot is taken in %v, want a second at the most", took)
		}
	})
}
