package registry

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/schedule/unitfile"
)

// DefaultPrefix is the root of fleet's keys.
const DefaultPrefix = "/_coreos.com/fleet/"

// Options change a Registry. The zero value is a registry as fleet's own.
type Options struct {
	// Prefix is the root of the registry's keys. Default DefaultPrefix.
	Prefix string
	// Timeout bounds each single request to the store; watches have no bound.
	// Default 5 s.
	Timeout time.Duration
	// Derive says what the limits in units' own settings count for. It has to be
	// the same for all programs of a cluster. Default unitfile.Estimate.
	Derive unitfile.Derive
	// Logger is told of entries that cannot be read and of broken watches.
	// Default: nothing is logged.
	Logger *slog.Logger
}

// Registry is the state of a cluster in a key space. All methods are safe for
// concurrent use. A method that fails names the key or unit it was at; the
// failure matches a sentinel of this package, of package kv, or the context's
// error.
type Registry struct {
	store   kv.Store
	keys    layout
	timeout time.Duration
	derive  unitfile.Derive
	log     *slog.Logger

	mu    sync.Mutex
	views map[*View]struct{} // open views; protected by mu
}

// New returns the registry in store. It does no I/O.
func New(store kv.Store, opts Options) *Registry {
	if opts.Prefix == "" {
		opts.Prefix = DefaultPrefix
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 5 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Registry{
		store:   store,
		keys:    layout(strings.TrimSuffix(kv.Clean(opts.Prefix), "/")),
		timeout: opts.Timeout,
		derive:  opts.Derive,
		log:     opts.Logger,
		views:   make(map[*View]struct{}),
	}
}

// read gets key and wraps a failure with what was wanted.
func (r *Registry) read(ctx context.Context, key string, recursive bool) (kv.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	ev, err := r.store.Get(ctx, key, kv.GetOptions{Recursive: recursive, Sorted: true, Quorum: true})
	if err != nil {
		return ev, fmt.Errorf("read %s: %w", key, err)
	}
	return ev, nil
}

// write runs one change of the store within the timeout and shows the result
// to the open views, so that they include it when write returns.
func (r *Registry) write(ctx context.Context, verb, key string, change func(context.Context) (kv.Event, error)) (kv.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	ev, err := change(ctx)
	if err != nil {
		return ev, fmt.Errorf("%s %s: %w", verb, key, err)
	}
	r.show(ev)
	return ev, nil
}

func (r *Registry) set(ctx context.Context, key, value string, ttl time.Duration) (kv.Event, error) {
	return r.write(ctx, "write", key, func(ctx context.Context) (kv.Event, error) {
		return r.store.Set(ctx, key, value, kv.SetOptions{TTL: ttl})
	})
}

func (r *Registry) create(ctx context.Context, key, value string, ttl time.Duration) (kv.Event, error) {
	return r.write(ctx, "create", key, func(ctx context.Context) (kv.Event, error) {
		return r.store.Create(ctx, key, value, kv.CreateOptions{TTL: ttl})
	})
}

func (r *Registry) swap(ctx context.Context, key, value string, cond kv.Condition, ttl time.Duration) (kv.Event, error) {
	return r.write(ctx, "swap", key, func(ctx context.Context) (kv.Event, error) {
		return r.store.CompareAndSwap(ctx, key, value, cond, kv.UpdateOptions{TTL: ttl})
	})
}

func (r *Registry) remove(ctx context.Context, key string, opts kv.DeleteOptions) error {
	_, err := r.write(ctx, "delete", key, func(ctx context.Context) (kv.Event, error) {
		return r.store.Delete(ctx, key, opts)
	})
	return err
}

func (r *Registry) removeIf(ctx context.Context, key string, cond kv.Condition) error {
	_, err := r.write(ctx, "delete", key, func(ctx context.Context) (kv.Event, error) {
		return r.store.CompareAndDelete(ctx, key, cond)
	})
	return err
}

// refresh gives key another ttl to live. It wakes no watcher and does not
// change what views show.
func (r *Registry) refresh(ctx context.Context, key string, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	if _, err := r.store.Set(ctx, key, "", kv.SetOptions{TTL: ttl, Refresh: true}); err != nil {
		return fmt.Errorf("refresh %s: %w", key, err)
	}
	return nil
}

// show applies a change that this registry made to its open views.
func (r *Registry) show(ev kv.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for v := range r.views {
		v.applyOwn(ev)
	}
}
