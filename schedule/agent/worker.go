package agent

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

const (
	// patience is how long the other tasks of a round wait until its unloads are
	// done. After that they go ahead, beside units that are slow to stop.
	patience = 5 * time.Second
	// lookout is how often to look whether units that are stopping are gone, in
	// case that nobody says so.
	lookout = time.Second
	// A unit on which a task has failed is tried again after minRetry, then
	// after twice that, and so on up to maxRetry.
	minRetry = 250 * time.Millisecond
	maxRetry = 5 * time.Second
)

// worker makes the runner hold what is wanted. One goroutine calls it; it starts
// one more for each batch of unloads, which ends by itself or with its context.
//
// A runner may take the order to unload and carry it out later. So a unit counts
// as unloading until the runner's States lack it, and is left alone so long.
type worker struct {
	runner  unit.Runner
	reports *reporter
	log     *slog.Logger

	held map[string]held
	// unloading are units that are to go; true once the runner has the order.
	unloading map[string]bool
	ordered   chan outcome  // from the goroutines of running
	vanished  chan struct{} // holds a token after the runner has said that a unit is gone
	running   sync.WaitGroup
	retries   map[string]retry
}

// outcome is what came of the order to unload some units.
type outcome struct {
	names []string
	err   error
}

// retry is when to try a unit again on which a task has failed.
type retry struct {
	at    time.Time
	delay time.Duration
}

func newWorker(runner unit.Runner, reports *reporter, log *slog.Logger) *worker {
	return &worker{
		runner:    runner,
		reports:   reports,
		log:       log,
		held:      make(map[string]held),
		unloading: make(map[string]bool),
		ordered:   make(chan outcome),
		vanished:  make(chan struct{}, 1),
		retries:   make(map[string]retry),
	}
}

// adopt takes over what the runner holds.
func (w *worker) adopt(ctx context.Context) error {
	states, err := w.runner.States(ctx)
	if err != nil {
		return err
	}
	for _, s := range states {
		w.held[s.Name] = adopt(s)
		w.reports.hold(s.Name, s.Hash)
		w.reports.observe(s)
	}
	return nil
}

// round does once what can be done now to hold the wanted units.
func (w *worker) round(ctx context.Context, want []registry.Unit) {
	now := time.Now()
	units := make(map[string]registry.Unit, len(want))
	for _, u := range want {
		units[u.Name] = u
		if h, ok := w.held[u.Name]; ok && h.state == registry.Launched && h.hash == u.Hash && !u.Global() {
			w.reports.launched(u.Name, true) // an adopted one has not been told yet
		}
	}
	todo := make(map[verb][]task)
	planned := make(map[string]bool)
	for _, t := range plan(want, w.held) {
		planned[t.unit] = true
		_, busy := w.unloading[t.unit]
		if !busy && !w.retries[t.unit].at.After(now) {
			todo[t.verb] = append(todo[t.verb], t)
		}
	}
	maps.DeleteFunc(w.retries, func(name string, _ retry) bool { return !planned[name] })
	failed := w.unload(ctx, todo[unload])
	for _, v := range []verb{load, stop, start} {
		tasks := slices.DeleteFunc(todo[v], func(t task) bool {
			_, busy := w.unloading[t.unit]
			return busy || failed[t.unit]
		})
		w.do(ctx, v, tasks, units, failed)
	}
}

// do runs the tasks of one verb other than unload, and adds the units on which
// that failed to failed.
func (w *worker) do(ctx context.Context, v verb, tasks []task, units map[string]registry.Unit, failed map[string]bool) {
	if len(tasks) == 0 {
		return
	}
	var names []string
	var files []unit.Unit
	for _, t := range tasks {
		names = append(names, t.unit)
		files = append(files, unit.Unit{Name: t.unit, File: units[t.unit].File})
	}
	var err error
	switch v {
	case load:
		err = w.runner.Load(ctx, files...)
	case stop:
		err = w.runner.Stop(ctx, names...)
	case start:
		err = w.runner.Start(ctx, names...)
	}
	faults := faultsOf(names, err)
	for _, t := range tasks {
		if fault := faults[t.unit]; fault != nil {
			failed[t.unit] = true
			w.failed(t, fault)
			continue
		}
		w.log.Info("agent task done", "task", v.String(), "unit", t.unit, "reason", t.reason)
		delete(w.retries, t.unit)
		u := units[t.unit]
		switch v {
		case load:
			w.held[t.unit] = held{hash: u.Hash, state: registry.Loaded}
			w.reports.hold(t.unit, u.Hash)
		case stop, start:
			w.held[t.unit] = held{hash: u.Hash, state: u.Target}
			w.reports.launched(t.unit, v == start && !u.Global())
		}
	}
}

