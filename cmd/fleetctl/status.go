package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// exitNotRunning is systemctl's exit code for the status of a unit that is not
// active.
const exitNotRunning exitCode = 3

type statusCmd struct {
	SSHPort int      `name:"ssh-port" hidden:""` // in old scripts; nothing goes over ssh
	Units   []string `arg:"" optional:"" name:"unit" help:"Units."`
}

// Run shows each unit on each machine that has it.
func (c *statusCmd) Run(ctx context.Context, a *app) error {
	if len(c.Units) == 0 {
		return nil
	}
	if err := a.connect(ctx); err != nil {
		return err
	}
	var first error
	shown := 0
	for _, name := range unitNames(c.Units) {
		u, err := lookUp(ctx, a, name)
		if err == nil {
			shown, err = showUnit(ctx, a, u, shown)
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// showUnit shows a unit on each of its machines, blank lines between. Shown is
// how many were shown before, and before the error if there is one.
func showUnit(ctx context.Context, a *app, u api.Unit, shown int) (int, error) {
	states, err := a.api.States(ctx, u.Name)
	if err != nil {
		return shown, a.fail("Error retrieving state of Unit %s: %v", u.Name, err)
	}
	if !isGlobal(u) && u.CurrentState == registry.Inactive || len(states) == 0 {
		return shown, a.fail("Unit %s does not appear to be loaded.", u.Name)
	}
	var first error
	for _, s := range states {
		if u.MachineID != "" && s.MachineID != u.MachineID {
			continue // a machine that the unit has left and that has not noticed
		}
		if shown++; shown > 1 {
			a.say("")
		}
		a.showState(ctx, u, s)
		if s.SystemdActiveState != "active" && s.SystemdActiveState != "activating" && s.SystemdActiveState != "reloading" && first == nil {
			first = exitNotRunning
		}
	}
	return shown, first
}

// showState shows a unit on one machine.
func (a *app) showState(ctx context.Context, u api.Unit, s api.UnitState) {
	title := u.Name
	if f, err := u.File(); err == nil && description(f) != "" {
		title += " - " + description(f)
	}
	a.say("● %s", title)
	a.say("  Machine: %s", a.machineName(ctx, s.MachineID, false))
	a.say("   Loaded: %s (unit file %s)", s.SystemdLoadState, formatHash(s.Hash, false))
	active := fmt.Sprintf("%s (%s)", s.SystemdActiveState, s.SystemdSubState)
	if s.SystemdActiveState == "failed" && s.Result != "" {
		active = fmt.Sprintf("failed (%s)", s.Result)
	}
	if s.Since != nil {
		active += " since " + s.Since.Local().Format("Mon 2006-01-02 15:04:05 MST")
	}
	a.say("   Active: %s", active)
	if s.MainPID != 0 {
		a.say(" Main PID: %d", s.MainPID)
	}
	n := 0
	for e, err := range a.api.Journal(ctx, s.MachineID, u.Name, unit.JournalOptions{}) {
		if err != nil {
			a.debugf("journal of %s: %v", u.Name, err)
			return
		}
		if n++; n == 1 {
			a.say("")
		}
		a.say("%s", formatShort(s.MachineID, e))
	}
}

type journalCmd struct {
	Lines   int      `default:"10" help:"How many of the last lines to print; all if negative."`
	Follow  bool     `short:"f" help:"Go on with what the unit writes from now on."`
	Output  string   `default:"short" enum:"short,short-iso,cat" help:"Form of lines: short, short-iso or cat."`
	Sudo    bool     `hidden:""`                 // in old scripts; nothing is run on the machine
	SSHPort int      `name:"ssh-port" hidden:""` // likewise
	Units   []string `arg:"" optional:"" name:"unit" help:"Unit."`
}

// Run prints what a unit has written, a global one on all machines.
func (c *journalCmd) Run(ctx context.Context, a *app) error {
	if len(c.Units) != 1 {
		return a.fail("One unit file must be provided.")
	}
	if err := a.connect(ctx); err != nil {
		return err
	}
	u, err := lookUp(ctx, a, parseUnitArg(c.Units[0]).name)
	if err != nil {
		return err
	}
	machines := []string{u.MachineID}
	if isGlobal(u) {
		states, err := a.api.States(ctx, u.Name)
		if err != nil {
			return a.fail("Error retrieving state of Unit %s: %v", u.Name, err)
		}
		machines = nil
		for _, s := range states {
			machines = append(machines, s.MachineID)
		}
	}
	if len(machines) == 0 || !isGlobal(u) && u.CurrentState == registry.Inactive {
		return a.fail("Unit %s does not appear to be running.", u.Name)
	}
	return c.print(ctx, a, u.Name, machines)
}

// print prints the journals of one unit on some machines, together if they are
// followed, else merged by time.
func (c *journalCmd) print(ctx context.Context, a *app, name string, machines []string) error {
	opts := unit.JournalOptions{Lines: c.Lines, Follow: c.Follow}
	if c.Lines == 0 && !c.Follow {
		return nil
	}
	lines := make(chan journalLine)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, m := range machines {
		go func() {
			for e, err := range a.api.Journal(ctx, m, name, opts) {
				lines <- journalLine{m, e, err, false}
			}
			lines <- journalLine{machine: m, end: true}
		}()
	}
	var kept []journalLine
	var failed error
	for open := len(machines); open > 0; {
		switch l := <-lines; {
		case l.end:
			open--
		case l.err != nil && ctx.Err() == nil:
			failed = a.fail("Error reading journal of %s on %s: %v", name, a.machineName(ctx, l.machine, false), l.err)
		case l.err != nil:
		case c.Follow:
			a.say("%s", c.format(l))
		default:
			kept = append(kept, l)
		}
	}
	sortByTime(kept)
	for _, l := range kept {
		a.say("%s", c.format(l))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return failed
}

// journalLine is what the journal of one machine has come to: an entry, an
// error or its end.
type journalLine struct {
	machine string
	entry   unit.JournalEntry
	err     error
	end     bool
}

func (c *journalCmd) format(l journalLine) string {
	switch c.Output {
	case "cat":
		return l.entry.Message
	case "short-iso":
		return formatEntry(l.machine, l.entry, "2006-01-02T15:04:05-0700")
	}
	return formatShort(l.machine, l.entry)
}

func formatShort(machine string, e unit.JournalEntry) string {
	return formatEntry(machine, e, time.Stamp)
}

// formatEntry is journalctl's form of a line, with the machine's ID for a host
// name.
func formatEntry(machine string, e unit.JournalEntry, layout string) string {
	who := e.Identifier
	if e.PID != 0 {
		who += fmt.Sprintf("[%d]", e.PID)
	}
	return fmt.Sprintf("%s %s %s: %s", e.Time.Local().Format(layout), shortID(machine), who, e.Message)
}

func sortByTime(lines []journalLine) {
	slices.SortStableFunc(lines, func(a, b journalLine) int { return a.entry.Time.Compare(b.entry.Time) })
}
