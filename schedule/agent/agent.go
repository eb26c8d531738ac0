package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// DefaultTTL is how long a machine counts as alive without a word from it.
const DefaultTTL = 30 * time.Second

// Config is what an agent needs.
type Config struct {
	// Registry and Runner are required. The runner must be this agent's alone:
	// units that it holds and that are not wanted are unloaded.
	Registry *registry.Registry
	Runner   unit.Runner
	// Machine is what to register; its ID is required.
	Machine registry.Machine
	// TTL is how long the machine and what it publishes outlast the agent. At
	// least 1 s, since that is what stores count in. Default DefaultTTL.
	TTL time.Duration
	// Logger is told of each task. Default: nothing is logged.
	Logger *slog.Logger
}

// Agent runs the units of one machine. Its methods are safe for concurrent use.
//
//	Run ─┬─ beat ─────────────────────────────> Presence
//	     ├─ worker.observe <── Runner.Watch
//	     │     └─> reporter.run ──────────────> unit states, job states
//	     └─ reconcile <── View.Changed
//	           └─> worker.round ──> Runner, reporter
//
// Every goroutine ends with the context of Run, or because Shutdown ends it.
type Agent struct {
	cfg     Config
	log     *slog.Logger
	reports *reporter
	work    *worker
	joined  chan struct{} // closed once presence is set

	mu       sync.Mutex
	running  bool               // Run was called; protected by mu
	cancel   context.CancelFunc // ends Run; protected by mu
	done     chan struct{}      // closed when Run has returned; protected by mu
	shutdown bool               // Shutdown was called; protected by mu
	presence *registry.Presence // nil until joined; protected by mu
}

// New returns an agent that does nothing yet. The error names the field of cfg
// that is wrong.
func New(cfg Config) (*Agent, error) {
	if cfg.TTL == 0 {
		cfg.TTL = DefaultTTL
	}
	switch {
	case cfg.Registry == nil:
		return nil, errors.New("agent config: Registry is missing")
	case cfg.Runner == nil:
		return nil, errors.New("agent config: Runner is missing")
	case cfg.Machine.ID == "":
		return nil, errors.New("agent config: Machine.ID is missing")
	case cfg.TTL < time.Second:
		return nil, fmt.Errorf("agent config: TTL %v is less than a second", cfg.TTL)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	reports := newReporter(cfg.Registry, cfg.Machine.ID, cfg.TTL, cfg.Logger)
	return &Agent{
		cfg:     cfg,
		log:     cfg.Logger,
		reports: reports,
		work:    newWorker(cfg.Runner, reports, cfg.Logger),
		joined:  make(chan struct{}),
		done:    make(chan struct{}),
	}, nil
}

// Joined is closed when the machine is registered.
func (a *Agent) Joined() <-chan struct{} { return a.joined }

// Run registers the machine and keeps its units as the registry wants them. It
// may be called once.
//
// When ctx ends Run returns nil and leaves everything as it is, as a crash
// would: units run on, and what the agent has published expires after the TTL.
// A new agent for the same runner or machine then takes over where this one
// left off. While the registry cannot be reached units run on untouched too,
// and Run keeps trying. It fails only when the machine's identity is taken from
// it, with registry.ErrSuperseded.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.mu.Lock()
	if a.running || a.shutdown {
		a.mu.Unlock()
		return errors.New("agent: Run called twice or after Shutdown")
	}
	a.running, a.cancel = true, func() { cancel(nil) }
	a.mu.Unlock()
	defer close(a.done)

	presence := a.join(ctx)
	if presence == nil {
		return nil
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.beat(ctx, presence); err != nil {
			cancel(err)
		}
	})
	running.Go(func() { a.reports.run(ctx) })
	running.Go(func() {
		for s := range a.cfg.Runner.Watch(ctx) {
			a.work.observe(s)
		}
	})
	a.reconcile(ctx)
	running.Wait()
	if err := context.Cause(ctx); errors.Is(err, registry.ErrSuperseded) {
		return err
	}
	return nil
}