// observe takes in what the runner says of a unit. Any goroutine may call it.
func (w *worker) observe(s unit.State) {
	w.reports.observe(s)
	if s.Load != "not-found" {
		return
	}
	select {
	case w.vanished <- struct{}{}:
	default:
	}
}

// unload orders units to be unloaded and waits a while until they are gone. It
// returns those on which that has failed.
func (w *worker) unload(ctx context.Context, tasks []task) map[string]bool {
	failed := make(map[string]bool)
	if len(tasks) == 0 {
		return failed
	}
	var names []string
	for _, t := range tasks {
		names = append(names, t.unit)
		w.unloading[t.unit] = false
		w.log.Info("agent unloads", "unit", t.unit, "reason", t.reason)
	}
	w.running.Go(func() {
		err := w.runner.Unload(ctx, names...)
		select {
		case w.ordered <- outcome{names, err}:
		case <-ctx.Done():
		}
	})
	limit := time.NewTimer(patience)
	defer limit.Stop()
	look := time.NewTicker(lookout)
	defer look.Stop()
	going := func(name string) bool { _, ok := w.unloading[name]; return ok }
	for slices.ContainsFunc(names, going) {
		select {
		case o := <-w.ordered:
			maps.Copy(failed, w.took(ctx, o))
		case <-w.vanished:
			w.lookForGone(ctx)
		case <-look.C:
			w.lookForGone(ctx)
		case <-limit.C:
			return failed
		case <-ctx.Done():
			return failed
		}
	}
	return failed
}

// took takes in whether the runner has taken the order to unload some units, and
// returns those on which it failed.
func (w *worker) took(ctx context.Context, o outcome) map[string]bool {
	failed := make(map[string]bool)
	faults := faultsOf(o.names, o.err)
	for _, name := range o.names {
		if fault := faults[name]; fault != nil {
			delete(w.unloading, name)
			failed[name] = true
			w.failed(task{verb: unload, unit: name}, fault)
			continue
		}
		w.unloading[name] = true
	}
	w.lookForGone(ctx)
	return failed
}

// lookForGone finds out which units have gone.
func (w *worker) lookForGone(ctx context.Context) {
	if len(w.unloading) == 0 {
		return
	}
	states, err := w.runner.States(ctx)
	if err != nil {
		w.log.Warn("runner's units cannot be listed, looking again", "err", err)
		return
	}
	there := make(map[string]bool, len(states))
	for _, s := range states {
		there[s.Name] = true
	}
	for name, ordered := range w.unloading {
		if !ordered || there[name] {
			continue
		}
		delete(w.unloading, name)
		delete(w.held, name)
		delete(w.retries, name)
		w.reports.gone(name)
	}
}

// failed puts a unit off.
func (w *worker) failed(t task, err error) {
	delay := min(max(2*w.retries[t.unit].delay, minRetry), maxRetry)
	w.retries[t.unit] = retry{at: time.Now().Add(delay), delay: delay}
	w.log.Warn("agent task failed", "task", t.verb.String(), "unit", t.unit, "err", err, "retry", delay)
}

// next is how long until there is something to do again, be it to try a unit
// that was put off or to look for those that should be gone; false for nothing.
func (w *worker) next() (time.Duration, bool) {
	var first time.Time
	if len(w.unloading) > 0 {
		first = time.Now().Add(lookout)
	}
	for name, r := range w.retries {
		if _, busy := w.unloading[name]; busy {
			continue
		}
		if first.IsZero() || r.at.Before(first) {
			first = r.at
		}
	}
	return max(0, time.Until(first)), !first.IsZero()
}

// faultsOf sorts the error of a runner's operation by unit. An error that names
// no unit concerns all.
func faultsOf(names []string, err error) map[string]error {
	faults := make(map[string]error)
	if err == nil {
		return faults
	}
	spread(err, faults)
	if len(faults) == 0 {
		for _, name := range names {
			faults[name] = err
		}
	}
	return faults
}

// spread files each RunError within err under its unit.
func spread(err error, faults map[string]error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			spread(e, faults)
		}
		return
	}
	if e, ok := errors.AsType[*unit.RunError](err); ok {
		faults[e.Unit] = e
	}
}
