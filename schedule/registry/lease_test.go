package registry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/schedule/registry"
)

func TestLeasePassesOnWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registry.New(openStore(t), registry.Options{})
		ctx := t.Context()
		one, two := registry.Leader{Machine: "m1", Version: 1}, registry.Leader{Machine: "m2", Version: 1}

		l1, err := r.AcquireLease(ctx, one, 10*time.Second)
		ok(t, err)
		if _, err := r.AcquireLease(ctx, two, 10*time.Second); !errors.Is(err, registry.ErrLeaseHeld) {
			t.Fatalf("second engine: got %v, want ErrLeaseHeld", err)
		}
		time.Sleep(8 * time.Second)
		ok(t, l1.Renew(ctx))
		time.Sleep(8 * time.Second)
		if got, err := r.Leader(ctx); got != one || err != nil {
			t.Fatalf("renewed: leader is %v, %v", got, err)
		}
		time.Sleep(3 * time.Second)
		l2, err := r.AcquireLease(ctx, two, 10*time.Second)
		ok(t, err)
		if err := l1.Renew(ctx); !errors.Is(err, registry.ErrLeaseLost) {
			t.Fatalf("renewal of the expired lease: got %v, want ErrLeaseLost", err)
		}
		ok(t, l1.Release(ctx)) // not its own any more: no effect
		if got, _ := r.Leader(ctx); got != two {
			t.Fatalf("after a foreign release: leader is %v", got)
		}
		ok(t, l2.Release(ctx))
		if got, _ := r.Leader(ctx); got != (registry.Leader{}) {
			t.Fatalf("after release: leader is %v", got)
		}
	})
}

func TestLeaseGoesToTheSameMachineAndToANewerVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		r := registry.New(store, registry.Options{})
		ctx := t.Context()
		_, err := store.Set(ctx, "/_coreos.com/fleet/lease/engine-leader", "m0", kv.SetOptions{TTL: 9 * time.Second})
		ok(t, err)

		l, err := r.AcquireLease(ctx, registry.Leader{Machine: "m1", Version: 1}, 10*time.Second)
		ok(t, err)
		if l.Wait != 9*time.Second {
			t.Errorf("stolen from version 0: got wait %v, want the 9s that were left", l.Wait)
		}
		again, err := r.AcquireLease(ctx, registry.Leader{Machine: "m1", Version: 1}, 10*time.Second)
		ok(t, err)
		if again.Wait != 0 {
			t.Errorf("taken over from itself: got wait %v, want none", again.Wait)
		}
		if err := l.Renew(ctx); !errors.Is(err, registry.ErrLeaseLost) {
			t.Errorf("renewal by the earlier process: got %v, want ErrLeaseLost", err)
		}
	})
}

func TestEngineVersionOnlyRises(t *testing.T) {
	r := registry.New(openStore(t), registry.Options{})
	ctx := t.Context()
	ok(t, r.EnsureEngineVersion(ctx, 1))
	ok(t, r.EnsureEngineVersion(ctx, 1))
	ok(t, r.EnsureEngineVersion(ctx, 2))
	if err := r.EnsureEngineVersion(ctx, 1); !errors.Is(err, registry.ErrNewerEngine) {
		t.Errorf("version 1 in a cluster of version 2: got %v, want ErrNewerEngine", err)
	}
}

func TestPresenceLastsWhileItBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registry.New(openStore(t), registry.Options{})
		ctx := t.Context()
		alive := func(when string, want int) {
			t.Helper()
			if m, err := r.Machines(ctx); len(m) != want || err != nil {
				t.Fatalf("%s: got %d machines, %v, want %d", when, len(m), err, want)
			}
		}
		p, err := r.Join(ctx, registry.Machine{ID: "m1"}, "a", 10*time.Second)
		ok(t, err)
		for range 5 {
			time.Sleep(6 * time.Second)
			ok(t, p.Beat(ctx))
		}
		alive("beating", 1)
		time.Sleep(11 * time.Second)
		alive("silent", 0)
		ok(t, p.Beat(ctx))
		alive("back", 1)
		ok(t, p.Leave(ctx))
		alive("left", 0)
	})
}

func TestEarlierProcessOfAMachineStops(t *testing.T) {
	r := registry.New(openStore(t), registry.Options{})
	ctx := t.Context()
	m := registry.Machine{ID: "m1", Identity: "disk-1"}
	first, err := r.Join(ctx, m, "a", time.Minute)
	ok(t, err)
	second, err := r.Join(ctx, m, "b", time.Minute)
	ok(t, err)
	if err := first.Beat(ctx); !errors.Is(err, registry.ErrSuperseded) {
		t.Errorf("beat of the first: got %v, want ErrSuperseded", err)
	}
	ok(t, first.Leave(ctx)) // must not take the second away
	ok(t, second.Beat(ctx))
	if m, err := r.Machines(ctx); len(m) != 1 || err != nil {
		t.Errorf("got %d machines, %v, want 1", len(m), err)
	}
}

// lossy loses the answer to the next conditional write.
type lossy struct {
	kv.Store
	lose bool
}

func (s *lossy) CompareAndSwap(ctx context.Context, key, value string, cond kv.Condition, opts kv.UpdateOptions) (kv.Event, error) {
	ev, err := s.Store.CompareAndSwap(ctx, key, value, cond, opts)
	if s.lose {
		s.lose = false
		return kv.Event{}, kv.ErrOutcomeUnknown
	}
	return ev, err
}

func TestBeatSurvivesALostAnswer(t *testing.T) {
	store := &lossy{Store: openStore(t)}
	r := registry.New(store, registry.Options{})
	p, err := r.Join(t.Context(), registry.Machine{ID: "m1"}, "a", time.Minute)
	ok(t, err)
	store.lose = true
	if err := p.Beat(t.Context()); !errors.Is(err, kv.ErrOutcomeUnknown) {
		t.Fatalf("beat with a lost answer: got %v", err)
	}
	ok(t, p.Beat(t.Context()))
}
