package agent

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// reportWriters is how many writes to the registry are under way at once.
const reportWriters = 5

// errUnreachable stands for a write that was not even tried.
var errUnreachable = errors.New("registry is out of reach")

// reporter keeps the registry informed of the units on this machine: what the
// runner says of each, and whether it is launched. It writes what has changed
// at once, everything that changed while it wrote in one batch after that, and
// all again before it expires. What cannot be written waits.
//
//	Runner.Watch ──────> observe ─┐
//	                              ├─> dirty ─> run ─> registry
//	worker ─> hold, launched, gone┘
//
// The worker says which units are here, the runner in which state they are. What
// the runner says may come late: of a unit that the worker does not hold, or
// holds with another file, it is not published.
type reporter struct {
	reg     *registry.Registry
	machine string
	ttl     time.Duration
	log     *slog.Logger
	wake    chan struct{} // holds one token while dirty has something

	mu    sync.Mutex
	units map[string]*report  // protected by mu
	dirty map[string]struct{} // names of reports to be written; protected by mu
}

// report is what to tell of a unit and what has been told.
type report struct {
	observed unit.State // the latest of the runner; Name empty: it has none
	held     unit.Hash  // of the file that the worker has loaded; zero: none
	launched bool

	published unit.State // Name empty: nothing published
	told      bool       // the registry has it as launched
	stale     bool       // published and told may not be what the registry has
}

// state is what to publish; Name empty for nothing.
func (rep *report) state() unit.State {
	if rep.held.IsZero() || rep.observed.Hash != rep.held {
		return unit.State{}
	}
	return rep.observed
}

// settled reports whether nothing is left to tell.
func (rep *report) settled() bool {
	return !rep.stale && rep.published == rep.state() && rep.told == (rep.launched && rep.published.Name != "")
}

// over reports whether nothing will be told of the unit any more.
func (rep *report) over() bool {
	return rep.settled() && rep.held.IsZero() && rep.observed.Name == ""
}

func newReporter(reg *registry.Registry, machine string, ttl time.Duration, log *slog.Logger) *reporter {
	return &reporter{
		reg:     reg,
		machine: machine,
		ttl:     ttl,
		log:     log,
		wake:    make(chan struct{}, 1),
		units:   make(map[string]*report),
		dirty:   make(map[string]struct{}),
	}
}

// observe takes in what the runner says of a unit.
func (r *reporter) observe(s unit.State) {
	r.change(s.Name, func(rep *report) {
		rep.observed = s
		if s.Load == "not-found" {
			rep.observed = unit.State{}
		}
	})
}

// hold takes in that a unit is here, loaded from a file of that hash.
func (r *reporter) hold(name string, h unit.Hash) {
	r.change(name, func(rep *report) { rep.held = h })
}

// launched takes in whether a unit has been started here.
func (r *reporter) launched(name string, yes bool) {
	r.change(name, func(rep *report) { rep.launched = yes })
}

// gone takes in that a unit was unloaded. What an earlier process told of it is
// withdrawn as well.
func (r *reporter) gone(name string) {
	r.change(name, func(rep *report) { rep.held, rep.launched, rep.stale = unit.Hash{}, false, true })
}

// change alters the report of a unit, known or not, and has it written if that
// makes a difference.
func (r *reporter) change(name string, f func(*report)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep := r.units[name]
	if rep == nil {
		rep = &report{}
		r.units[name] = rep
	}
	f(rep)
	r.settle(name, rep)
}

// settle has a report written, or forgets it. The caller holds mu.
func (r *reporter) settle(name string, rep *report) {
	switch {
	case rep.over():
		delete(r.units, name)
	case !rep.settled():
		r.mark(name)
	}
}

// mark makes run write the report of a unit. The caller holds mu.
func (r *reporter) mark(name string) {
	r.dirty[name] = struct{}{}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run writes reports until ctx ends.
func (r *reporter) run(ctx context.Context) {
	refresh := time.NewTicker(refreshPeriod(r.ttl))
	defer refresh.Stop()
	pause := time.NewTimer(0) // runs while writes that failed wait
	pause.Stop()
	defer pause.Stop()
	for {
		ok := true
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			ok = r.flush(ctx)
		case <-pause.C:
			ok = r.flush(ctx)
		case <-refresh.C:
			ok = r.refresh(ctx)
		}
		if !ok {
			pause.Reset(retryPause(r.ttl))
		}
	}
}

// refreshPeriod is how often what expires after ttl is refreshed.
func refreshPeriod(ttl time.Duration) time.Duration {
	if ttl <= 10*time.Second {
		return ttl / 2
	}
	return ttl * 4 / 5
}

// retryPause is how long to wait after a failure to reach the registry.
func retryPause(ttl time.Duration) time.Duration { return min(ttl/12, 3*time.Second) }

