package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/strakeproject/strake/schedule/registry"
)

// uploadFlags are the flags of commands that store units.
type uploadFlags struct {
	Replace bool     `help:"Replace units that differ from their local files."`
	Sign    bool     `hidden:""`
	Units   []string `arg:"" optional:"" name:"unit" help:"Units, or paths of unit files."`
}

// ready connects, unless the command line says that there is nothing to do, or
// asks for what cannot be done: then the command ends with the error, or with
// none.
func (f *uploadFlags) ready(ctx context.Context, a *app) (ok bool, err error) {
	if f.Sign {
		a.note("WARNING: The signed/verified units feature is DEPRECATED and cannot be used.")
		return false, exitCode(2)
	}
	return someUnits(ctx, a, f.Units)
}

// someUnits connects if there are arguments.
func someUnits(ctx context.Context, a *app, args []string) (ok bool, err error) {
	if len(args) == 0 {
		a.note("No units given")
		return false, nil
	}
	err = a.connect(ctx)
	return err == nil, err
}

// store brings the units into the registry, and waits until those that are new
// there are inactive. The error has been reported.
func (f *uploadFlags) store(ctx context.Context, a *app, attempts int, replaceable ...registry.State) error {
	u := &uploader{app: a, replace: f.Replace, replaceable: replaceable}
	stored, err := u.upload(ctx, f.Units)
	if err != nil {
		return a.fail("Error creating units: %v", err)
	}
	w := &waiter{app: a, attempts: attempts}
	return w.each(ctx, stored, w.state(registry.Inactive))
}

type submitCmd struct {
	uploadFlags
}

// Run stores units.
func (c *submitCmd) Run(ctx context.Context, a *app) error {
	if ok, err := c.ready(ctx, a); !ok {
		return err
	}
	return c.store(ctx, a, 0, registry.Inactive)
}

type loadCmd struct {
	uploadFlags
	waitFlags
}

// Run stores units and has them loaded.
func (c *loadCmd) Run(ctx context.Context, a *app) error {
	if ok, err := c.ready(ctx, a); !ok {
		return err
	}
	if err := c.store(ctx, a, c.BlockAttempts, registry.Inactive, registry.Loaded); err != nil {
		return err
	}
	triggered, err := setTargets(ctx, a, unitNames(c.Units), registry.Loaded, "load")
	if err != nil {
		return a.fail("Error loading units: %v", err)
	}
	if c.NoBlock {
		return sayTriggered(a, triggered, "load")
	}
	w := &waiter{app: a, attempts: c.BlockAttempts}
	return w.each(ctx, triggered, w.state(registry.Loaded))
}

type startCmd struct {
	uploadFlags
	waitFlags
}

// Run stores units and has them run.
func (c *startCmd) Run(ctx context.Context, a *app) error {
	if ok, err := c.ready(ctx, a); !ok {
		return err
	}
	if err := c.store(ctx, a, c.BlockAttempts, registry.Inactive, registry.Loaded, registry.Launched); err != nil {
		return err
	}
	triggered, err := setTargets(ctx, a, unitNames(c.Units), registry.Launched, "start")
	if err != nil {
		return a.fail("Error starting units: %v", err)
	}
	if c.NoBlock {
		return sayTriggered(a, triggered, "start")
	}
	w := &waiter{app: a, attempts: c.BlockAttempts}
	if err := w.each(ctx, triggered, w.state(registry.Launched)); err != nil {
		return err
	}
	return w.each(ctx, triggered, w.running)
}

// setTargets asks for units to be in a state, and returns those that were not
// asked to before. Global ones are reported instead: nobody waits for them.
func setTargets(ctx context.Context, a *app, names []string, target registry.State, verb string) ([]string, error) {
	var triggered []string
	for _, name := range names {
		u, err := a.api.Unit(ctx, name)
		if errors.Is(err, registry.ErrUnitNotFound) {
			return nil, fmt.Errorf("unable to find unit %s", name)
		}
		if err != nil {
			return nil, fmt.Errorf("error retrieving Unit(%s) from Registry: %w", name, err)
		}
		if u.DesiredState == target {
			a.debugf("unit %s already %s, skipping", name, target)
			continue
		}
		if err := a.api.SetTarget(ctx, name, target); err != nil {
			return nil, err
		}
		if isGlobal(u) {
			a.say("Triggered global unit %s %s", name, verb)
			continue
		}
		triggered = append(triggered, name)
	}
	return triggered, nil
}

func sayTriggered(a *app, names []string, verb string) error {
	for _, name := range names {
		a.say("Triggered unit %s %s", name, verb)
	}
	return nil
}
