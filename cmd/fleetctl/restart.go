package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/strakeproject/strake/schedule/registry"
)

type restartCmd struct {
	BlockAttempts int      `help:"How many times to wait two seconds for a unit; 0 is without end." placeholder:"N"`
	Units         []string `arg:"" optional:"" name:"unit" help:"Units."`
}

// Run has units stop, waits until they have, and has them run again: global ones
// on all their machines. Units that do not run are started.
func (c *restartCmd) Run(ctx context.Context, a *app) error {
	units, err := knownUnits(ctx, a, c.Units)
	if err != nil || len(units) == 0 {
		return err
	}
	var names, launched []string
	for _, u := range units {
		switch u.DesiredState {
		case registry.Inactive:
			a.note("Unable to restart unit %s in state inactive", u.Name)
			continue
		case registry.Launched:
			launched = append(launched, u.Name)
		}
		names = append(names, u.Name)
	}
	w := &waiter{app: a, attempts: c.BlockAttempts}
	stopping, err := setTargets(ctx, a, launched, registry.Loaded, "stop")
	if err != nil {
		return a.fail("Error stopping units: %v", err)
	}
	if err := w.each(ctx, stopping, w.state(registry.Loaded, registry.Inactive)); err != nil {
		return err
	}
	if err := w.each(ctx, launched, w.stopped); err != nil {
		return err
	}
	starting, err := setTargets(ctx, a, names, registry.Launched, "start")
	if err != nil {
		return a.fail("Error starting units: %v", err)
	}
	if err := w.each(ctx, starting, w.state(registry.Launched)); err != nil {
		return err
	}
	return w.each(ctx, starting, w.running)
}

// stopped waits until no machine has a unit running.
func (w *waiter) stopped(ctx context.Context, name string) error {
	err := w.until(ctx, func() (bool, error) {
		states, err := w.api.States(ctx, name)
		if err != nil {
			return false, ignoreTrouble(err)
		}
		for _, s := range states {
			if s.SystemdActiveState != "inactive" && s.SystemdActiveState != "failed" {
				return false, nil
			}
		}
		return true, nil
	}, nil)
	if errors.Is(err, errTimeout) {
		return fmt.Errorf("timed out waiting for unit %s to stop", name)
	}
	return err
}
