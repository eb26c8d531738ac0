package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/schedule/registry"
)

// One attempt at seeing a unit in a state takes attempt; within it the unit is
// looked at every poll.
const (
	attempt = 2 * time.Second
	poll    = 250 * time.Millisecond
)

// waitFlags are the flags of commands that wait for units.
type waitFlags struct {
	NoBlock       bool `help:"Do not wait until the units are in the state that was asked for."`
	BlockAttempts int  `help:"How many times to wait two seconds for a unit; 0 is without end." placeholder:"N"`
}

// waiter waits for units.
type waiter struct {
	*app
	attempts int // 0: without end

	mu sync.Mutex // held while something is printed or machines are looked up
}

// each waits for several units at once, and reports what goes wrong with any.
func (w *waiter) each(ctx context.Context, names []string, wait func(context.Context, string) error) error {
	var all sync.WaitGroup
	failed := false
	for _, name := range names {
		all.Go(func() {
			if err := wait(ctx, name); err != nil && ctx.Err() == nil {
				w.mu.Lock()
				defer w.mu.Unlock()
				failed = true
				w.note("Error waiting for units: %v", err)
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failed {
		return exitCode(1)
	}
	return nil
}

// until looks again and again until done says so, or the attempts are used up:
// that is errTimeout. After each attempt that failed it calls idle, if given.
func (w *waiter) until(ctx context.Context, done func() (bool, error), idle func(attempts int)) error {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for n := 1; ; n++ {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		looks := int(attempt / poll)
		if n%looks != 0 {
			continue
		}
		if idle != nil {
			idle(n / looks)
		}
		if w.attempts > 0 && n/looks >= w.attempts {
			return errTimeout
		}
	}
}

var errTimeout = errors.New("timed out")

// state waits until a unit is in one of some states, and prints that.
func (w *waiter) state(states ...registry.State) func(context.Context, string) error {
	return func(ctx context.Context, name string) error {
		err := w.until(ctx, func() (bool, error) {
			u, err := w.api.Unit(ctx, name)
			if err != nil {
				w.debugf("unit %s: %v", name, err)
				return false, ignoreTrouble(err)
			}
			for _, s := range states {
				if u.CurrentState == s || isGlobal(u) {
					w.reached(ctx, u)
					return true, nil
				}
			}
			return false, nil
		}, func(attempts int) {
			if attempts == 1 && states[0] != registry.Inactive {
				w.hint(ctx, name)
			}
		})
		if errors.Is(err, errTimeout) {
			return fmt.Errorf("timed out waiting for unit %s to report state %s", name, states[0])
		}
		return err
	}
}

// ignoreTrouble keeps waiting alive over a server that restarts or a network
// that hiccups; what the server says of the unit itself counts.
func ignoreTrouble(err error) error {
	if e, ok := errors.AsType[*api.Error](err); ok && e.Code < 500 {
		return err
	}
	return nil
}

// reached prints that a unit is where it should be.
func (w *waiter) reached(ctx context.Context, u api.Unit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	where := ""
	if u.MachineID != "" && u.CurrentState != registry.Inactive {
		where = " on " + w.machineName(ctx, u.MachineID, false)
	}
	w.say("Unit %s %s%s", u.Name, u.CurrentState, where)
}

// hint tells why a unit keeps its owner waiting, if no machine can take it.
func (w *waiter) hint(ctx context.Context, name string) {
	e, err := w.api.Explain(ctx, name)
	if err != nil || e.Placed != "" || e.Admitting > 0 || e.Never != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprint(w.err, e)
}

// running waits until systemd has a launched unit active, or done with its
// work. It fails as soon as systemd calls the unit failed.
func (w *waiter) running(ctx context.Context, name string) error {
	idle := 0
	err := w.until(ctx, func() (bool, error) {
		states, err := w.api.States(ctx, name)
		if err != nil {
			w.debugf("state of unit %s: %v", name, err)
			return false, ignoreTrouble(err)
		}
		for _, s := range states {
			switch s.SystemdActiveState {
			case "active", "reloading":
				return true, nil
			case "failed":
				return false, w.failure(ctx, s)
			case "inactive":
				// Either it has not begun, or a unit that ends by itself has
				// done so between two looks. It begins within one attempt.
				idle++
				return idle >= int(attempt/poll), nil
			}
			idle = 0
		}
		return false, nil
	}, nil)
	if errors.Is(err, errTimeout) {
		return fmt.Errorf("timed out waiting for unit %s to be active", name)
	}
	return err
}

func (w *waiter) failure(ctx context.Context, s api.UnitState) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	why := ""
	if s.Result != "" && s.Result != "success" {
		why = " (" + s.Result + ")"
	}
	return fmt.Errorf("unit %s is failed%s on %s", s.Name, why, w.machineName(ctx, s.MachineID, false))
}

// gone waits until no machine publishes a state of a unit any more.
func (w *waiter) gone(ctx context.Context, name string) error {
	err := w.until(ctx, func() (bool, error) {
		states, err := w.api.States(ctx, name)
		if err != nil {
			return false, ignoreTrouble(err)
		}
		return len(states) == 0, nil
	}, nil)
	if errors.Is(err, errTimeout) {
		return fmt.Errorf("timed out waiting for unit %s to be gone", name)
	}
	return err
}
