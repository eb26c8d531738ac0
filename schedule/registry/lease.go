package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv"
)

// Leader is who holds the engine lease.
type Leader struct {
	Machine string // machine ID
	Version int    // of its engine
}

// leaderBody is the value of the lease's key.
type leaderBody struct {
	MachineID string
	Version   int
}

func (l Leader) encode() string { return encode(leaderBody{MachineID: l.Machine, Version: l.Version}) }

// decodeLeader takes a value that is not JSON for a bare machine ID, which is
// how the first version wrote it.
func decodeLeader(value string) Leader {
	var b leaderBody
	if json.Unmarshal([]byte(value), &b) != nil {
		return Leader{Machine: value}
	}
	return Leader{Machine: b.MachineID, Version: b.Version}
}

// Lease is the right to be the cluster's engine, until its time to live runs
// out unrenewed.
type Lease struct {
	r     *Registry
	value string
	ttl   time.Duration
	// Wait is how long to hold still first: a lease stolen from an older engine
	// leaves that engine at work until it notices.
	Wait time.Duration

	mu    sync.Mutex
	index uint64 // of the last write to the key known to be ours; protected by mu
}

// AcquireLease tries to become the leader for ttl. While somebody else leads it
// fails with ErrLeaseHeld; Leader says who. A lease in the same machine's name,
// of an earlier process, is taken over, and one of a lower engine version is
// stolen.
func (r *Registry) AcquireLease(ctx context.Context, me Leader, ttl time.Duration) (*Lease, error) {
	l := &Lease{r: r, value: me.encode(), ttl: ttl}
	key := r.keys.lease()
	ev, err := r.create(ctx, key, l.value, ttl)
	if errors.Is(err, kv.ErrKeyExists) {
		ev, err = r.takeLease(ctx, me, l)
	}
	if err != nil {
		return nil, fmt.Errorf("engine lease: %w", err)
	}
	l.index = ev.Node.ModifiedIndex
	return l, nil
}

func (r *Registry) takeLease(ctx context.Context, me Leader, l *Lease) (kv.Event, error) {
	old, err := r.read(ctx, r.keys.lease(), false)
	if errors.Is(err, kv.ErrKeyNotFound) {
		return kv.Event{}, ErrLeaseHeld // it ended this instant; the next try may get it
	}
	if err != nil {
		return kv.Event{}, err
	}
	holder := decodeLeader(old.Node.Value)
	if holder.Machine != me.Machine {
		if holder.Version >= me.Version {
			return kv.Event{}, ErrLeaseHeld
		}
		if !old.Node.Expiration.IsZero() {
			l.Wait = max(0, time.Until(old.Node.Expiration))
		}
	}
	ev, err := r.swap(ctx, r.keys.lease(), l.value, kv.Condition{PrevIndex: old.Node.ModifiedIndex}, l.ttl)
	if errors.Is(err, kv.ErrCompareFailed) || errors.Is(err, kv.ErrKeyNotFound) {
		return kv.Event{}, ErrLeaseHeld
	}
	return ev, err
}

// Renew keeps the lease for another ttl. ErrLeaseLost means that it is gone for
// good; after any other failure it may still be ours until the ttl since the
// last success has passed, so the caller has to keep that time.
func (l *Lease) Renew(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	ev, err := l.r.swap(ctx, l.r.keys.lease(), l.value, kv.Condition{PrevIndex: l.index}, l.ttl)
	if errors.Is(err, kv.ErrCompareFailed) || errors.Is(err, kv.ErrKeyNotFound) {
		return fmt.Errorf("engine lease: %w", ErrLeaseLost)
	}
	if err != nil {
		return fmt.Errorf("engine lease: %w", err)
	}
	l.index = ev.Node.ModifiedIndex
	return nil
}

// Release gives the lease up at once, if it is still ours.
func (l *Lease) Release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.r.removeIf(ctx, l.r.keys.lease(), kv.Condition{PrevIndex: l.index})
	if err != nil && !errors.Is(err, kv.ErrCompareFailed) && !errors.Is(err, kv.ErrKeyNotFound) {
		return fmt.Errorf("engine lease: %w", err)
	}
	return nil
}

// Leader reads who leads; the zero Leader if nobody does.
func (r *Registry) Leader(ctx context.Context) (Leader, error) {
	ev, err := r.read(ctx, r.keys.lease(), false)
	if errors.Is(err, kv.ErrKeyNotFound) {
		return Leader{}, nil
	}
	if err != nil {
		return Leader{}, fmt.Errorf("engine lease: %w", err)
	}
	return decodeLeader(ev.Node.Value), nil
}

// AwaitVacancy returns nil once nobody leads: at once, or when the lease is given
// up or runs out. Whoever stands for election then is one of many. An error is
// the context's, or says that the lease cannot be watched.
func (r *Registry) AwaitVacancy(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ev, err := r.read(ctx, r.keys.lease(), false)
	if errors.Is(err, kv.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("engine lease: %w", err)
	}
	w, err := r.store.Watch(ctx, r.keys.lease(), kv.WatchOptions{From: ev.Index + 1})
	if err != nil {
		return fmt.Errorf("engine lease: watch %s: %w", r.keys.lease(), err)
	}
	for ev, err := range w.Events {
		if err != nil {
			return fmt.Errorf("engine lease: %w", err)
		}
		switch ev.Action {
		case kv.ActionDelete, kv.ActionExpire, kv.ActionCompareAndDelete:
			return nil
		}
	}
	return ctx.Err()
}

// EnsureEngineVersion raises the engine version of the cluster to version. It
// fails with ErrNewerEngine if the cluster is past that: then an engine of this
// version has to stay out.
func (r *Registry) EnsureEngineVersion(ctx context.Context, version int) error {
	key := r.keys.engineVersion()
	ev, err := r.read(ctx, key, false)
	if errors.Is(err, kv.ErrKeyNotFound) {
		if _, err = r.create(ctx, key, strconv.Itoa(version), 0); errors.Is(err, kv.ErrKeyExists) {
			return r.EnsureEngineVersion(ctx, version)
		}
		return err
	}
	if err != nil {
		return err
	}
	current, err := strconv.Atoi(ev.Node.Value)
	if err != nil {
		return fmt.Errorf("engine version %s: %w", key, err)
	}
	switch {
	case current > version:
		return fmt.Errorf("engine version %d, ours %d: %w", current, version, ErrNewerEngine)
	case current == version:
		return nil
	}
	_, err = r.swap(ctx, key, strconv.Itoa(version), kv.Condition{PrevIndex: ev.Node.ModifiedIndex}, 0)
	if errors.Is(err, kv.ErrCompareFailed) {
		return r.EnsureEngineVersion(ctx, version)
	}
	return err
}