// flush writes what is dirty, and reports whether all of it could be written.
func (r *reporter) flush(ctx context.Context) bool {
	r.mu.Lock()
	names := slices.Sorted(maps.Keys(r.dirty))
	clear(r.dirty)
	r.mu.Unlock()
	return r.each(names, func(name string) error { return r.write(ctx, name) })
}

// refresh makes all that is told last for another ttl.
func (r *reporter) refresh(ctx context.Context) bool {
	r.mu.Lock()
	names := slices.Sorted(maps.Keys(r.units))
	r.mu.Unlock()
	return r.each(names, func(name string) error { return r.renew(ctx, name) })
}

// each runs f for all names, some at a time. What fails is dirty again; so is
// the rest once so much has failed that the registry must be out of reach.
func (r *reporter) each(names []string, f func(string) error) bool {
	var (
		wg     sync.WaitGroup
		slots  = make(chan struct{}, reportWriters)
		mu     sync.Mutex
		failed int
		last   error // of the failures, nil for none; both protected by mu
	)
	hopeless := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return failed >= 2*reportWriters
	}
	for _, name := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			err := errUnreachable
			if !hopeless() {
				err = f(name)
			}
			if err == nil {
				return
			}
			r.failed(name)
			mu.Lock()
			defer mu.Unlock()
			if failed++; err != errUnreachable {
				last = err
			}
		})
	}
	wg.Wait()
	if failed > 0 {
		r.log.Warn("unit states are not published, trying again", "units", failed, "err", last)
	}
	return failed == 0
}

// failed notes that what is told of a unit may be about to expire.
func (r *reporter) failed(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rep := r.units[name]; rep != nil {
		rep.stale = true
		r.dirty[name] = struct{}{}
	}
}

// write tells the registry of one unit what it does not know yet.
func (r *reporter) write(ctx context.Context, name string) error {
	r.mu.Lock()
	rep, ok := r.units[name]
	if !ok {
		r.mu.Unlock()
		return nil
	}
	now := *rep
	r.mu.Unlock()

	state := now.state()
	if state.Name == "" {
		return r.withdraw(ctx, name)
	}
	if now.stale || now.published != state {
		if err := r.reg.PublishState(ctx, registry.UnitState{Unit: name, Machine: r.machine, State: state}, r.ttl); err != nil {
			return err
		}
	}
	if now.stale || now.told != now.launched {
		if err := r.tellLaunched(ctx, name, now.launched); err != nil {
			return err
		}
	}
	r.known(name, func(rep *report) { rep.published, rep.told, rep.stale = state, now.launched, false })
	return nil
}

func (r *reporter) tellLaunched(ctx context.Context, name string, yes bool) error {
	if yes {
		return r.reg.Launch(ctx, name, r.machine, r.ttl)
	}
	return r.reg.Unlaunch(ctx, name, r.machine)
}

// withdraw removes from the registry all that was told of a unit.
func (r *reporter) withdraw(ctx context.Context, name string) error {
	if err := r.reg.Unlaunch(ctx, name, r.machine); err != nil {
		return err
	}
	if err := r.reg.RemoveState(ctx, name, r.machine); err != nil {
		return err
	}
	r.known(name, func(rep *report) { rep.published, rep.told, rep.stale = unit.State{}, false, false })
	return nil
}

// known notes what has been told of a unit.
func (r *reporter) known(name string, f func(*report)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep := r.units[name]
	if rep == nil {
		return
	}
	f(rep)
	r.settle(name, rep)
}

// renew makes what is told of a unit last.
func (r *reporter) renew(ctx context.Context, name string) error {
	r.mu.Lock()
	rep, ok := r.units[name]
	if !ok || rep.published.Name == "" {
		r.mu.Unlock()
		return nil
	}
	now := *rep
	r.mu.Unlock()

	if err := r.reg.RefreshState(ctx, registry.UnitState{Unit: name, Machine: r.machine, State: now.published}, r.ttl); err != nil {
		return err
	}
	if !now.told {
		return nil
	}
	err := r.reg.RefreshLaunch(ctx, name, r.ttl)
	if errors.Is(err, kv.ErrKeyNotFound) {
		r.known(name, func(rep *report) { rep.told = false })
		return nil
	}
	return err
}

// withdrawAll removes what was told of the given units and of all others.
func (r *reporter) withdrawAll(ctx context.Context, names []string) error {
	r.mu.Lock()
	for name := range r.units {
		names = append(names, name)
	}
	r.mu.Unlock()
	slices.Sort(names)
	var (
		mu  sync.Mutex
		all error // protected by mu
	)
	r.each(slices.Compact(names), func(name string) error {
		err := r.withdraw(ctx, name)
		mu.Lock()
		defer mu.Unlock()
		all = errors.Join(all, err)
		return err
	})
	return all
}
