package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/unitfile"
)

type flags struct {
	Inputs []string `arg:"" name:"input" help:"JSON files with machines, units and placements, and folders of unit files."`

	Strategy string         `default:"balance" enum:"balance,least-loaded,pack" help:"How to choose among machines: balance, least-loaded or pack."`
	Preempt  bool           `help:"Let units of high priority take the places of others."`
	Derive   string         `default:"estimate" enum:"estimate,request,off" help:"What MemoryMax, CPUQuota and the like count for: estimate, request or off."`
	Scale    map[string]int `help:"How many instances of a template to run, --scale=web=3. Default 1." placeholder:"NAME=N"`

	Drain  []string `help:"Machines whose units are to move away." placeholder:"MACHINE"`
	Cordon []string `help:"Machines that take nothing new." placeholder:"MACHINE"`
	Lose   []string `help:"Machines that are gone." placeholder:"MACHINE"`

	Rebalance string `enum:",level,empty" default:"" help:"Move units that could stay: level, for an even use of machines, or empty, to have machines without units." placeholder:"GOAL"`
	Budget    int    `default:"10" help:"How many units a rebalance may move." placeholder:"N"`

	Why    []string `help:"Say which machines may take a unit." placeholder:"UNIT"`
	WhyNot []string `help:"Say all that speaks against a unit on a machine." placeholder:"UNIT:MACHINE"`
	Save   string   `help:"Write where things are then to FILE, an input for the next time." placeholder:"FILE" type:"path"`
}

const description = `Plan where units go, with the scheduler alone.

Reads machines and units from JSON files and folders of unit files, and prints the moves, what each machine has before and after, and why a unit finds no place. The exit status is 0 if every unit found one where it may stay, 1 if not, and 2 for input that cannot be understood.

Try it: placement sample/machines.json sample/units --scale=web=4`

// Exit statuses.
const (
	exitUnplaced = 1
	exitMisused  = 2
)

func main() {
	var f flags
	kong.Parse(&f, kong.Name("placement"), kong.Description(description), kong.Exit(func(code int) {
		if code != 0 {
			code = exitMisused
		}
		os.Exit(code)
	}))
	whole, err := run(os.Stdout, f)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "placement:", err)
		os.Exit(exitMisused)
	case !whole:
		os.Exit(exitUnplaced)
	}
}

// run reports whether every unit has a place where it may stay.
func run(w io.Writer, f flags) (whole bool, err error) {
	c, warnings, err := readInputs(f.Inputs, f.Scale, derivations[f.Derive])
	if err != nil {
		return false, err
	}
	for _, text := range warnings {
		fmt.Fprintln(os.Stderr, "warning:", text)
	}
	if err := f.change(&c); err != nil {
		return false, err
	}
	p, s, err := plan(c, schedule.Options{Strategy: strategies[f.Strategy], Preempt: f.Preempt}, f.rebalance())
	if err != nil {
		return false, err
	}
	after := outcome(c, p, s)
	printSteps(w, p)
	printMachines(w, c, after)
	printTrouble(w, p, s)
	if err := f.explain(w, after, s); err != nil {
		return false, err
	}
	printSummary(w, p)
	if f.Save != "" {
		err = save(f.Save, after)
	}
	return len(p.Unplaced)+len(p.Blocked) == 0, err
}

// The words for strategies and for what limits count for.
var (
	strategies  = map[string]schedule.Strategy{"balance": schedule.Balance, "least-loaded": schedule.LeastLoaded, "pack": schedule.Pack}
	derivations = map[string]unitfile.Derive{"estimate": unitfile.Estimate, "request": unitfile.Request, "off": unitfile.Off}
	goals       = map[string]schedule.Goal{"level": schedule.Level, "empty": schedule.Empty}
)

func (f flags) rebalance() *schedule.Rebalance {
	if f.Rebalance == "" {
		return nil
	}
	return &schedule.Rebalance{Goal: goals[f.Rebalance], Budget: f.Budget}
}

// change does to the machines what flags say of them.
func (f flags) change(c *schedule.Cluster) error {
	for _, of := range []struct {
		ids    []string
		change func(i int)
	}{
		{f.Drain, func(i int) { c.Machines[i].State = schedule.Draining }},
		{f.Cordon, func(i int) { c.Machines[i].State = schedule.Cordoned }},
		{f.Lose, func(i int) { c.Machines = append(c.Machines[:i], c.Machines[i+1:]...) }},
	} {
		for _, id := range of.ids {
			i := machineIndex(*c, id)
			if i < 0 {
				return fmt.Errorf("there is no machine %s", id)
			}
			of.change(i)
		}
	}
	return nil
}

func machineIndex(c schedule.Cluster, id string) int {
	for i, m := range c.Machines {
		if m.ID == id {
			return i
		}
	}
	return -1
}

// explain answers what is asked about units.
func (f flags) explain(w io.Writer, after schedule.Cluster, s *schedule.Scheduler) error {
	for _, name := range f.Why {
		e, err := s.Explain(name)
		if err != nil {
			return err
		}
		fmt.Fprint(w, "\n", e)
		for _, c := range s.Why(name) {
			fmt.Fprintln(w, "  "+c.String())
		}
	}
	for _, pair := range f.WhyNot {
		name, id, ok := strings.Cut(pair, ":")
		if !ok {
			return errors.New("--why-not wants UNIT:MACHINE, not " + pair)
		}
		reasons := schedule.WhyNot(after, name, id)
		if len(reasons) == 0 {
			fmt.Fprintf(w, "\nnothing speaks against %s on %s\n", name, id)
			continue
		}
		fmt.Fprintf(w, "\nagainst %s on %s:\n", name, id)
		for _, r := range reasons {
			fmt.Fprintln(w, "  "+r.String())
		}
	}
	return nil
}
