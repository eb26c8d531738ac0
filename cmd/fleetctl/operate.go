package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/schedule/registry"
)

// findMachine returns the machine whose ID begins as an argument does. The error
// has been reported.
func findMachine(a *app, machines []api.Machine, arg string) (api.Machine, error) {
	var found []api.Machine
	for _, m := range machines {
		if m.ID == arg {
			return m, nil
		}
		if arg != "" && strings.HasPrefix(m.ID, strings.TrimSuffix(arg, "...")) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return api.Machine{}, a.fail("Machine %s does not exist.", arg)
	case 1:
		return found[0], nil
	}
	return api.Machine{}, a.fail("Found more than one machine for %s.", arg)
}

// mark says of machines what they are open for, and returns them. The error has
// been reported.
func mark(ctx context.Context, a *app, args []string, state schedule.MachineState) ([]api.Machine, error) {
	if len(args) == 0 {
		return nil, a.fail("One machine at least must be provided.")
	}
	if err := a.connect(ctx); err != nil {
		return nil, err
	}
	all, err := a.api.Machines(ctx)
	if err != nil {
		return nil, a.fail("Error retrieving list of machines: %v", err)
	}
	var machines []api.Machine
	for _, arg := range args {
		m, err := findMachine(a, all, arg)
		if err != nil {
			return nil, err
		}
		machines = append(machines, m)
	}
	for _, m := range machines {
		if err := a.api.SetMachineState(ctx, m.ID, state); err != nil {
			return nil, a.fail("Error setting state of machine %s: %v", m.ID, err)
		}
	}
	return machines, nil
}

type cordonCmd struct {
	Machines []string `arg:"" optional:"" name:"machine" help:"Machines, by ID or its beginning."`
}

// Run has machines keep what they have and take nothing new.
func (c *cordonCmd) Run(ctx context.Context, a *app) error {
	return sayMarked(ctx, a, c.Machines, schedule.Cordoned, "cordoned")
}

type uncordonCmd struct {
	Machines []string `arg:"" optional:"" name:"machine" help:"Machines, by ID or its beginning."`
}

// Run opens machines that were cordoned or drained.
func (c *uncordonCmd) Run(ctx context.Context, a *app) error {
	return sayMarked(ctx, a, c.Machines, schedule.Open, "open")
}

func sayMarked(ctx context.Context, a *app, args []string, state schedule.MachineState, word string) error {
	machines, err := mark(ctx, a, args, state)
	for _, m := range machines {
		a.say("Machine %s %s", a.machineName(ctx, m.ID, false), word)
	}
	return err
}

type drainCmd struct {
	waitFlags
	Machines []string `arg:"" optional:"" name:"machine" help:"Machines, by ID or its beginning."`
}

// Run has the units of machines move to others, and waits until they have.
func (c *drainCmd) Run(ctx context.Context, a *app) error {
	machines, err := mark(ctx, a, c.Machines, schedule.Draining)
	if err != nil {
		return err
	}
	var names []string
	for _, m := range machines {
		if c.NoBlock {
			a.say("Machine %s draining", a.machineName(ctx, m.ID, false))
			continue
		}
		names = append(names, m.ID)
	}
	w := &waiter{app: a, attempts: c.BlockAttempts}
	return w.each(ctx, names, w.drained)
}

// drained waits until there is no unit on a machine but global ones. It fails as
// soon as all that are left cannot move.
func (w *waiter) drained(ctx context.Context, id string) error {
	stuck := 0
	var last api.MachineStatus
	err := w.until(ctx, func() (bool, error) {
		s, err := w.api.MachineStatus(ctx, id)
		if err != nil {
			return false, ignoreTrouble(err)
		}
		if last = s; len(s.Units) == 0 {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.say("Machine %s drained", w.machineName(ctx, id, false))
			return true, nil
		}
		// The engine may be about to move what another machine has just come
		// to have room for.
		if stuck++; len(s.Blocked) < len(s.Units) {
			stuck = 0
		}
		if stuck > int(attempt/poll)/2 {
			return false, w.blocked(ctx, id, s)
		}
		return false, nil
	}, nil)
	if errors.Is(err, errTimeout) {
		return fmt.Errorf("timed out waiting for machine %s to drain, %d units are left", id, len(last.Units))
	}
	return err
}

func (w *waiter) blocked(ctx context.Context, id string, s api.MachineStatus) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range s.Blocked {
		fmt.Fprint(w.err, e)
	}
	return fmt.Errorf("machine %s cannot be drained, %d units stay", w.machineName(ctx, id, false), len(s.Units))
}

type rebalanceCmd struct {
	Budget  int    `default:"10" help:"How many units may be moved." placeholder:"N"`
	Goal    string `default:"level" enum:"level,empty" help:"What to move them for: level, an even use of machines, or empty, machines without units."`
	DryRun  bool   `help:"Say what would be moved, and move nothing."`
	NoBlock bool   `help:"Do not wait until the engine has moved them."`
}

// Run has the engine move units that could stay.
func (c *rebalanceCmd) Run(ctx context.Context, a *app) error {
	goal, err := registry.ParseGoal(c.Goal)
	if err != nil {
		return a.fail("%v", err)
	}
	if err := a.connect(ctx); err != nil {
		return err
	}
	order := schedule.Rebalance{Goal: goal, Budget: c.Budget}
	ask := a.api.Rebalance
	if c.DryRun {
		ask = a.api.PlanRebalance
	}
	steps, err := ask(ctx, order)
	if err != nil {
		return a.fail("Error ordering rebalance: %v", err)
	}
	for _, s := range steps {
		a.say("Unit %s from %s to %s", s.Unit, a.machineOrNone(ctx, s.From), a.machineOrNone(ctx, s.To))
	}
	if len(steps) == 0 {
		a.say("Nothing to move")
	}
	if c.DryRun || c.NoBlock {
		return nil
	}
	w := &waiter{app: a}
	return w.until(ctx, func() (bool, error) {
		waiting, err := a.api.Rebalancing(ctx)
		return err == nil && !waiting, ignoreTrouble(err)
	}, nil)
}

func (a *app) machineOrNone(ctx context.Context, id string) string {
	if id == "" {
		return "no machine"
	}
	return a.machineName(ctx, id, false)
}

// suppositions completes the IDs of machines in what a user supposes. The error
// has been reported.
func suppositions(ctx context.Context, a *app, given []string) ([]string, error) {
	if len(given) == 0 {
		return nil, nil
	}
	machines, err := a.api.Machines(ctx)
	if err != nil {
		return nil, a.fail("Error retrieving list of machines: %v", err)
	}
	full := slices.Clone(given)
	for i, text := range full {
		words := strings.Fields(text)
		for j, word := range words {
			if j == 1 || strings.Contains(word, ".") {
				continue // what is supposed, or a unit
			}
			for _, m := range machines {
				if strings.HasPrefix(m.ID, word) {
					words[j] = m.ID
				}
			}
		}
		full[i] = strings.Join(words, " ")
	}
	return full, nil
}
