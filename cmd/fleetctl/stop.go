package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/schedule/registry"
)

type stopCmd struct {
	waitFlags
	Units []string `arg:"" optional:"" name:"unit" help:"Units."`
}

// Run has units stop.
func (c *stopCmd) Run(ctx context.Context, a *app) error {
	units, err := knownUnits(ctx, a, c.Units)
	if err != nil || len(units) == 0 {
		return err
	}
	for _, u := range units {
		if u.DesiredState == registry.Inactive {
			return a.fail("Unable to stop unit %s in state inactive", u.Name)
		}
	}
	names, err := setTargets(ctx, a, namesOf(units), registry.Loaded, "stop")
	if err != nil {
		return a.fail("Error stopping units: %v", err)
	}
	// A unit that no machine could take is as stopped as can be.
	w := &waiter{app: a, attempts: c.BlockAttempts}
	return c.finish(ctx, w, names, "stop", "stopped", w.state(registry.Loaded, registry.Inactive))
}

type unloadCmd struct {
	waitFlags
	Units []string `arg:"" optional:"" name:"unit" help:"Units."`
}

// Run has units leave their machines.
func (c *unloadCmd) Run(ctx context.Context, a *app) error {
	units, err := knownUnits(ctx, a, c.Units)
	if err != nil || len(units) == 0 {
		return err
	}
	names, err := setTargets(ctx, a, namesOf(units), registry.Inactive, "unload")
	if err != nil {
		return a.fail("Error unloading units: %v", err)
	}
	w := &waiter{app: a, attempts: c.BlockAttempts}
	return c.finish(ctx, w, names, "unload", "unloaded", w.state(registry.Inactive))
}

// finish waits for what a command has asked for, and sums up.
func (f waitFlags) finish(ctx context.Context, w *waiter, names []string, verb, done string, wait func(context.Context, string) error) error {
	var err error
	if f.NoBlock {
		err = sayTriggered(w.app, names, verb)
	} else {
		err = w.each(ctx, names, wait)
	}
	if err != nil {
		w.note("Failed to %s units %v. exit == 1.", verb, names)
		return err
	}
	w.note("Successfully %s units %v.", done, names)
	return nil
}

type destroyCmd struct {
	waitFlags
	Units []string `arg:"" optional:"" name:"unit" help:"Units."`
}

// Run removes units.
func (c *destroyCmd) Run(ctx context.Context, a *app) error {
	units, err := knownUnits(ctx, a, c.Units)
	if err != nil || len(units) == 0 {
		return err
	}
	for _, u := range units {
		err := a.api.DestroyUnit(ctx, u.Name)
		if errors.Is(err, registry.ErrUnitNotFound) {
			continue // by somebody else, just now
		}
		if err != nil {
			return a.fail("Error destroying units: %v", err)
		}
		a.say("Destroyed %s", u.Name)
	}
	if c.NoBlock {
		return nil
	}
	w := &waiter{app: a, attempts: c.BlockAttempts}
	return w.each(ctx, namesOf(units), w.gone)
}

// knownUnits looks up the units that arguments name; unknown ones are left out.
// It has said so if none is left. The error has been reported.
func knownUnits(ctx context.Context, a *app, args []string) ([]api.Unit, error) {
	if ok, err := someUnits(ctx, a, args); !ok {
		return nil, err
	}
	var units []api.Unit
	for _, name := range unitNames(args) {
		u, err := a.api.Unit(ctx, name)
		if errors.Is(err, registry.ErrUnitNotFound) {
			continue
		}
		if err != nil {
			return nil, a.fail("%v", fmt.Errorf("error retrieving Unit(%s) from Registry: %w", name, err))
		}
		units = append(units, u)
	}
	if len(units) == 0 {
		a.note("Units not found in registry")
	}
	return units, nil
}

func namesOf(units []api.Unit) []string {
	names := make([]string, 0, len(units))
	for _, u := range units {
		names = append(names, u.Name)
	}
	return names
}