// join registers the machine, however long it takes; nil if ctx ends first.
func (a *Agent) join(ctx context.Context) *registry.Presence {
	incarnation := rand.Text()
	var p *registry.Presence
	err := a.persist(ctx, "machine is not registered", func() (err error) {
		p, err = a.cfg.Registry.Join(ctx, a.cfg.Machine, incarnation, a.cfg.TTL)
		return err
	})
	if err != nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.presence = p
	close(a.joined)
	a.log.Info("machine is registered", "machine", a.cfg.Machine.ID)
	return p
}

// beat keeps the machine registered. It returns an error once the machine's
// key belongs to somebody else.
func (a *Agent) beat(ctx context.Context, p *registry.Presence) error {
	timer := time.NewTimer(a.cfg.TTL / 3)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		switch err := p.Beat(ctx); {
		case err == nil:
			timer.Reset(a.cfg.TTL / 3)
		case errors.Is(err, registry.ErrSuperseded):
			return err
		default:
			a.log.Warn("heartbeat failed, trying again", "err", err)
			timer.Reset(retryPause(a.cfg.TTL))
		}
	}
}

// reconcile makes the runner hold what the registry wants, until ctx ends.
func (a *Agent) reconcile(ctx context.Context) {
	defer a.work.running.Wait()
	var view *registry.View
	err := a.persist(ctx, "registry cannot be read", func() (err error) {
		view, err = a.cfg.Registry.Follow(ctx, registry.Scope{Machine: a.cfg.Machine.ID})
		return err
	})
	if err != nil {
		return
	}
	defer view.Close()
	err = a.persist(ctx, "runner's units cannot be listed", func() error { return a.work.adopt(ctx) })
	if err != nil {
		return
	}
	again := time.NewTimer(0) // runs while there is something to do later
	again.Stop()
	defer again.Stop()
	machine := a.cfg.Machine
	for {
		select {
		case <-ctx.Done():
			return
		case <-view.Changed():
			view.Take()
		case o := <-a.work.ordered:
			a.work.took(ctx, o)
		case <-a.work.vanished:
			a.work.lookForGone(ctx)
		case <-again.C:
			a.work.lookForGone(ctx)
		}
		// While the registry has lost the machine its metadata are as before.
		if m, ok := view.Machine(machine.ID); ok {
			machine = m
		}
		a.work.round(ctx, desired(machine, view.Units()))
		if d, ok := a.work.next(); ok {
			again.Reset(d)
		}
	}
}

// persist tries until f succeeds, or ctx ends, whose error it then returns.
func (a *Agent) persist(ctx context.Context, trouble string, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.log.Warn(trouble+", trying again", "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryPause(a.cfg.TTL)):
		}
	}
}

// Shutdown ends Run, unloads every unit that the runner holds, removes their
// states and takes the machine out of the registry, so that other machines can
// take over at once. It works after Run has ended too. An error says what could
// not be done; the rest is done all the same, and what is left expires.
func (a *Agent) Shutdown(ctx context.Context) error {
	a.mu.Lock()
	a.shutdown = true
	running, cancel := a.running, a.cancel
	a.mu.Unlock()
	if running {
		cancel()
		<-a.done
	}
	names, err := a.unloadAll(ctx)
	a.mu.Lock()
	presence := a.presence
	a.mu.Unlock()
	if presence == nil {
		return err
	}
	err = errors.Join(err, a.reports.withdrawAll(ctx, names))
	return errors.Join(err, presence.Leave(ctx))
}

// unloadAll unloads all units, waits until they are gone, and returns their
// names.
func (a *Agent) unloadAll(ctx context.Context) ([]string, error) {
	names, err := a.heldNames(ctx)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	err = a.cfg.Runner.Unload(ctx, names...)
	faults := faultsOf(names, err)
	for {
		left, listErr := a.heldNames(ctx)
		left = slices.DeleteFunc(left, func(name string) bool { return faults[name] != nil })
		if len(left) == 0 {
			return names, errors.Join(err, listErr)
		}
		select {
		case <-ctx.Done():
			return names, fmt.Errorf("units that have not stopped: %s: %w", strings.Join(left, " "), ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// heldNames lists what the runner holds.
func (a *Agent) heldNames(ctx context.Context) ([]string, error) {
	states, err := a.cfg.Runner.States(ctx)
	if err != nil {
		return nil, fmt.Errorf("list units: %w", err)
	}
	names := make([]string, 0, len(states))
	for _, s := range states {
		names = append(names, s.Name)
	}
	return names, nil
}
