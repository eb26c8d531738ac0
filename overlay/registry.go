package overlay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv"
)

// Registry is the lease table of one overlay network in a key space:
//
//	<prefix>/config              network config, JSON
//	<prefix>/subnets/10.1.5.0-24 one lease, JSON, with a TTL or without
//
// Keys and values are flanneld's, so that both can share a network; every write
// of a Registry carries a precondition. It is safe for concurrent use.
type Registry struct {
	store kv.Store
	opts  RegistryOptions

	mu     sync.Mutex
	warned map[string]uint64 // key -> ModifiedIndex of what was complained of
}

// RegistryOptions configure a Registry.
type RegistryOptions struct {
	// Prefix of the network's keys. Default: /coreos.com/network.
	Prefix string
	// TTL of leases. Default: 24 hours.
	TTL time.Duration
	// Rand returns a random number in [0,n); it picks among free subnets and
	// spreads resyncs. Default: rand.IntN. Must be safe for concurrent use.
	Rand func(n int) int
	// Logger takes what is odd in the table. Default: nothing is logged.
	Logger *slog.Logger
}

// Errors of a Registry.
var (
	// ErrOutOfSubnets: every subnet of the network is taken. A retry is useful
	// when a lease has ended.
	ErrOutOfSubnets = errors.New("out of subnets")
	// ErrMaxRetries: others took each subnet first. A retry is safe.
	ErrMaxRetries = errors.New("max retries reached trying to acquire a subnet")
	// ErrLeaseLost: the lease is no longer what it was when it was read: gone,
	// or written by somebody else. Nothing was changed.
	ErrLeaseLost = errors.New("lease lost")
)

// NewRegistry returns the Registry in store.
func NewRegistry(store kv.Store, opts RegistryOptions) *Registry {
	if opts.Prefix == "" {
		opts.Prefix = "/coreos.com/network"
	}
	if opts.TTL == 0 {
		opts.TTL = 24 * time.Hour
	}
	if opts.Rand == nil {
		opts.Rand = rand.IntN
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Registry{store: store, opts: opts, warned: map[string]uint64{}}
}

// Config reads the network config.
func (r *Registry) Config(ctx context.Context) (Config, error) {
	c, _, err := r.config(ctx)
	return c, err
}

// config also returns the store index from which to watch for another one.
func (r *Registry) config(ctx context.Context) (Config, uint64, error) {
	ev, err := r.store.Get(ctx, r.configKey(), kv.GetOptions{Quorum: true})
	if err != nil {
		return Config{}, indexOf(err), err
	}
	c, err := ParseConfig([]byte(ev.Node.Value))
	if err != nil {
		err = &configError{key: r.configKey(), err: err}
	}
	return c, ev.Index, err
}

// configError marks a config that was read and is bad.
type configError struct {
	key string
	err error
}

func (e *configError) Error() string { return e.key + ": " + e.err.Error() }
func (e *configError) Unwrap() error { return e.err }

// waitConfig reads the network config, waiting until there is a valid one. It
// fails only with ctx; what it waits for is logged.
func (r *Registry) waitConfig(ctx context.Context) (Config, error) {
	retry := backoff{min: time.Second, max: 10 * time.Second}
	var said news
	for {
		c, index, err := r.config(ctx)
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return Config{}, ctx.Err()
		}
		if said.of(err) {
			r.opts.Logger.Warn("couldn't fetch network config", "err", err)
		}
		_, bad := errors.AsType[*configError](err)
		if bad || errors.Is(err, kv.ErrKeyNotFound) {
			err = r.waitChange(ctx, index)
		}
		if err != nil {
			if err := retry.wait(ctx); err != nil {
				return Config{}, err
			}
		}
	}
}

// waitChange waits for a change of the config after index.
func (r *Registry) waitChange(ctx context.Context, index uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := r.store.Watch(ctx, r.configKey(), kv.WatchOptions{From: index + 1})
	if errors.Is(err, kv.ErrHistoryCleared) {
		return nil // the store has moved on: read again
	}
	if err != nil {
		return err
	}
	for _, err := range w.Events {
		if errors.Is(err, kv.ErrHistoryCleared) {
			return nil
		}
		return err
	}
	return nil
}

