package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
)

// version is fleet's engine version: an engine stays out where a later one is
// at work, and takes the lease from an earlier one.
const version = 1

// DefaultInterval is how often a leader renews its lease.
const DefaultInterval = 2 * time.Second

// Config is what an engine needs.
type Config struct {
	// Registry is required.
	Registry *registry.Registry
	// MachineID is the name that the engine leads under. Required.
	MachineID string
	// Schedule says how to place units. Its zero value is the recommended one;
	// all engines of a cluster should have the same.
	Schedule schedule.Options
	// Interval is how often a leader renews its lease, which lasts for five of
	// them, and how often an engine that cannot reach the store tries. At least 200 ms, since stores
	// count time to live in seconds. Default DefaultInterval.
	Interval time.Duration
	// Logger is told of leadership and of each placement. Default: nothing is
	// logged.
	Logger *slog.Logger
}

// leaseIntervals is for how many intervals a lease lasts.
const leaseIntervals = 5

// Engine stands for election, and decides while it leads.
//
//	Run ── stand ──> Lease ──┬─ hold ─────────────> Lease.Renew, every interval
//	       (AwaitVacancy)    │
//	                         └─ lead <── View.Changed
//	                              └─> Scheduler.Plan ──> writes, in parallel
//
// Leading ends with the context of Run, or when hold finds the lease lost; both
// goroutines have ended before the engine stands again.
type Engine struct {
	cfg      Config
	log      *slog.Logger
	ttl      time.Duration // of the lease
	running  atomic.Bool   // Run was called
	doubts   doubts
	counters counters

	// Of the goroutine of Run.
	leader  string // who leads, as far as was logged
	trouble string // why the engine cannot stand, as far as was logged
}

// New returns an engine that does nothing yet. The error names the field of cfg
// that is wrong.
func New(cfg Config) (*Engine, error) {
	if cfg.Interval == 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case cfg.Registry == nil:
		return nil, errors.New("engine config: Registry is missing")
	case cfg.MachineID == "":
		return nil, errors.New("engine config: MachineID is missing")
	case cfg.Interval < time.Second/leaseIntervals:
		return nil, fmt.Errorf("engine config: Interval %v is less than %v", cfg.Interval, time.Second/leaseIntervals)
	}
	if _, err := schedule.Compute(schedule.Cluster{}, cfg.Schedule); err != nil {
		return nil, fmt.Errorf("engine config: Schedule: %w", err)
	}
	return &Engine{cfg: cfg, log: cfg.Logger, ttl: leaseIntervals * cfg.Interval}, nil
}

// Run takes part until ctx ends and then returns nil, having given up the lease
// if it was the leader. It outlives all trouble with the registry. It may be
// called once; a second call is an error.
func (e *Engine) Run(ctx context.Context) error {
	if e.running.Swap(true) {
		return errors.New("engine: Run called twice")
	}
	e.doubts.begin()
	for {
		lease, since := e.stand(ctx)
		if lease == nil {
			return nil
		}
		e.govern(ctx, lease, since)
	}
}

// stand waits until the engine holds the lease, and returns it with a time at
// which it did not yet: its time to live counts from there. It returns nil when
// ctx ends.
func (e *Engine) stand(ctx context.Context) (*registry.Lease, time.Time) {
	for ctx.Err() == nil {
		since := time.Now()
		lease, err := e.try(ctx)
		switch {
		case err == nil:
			e.leader, e.trouble = e.cfg.MachineID, ""
			e.counters.elected()
			e.log.Info("engine leadership acquired", "machine", e.cfg.MachineID)
			return lease, since
		case errors.Is(err, registry.ErrLeaseHeld):
			e.trouble = ""
			if e.standBy(ctx) {
				continue
			}
		case ctx.Err() == nil:
			if !errors.Is(err, registry.ErrNewerEngine) {
				e.doubts.blind()
			}
			if e.trouble != err.Error() {
				e.trouble = err.Error()
				e.log.Warn("engine cannot stand for election, trying again", "err", err)
			}
		}
		wait(ctx, e.cfg.Interval)
	}
	return nil, time.Time{}
}

// standBy waits for the lease to become free, but no longer than it lasts, and
// reports whether it is worth another try at once.
func (e *Engine) standBy(ctx context.Context) bool {
	watching, cancel := context.WithTimeout(ctx, e.ttl)
	defer cancel()
	err := e.cfg.Registry.AwaitVacancy(watching)
	return err == nil || watching.Err() != nil
}

// try makes one attempt at the lease. It looks before it writes: most of the
// time somebody else leads.
func (e *Engine) try(ctx context.Context) (*registry.Lease, error) {
	me := registry.Leader{Machine: e.cfg.MachineID, Version: version}
	holder, err := e.cfg.Registry.Leader(ctx)
	if err != nil {
		return nil, err
	}
	if holder.Machine != "" && holder.Machine != me.Machine && holder.Version >= me.Version {
		if e.leader != holder.Machine {
			e.log.Info("engine leader is another machine", "machine", holder.Machine, "before", e.leader)
			e.leader = holder.Machine
		}
		return nil, registry.ErrLeaseHeld
	}
	if err := e.cfg.Registry.EnsureEngineVersion(ctx, version); err != nil {
		return nil, err
	}
	return e.cfg.Registry.AcquireLease(ctx, me, e.ttl)
}

// govern leads for as long as the lease can be held, and gives it up if ctx
// ends first.
func (e *Engine) govern(ctx context.Context, lease *registry.Lease, since time.Time) {
	leading, stop := context.WithCancelCause(ctx)
	held := make(chan error, 1)
	go func() {
		err := e.hold(leading, lease, since)
		stop(err)
		held <- err
	}()
	e.lead(leading, lease.Wait)
	stop(nil)
	err := <-held
	e.counters.deposed(err != nil)
	if err != nil {
		e.log.Warn("engine leadership lost", "err", err)
		return
	}
	// ctx has ended; the registry bounds the time that this takes.
	if err := lease.Release(context.WithoutCancel(ctx)); err != nil {
		e.log.Warn("engine leadership could not be given up, it expires", "after", e.ttl, "err", err)
		return
	}
	e.log.Info("engine leadership given up", "machine", e.cfg.MachineID)
}

// hold renews the lease until ctx ends, or until it is lost, which is the
// error: to another engine, or because it is about to expire. An interval is
// kept in hand for clocks that run at different speeds.
func (e *Engine) hold(ctx context.Context, lease *registry.Lease, since time.Time) error {
	tick := time.NewTicker(e.cfg.Interval)
	defer tick.Stop()
	valid := e.ttl - e.cfg.Interval
	until := since.Add(valid)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		start := time.Now()
		err := e.renew(ctx, lease, until)
		switch {
		case err == nil:
			until = start.Add(valid)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, registry.ErrLeaseLost) || !time.Now().Before(until):
			e.doubts.blind()
			return err
		default:
			e.doubts.blind()
			e.log.Warn("engine lease is not renewed, trying again", "err", err)
		}
	}
}

// renew renews the lease, in time or not at all.
func (e *Engine) renew(ctx context.Context, lease *registry.Lease, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	return lease.Renew(ctx)
}