// Leases reads the table, ordered by subnet. Keys that name no subnet are left
// out.
func (r *Registry) Leases(ctx context.Context) ([]Lease, error) {
	leases, _, err := r.leases(ctx)
	return leases, err
}

// leases also returns the store index of the answer.
func (r *Registry) leases(ctx context.Context) ([]Lease, uint64, error) {
	ev, err := r.store.Get(ctx, r.subnetsKey(), kv.GetOptions{Recursive: true, Quorum: true})
	if errors.Is(err, kv.ErrKeyNotFound) {
		return nil, indexOf(err), nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list leases below %s: %w", r.subnetsKey(), err)
	}
	var leases []Lease
	for _, n := range ev.Node.Nodes {
		if l, ok := r.decode(n); ok {
			leases = append(leases, l)
		}
	}
	slices.SortFunc(leases, func(a, b Lease) int { return a.Subnet.Compare(b.Subnet) })
	return leases, ev.Index, nil
}

// decode reads a node and complains once of what it cannot read; false if the
// node is no lease at all.
func (r *Registry) decode(n kv.Node) (Lease, bool) {
	l, err := decodeLease(n)
	if err != nil && r.complain(n.Key, n.ModifiedIndex) {
		r.opts.Logger.Warn("ignoring lease", "key", n.Key, "err", err)
	}
	return l, l.Subnet.IsValid()
}

// complain reports whether nothing was said yet of this state of a key.
func (r *Registry) complain(key string, index uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.warned[key] == index {
		return false
	}
	r.warned[key] = index
	return true
}

// Renew extends a lease that this host holds, and writes attrs into it. A
// reservation whose attributes are attrs is left alone and stays without end.
// If the lease is not as it was read, Renew fails with ErrLeaseLost.
func (r *Registry) Renew(ctx context.Context, l Lease, attrs Attributes) (Lease, error) {
	if l.Reservation() && l.Attributes.equal(attrs) {
		return l, nil
	}
	ttl := r.opts.TTL
	if l.Reservation() {
		ttl = 0
	}
	value, err := json.Marshal(attrs)
	if err != nil {
		return Lease{}, fmt.Errorf("renew lease %s: %w", l.Subnet, err)
	}
	ev, err := r.store.CompareAndSwap(ctx, l.key, string(value), kv.Condition{PrevIndex: l.index}, kv.UpdateOptions{TTL: ttl})
	if err != nil {
		return Lease{}, fmt.Errorf("renew lease %s: %w", l.Subnet, lost(err))
	}
	return decodeLease(ev.Node)
}

// Release gives a lease up. A reservation stays, it is the operator's; a lease
// that is gone already is no error.
func (r *Registry) Release(ctx context.Context, l Lease) error {
	if l.Reservation() {
		return nil
	}
	err := r.remove(ctx, l)
	if errors.Is(err, kv.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("release lease %s: %w", l.Subnet, lost(err))
	}
	return nil
}

func (r *Registry) remove(ctx context.Context, l Lease) error {
	_, err := r.store.CompareAndDelete(ctx, l.key, kv.Condition{PrevIndex: l.index})
	return err
}

// lost adds ErrLeaseLost to an error that means so.
func lost(err error) error {
	if errors.Is(err, kv.ErrCompareFailed) || errors.Is(err, kv.ErrKeyNotFound) {
		return fmt.Errorf("%w: %w", ErrLeaseLost, err)
	}
	return err
}

func (r *Registry) configKey() string  { return kv.Join(r.opts.Prefix, "config") }
func (r *Registry) subnetsKey() string { return kv.Join(r.opts.Prefix, "subnets") }

func (r *Registry) leaseKey(subnet netip.Prefix) string {
	return kv.Join(r.subnetsKey(), leaseKey(subnet))
}

// indexOf is the store index that an error carries; 0 if none.
func indexOf(err error) uint64 {
	if e, ok := errors.AsType[*kv.Error](err); ok {
		return e.Index
	}
	return 0
}
