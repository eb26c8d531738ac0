package schedule_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/schedule"
)

// TestTranscripts replays the files of testdata/transcripts. Commands:
//
//	options WORD ...    begins anew: balance, least-loaded, pack, preempt, max-victims=N
//	set                 one change a line; kept from one command to the next:
//	                      machine ID [cap=RESOURCES] [cordoned] [draining] [evacuating] [dedicated=KEY=VALUE]
//	                              [ports=FIRST-LAST] [key=value ...]
//	                      unit NAME [inactive] [global] [gen=N] [prio=N] [id=ID] [meta=key:value ...]
//	                                [of=NAME] [conflicts=GLOB] [soft=GLOB] [replaces=GLOB]
//	                                [req=RESOURCES] [est=RESOURCES] [require=EXPR] [prefer=WEIGHT:EXPR]
//	                                [port=N[/udp]] [dynamic=N] [max=N] [spread=KEY/KEY] [skew=N]
//	                                [group=NAME] [no-preempt] [no-move] [hold]
//	                      place UNIT MACHINE
//	                      lose machine ID | unit NAME | place UNIT
//	                    RESOURCES are cpu:2000,memory:512M,gpu:1
//	plan                the plan, which is then carried out, and the statistics
//	show                what is on each machine
//	explain NAME        what each machine says of a unit
//	whynot NAME ID      what one machine says
//	why NAME            the machines that may take a unit, the best first
//	drain ID ...        marks machines as draining and plans
//	rebalance WORD ...  level, empty, skew or fit=UNIT, budget=N, min-gain=N: a plan that is carried out
//	check               what is wrong with the placements
//
// Each plan comes from a Scheduler that was told of the changes, and must be
// what Compute makes of the whole.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		w := newWorld(schedule.Options{})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out, err := w.run(t, d)
			if err != nil {
				return "error: " + err.Error() + "\n"
			}
			return out
		})
	})
}

// world is a cluster and a Scheduler that is told of each change to it.
type world struct {
	machines map[string]schedule.Machine
	units    map[string]schedule.Unit
	placed   map[string]string
	opts     schedule.Options
	live     *schedule.Scheduler
}

func newWorld(o schedule.Options) *world {
	return &world{
		machines: map[string]schedule.Machine{},
		units:    map[string]schedule.Unit{},
		placed:   map[string]string{},
		opts:     o,
		live:     schedule.New(o),
	}
}

// cluster gives machines and units in the random order of maps, on purpose.
func (w *world) cluster() schedule.Cluster {
	return schedule.Cluster{
		Machines: slices.Collect(maps.Values(w.machines)),
		Units:    slices.Collect(maps.Values(w.units)),
		Placed:   maps.Clone(w.placed),
	}
}

func (w *world) run(t *testing.T, d *datadriven.TestData) (string, error) {
	switch d.Cmd {
	case "options":
		o, err := parseOptions(d.CmdArgs)
		*w = *newWorld(o)
		return "", err
	case "set":
		for line := range strings.Lines(d.Input) {
			if err := w.set(strings.Fields(line)); err != nil {
				return "", fmt.Errorf("%s: %w", strings.TrimSpace(line), err)
			}
		}
		return "", nil
	case "plan":
		return w.plan(t)
	case "show":
		return w.show(), nil
	case "explain":
		e, err := schedule.Explain(w.cluster(), d.CmdArgs[0].Key)
		return e.String(), err
	case "whynot":
		var b strings.Builder
		for _, r := range schedule.WhyNot(w.cluster(), d.CmdArgs[0].Key, d.CmdArgs[1].Key) {
			fmt.Fprintln(&b, r)
		}
		return b.String(), nil
	case "why":
		var b strings.Builder
		for _, c := range w.live.Why(d.CmdArgs[0].Key) {
			fmt.Fprintln(&b, c)
		}
		return b.String(), nil
	case "drain":
		return w.drain(t, d), nil
	case "rebalance":
		return w.rebalance(t, d)
	case "check":
		var b strings.Builder
		for _, v := range schedule.Check(w.cluster()) {
			fmt.Fprintln(&b, v)
		}
		return b.String(), nil
	}
	return "", fmt.Errorf("unknown command %q", d.Cmd)
}

func (w *world) set(f []string) error {
	switch {
	case f[0] == "machine":
		m, err := parseMachine(f[1:])
		if err != nil {
			return err
		}
		return w.setMachine(m)
	case f[0] == "unit":
		u, err := parseUnit(f[1:])
		if err != nil {
			return err
		}
		return w.setUnit(u)
	case f[0] == "place":
		return w.place(f[1], f[2])
	case f[0] == "lose" && f[1] == "machine":
		w.removeMachine(f[2])
	case f[0] == "lose" && f[1] == "unit":
		w.removeUnit(f[2])
	case f[0] == "lose" && f[1] == "place":
		w.unplace(f[2])
	default:
		return errors.New("unknown change")
	}
	return nil
}

func (w *world) setMachine(m schedule.Machine) error {
	w.machines[m.ID] = m
	return w.live.SetMachine(m)
}

func (w *world) removeMachine(id string) {
	delete(w.machines, id)
	w.live.RemoveMachine(id)
}

func (w *world) setUnit(u schedule.Unit) error {
	w.units[u.Name] = u
	return w.live.SetUnit(u)
}

func (w *world) removeUnit(name string) {
	delete(w.units, name)
	w.live.RemoveUnit(name)
}

func (w *world) place(unit, machine string) error {
	if w.placed[unit] != machine {
		w.give(unit, nil)
	}
	w.placed[unit] = machine
	return w.live.Bind(unit, machine)
}

func (w *world) unplace(unit string) {
	delete(w.placed, unit)
	w.give(unit, nil)
	w.live.Unbind(unit)
}

// give notes which ports a unit has.
func (w *world) give(unit string, ports []uint16) {
	if u, ok := w.units[unit]; ok {
		u.Given = ports
		w.units[unit] = u
	}
}

// apply carries out a plan on the cluster; the Scheduler has done so already.
func (w *world) apply(p schedule.Plan) {
	for _, s := range p.Steps {
		if s.To == "" {
			delete(w.placed, s.Unit)
		} else {
			w.placed[s.Unit] = s.To
		}
		w.give(s.Unit, s.Ports)
	}
}

func (w *world) plan(t *testing.T) (string, error) {
	want, err := schedule.Compute(w.cluster(), w.opts)
	if err != nil {
		return "", err
	}
	p := w.live.Plan()
	if p.String() != want.String() || p.Stats != want.Stats {
		t.Errorf("the Scheduler's plan is not Compute's:\ngot:\n%s%+v\nwant:\n%s%+v", p, p.Stats, want, want.Stats)
	}
	return w.carryOut(p), nil
}

func (w *world) carryOut(p schedule.Plan) string {
	w.apply(p)
	st := p.Stats
	return fmt.Sprintf("%skept %d, new %d, moved %d, removed %d, unplaced %d\n", p, st.Kept, st.New, st.Moved, st.Removed, st.Unplaced)
}

// drain has a Clone plan it first, which changes nothing here.
func (w *world) drain(t *testing.T, d *datadriven.TestData) string {
	var ids []string
	for _, arg := range d.CmdArgs {
		ids = append(ids, arg.Key)
	}
	want := w.live.Clone().Drain(ids...)
	for _, id := range ids {
		m := w.machines[id]
		m.State = schedule.Draining
		w.machines[id] = m
	}
	p := w.live.Drain(ids...)
	if p.String() != want.String() {
		t.Errorf("the clone's plan is another:\ngot:\n%s\nwant:\n%s", want, p)
	}
	return w.carryOut(p)
}

func (w *world) rebalance(t *testing.T, d *datadriven.TestData) (string, error) {
	var r schedule.Rebalance
	for goal, word := range map[schedule.Goal]string{schedule.Empty: "empty", schedule.Skew: "skew", schedule.Fit: "fit"} {
		if d.HasArg(word) {
			r.Goal = goal
		}
	}
	d.MaybeScanArgs(t, "fit", &r.Unit)
	d.ScanArgs(t, "budget", &r.Budget)
	d.MaybeScanArgs(t, "min-gain", &r.MinGain)
	clone := w.live.Clone().Rebalance(r)
	p := w.live.Rebalance(r)
	if clone.String() != p.String() {
		t.Errorf("the clone's plan is another:\ngot:\n%s\nwant:\n%s", clone, p)
	}
	out := w.carryOut(p)
	for name, id := range w.live.All() {
		if w.placed[name] != id {
			t.Errorf("the Scheduler has %s on %s, want %q", name, id, w.placed[name])
		}
	}
	return out, nil
}

func (w *world) show() string {
	on := map[string][]string{}
	for name, id := range w.placed {
		on[id] = append(on[id], name)
	}
	for id := range w.machines {
		on[id] = append(on[id], w.globals(id)...)
	}
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(on)) {
		slices.Sort(on[id])
		fmt.Fprintf(&b, "%s: %s\n", id, strings.Join(on[id], " "))
	}
	return b.String()
}

// globals walks global units as the agent of a machine does.
func (w *world) globals(id string) []string {
	var on []schedule.Unit
	var names []string
	for name, at := range w.placed {
		if u, ok := w.units[name]; ok && at == id && u.Active && !u.Global {
			on = append(on, u)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.units)) {
		u := w.units[name]
		if !u.Global {
			continue
		}
		if ok, _ := schedule.AdmitsGlobal(w.machines[id], on, u); ok {
			on = append(on, u)
			names = append(names, name)
		}
	}
	return names
}

func parseOptions(args []datadriven.CmdArg) (schedule.Options, error) {
	var o schedule.Options
	for _, arg := range args {
		switch arg.Key {
		case "balance":
			o.Strategy = schedule.Balance
		case "least-loaded":
			o.Strategy = schedule.LeastLoaded
		case "pack":
			o.Strategy = schedule.Pack
		case "preempt":
			o.Preempt = true
		case "max-victims":
			n, err := strconv.Atoi(arg.Vals[0])
			if err != nil {
				return o, err
			}
			o.MaxVictims = n
		default:
			return o, fmt.Errorf("unknown option %q", arg.Key)
		}
	}
	return o, nil
}

func parseResources(s string) (schedule.Resources, error) {
	var r schedule.Resources
	for word := range strings.SplitSeq(s, ",") {
		name, amount, _ := strings.Cut(word, ":")
		unit := int64(1)
		if i := strings.IndexAny(amount, "KMG"); i >= 0 {
			unit = map[byte]int64{'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}[amount[i]]
			amount = amount[:i]
		}
		n, err := strconv.ParseInt(amount, 10, 64)
		if err != nil {
			return r, err
		}
		switch n *= unit; name {
		case "cpu":
			r.CPU = n
		case "memory":
			r.Memory = n
		case "disk":
			r.Disk = n
		default:
			if r.Counters == nil {
				r.Counters = map[string]int64{}
			}
			r.Counters[name] = n
		}
	}
	return r, nil
}

func parseMachine(f []string) (schedule.Machine, error) {
	m := schedule.Machine{ID: f[0]}
	for _, kv := range f[1:] {
		k, v, _ := strings.Cut(kv, "=")
		var err error
		switch k {
		case "cap":
			m.Capacity = &schedule.Resources{}
			*m.Capacity, err = parseResources(v)
		case "cordoned":
			m.State = schedule.Cordoned
		case "draining":
			m.State = schedule.Draining
		case "evacuating":
			m.State = schedule.Evacuating
		case "dedicated":
			m.Dedicated = v
		case "ports":
			_, err = fmt.Sscanf(v, "%d-%d", &m.PortRange[0], &m.PortRange[1])
		default:
			if m.Metadata == nil {
				m.Metadata = map[string]string{}
			}
			m.Metadata[k] = v
		}
		if err != nil {
			return m, err
		}
	}
	return m, nil
}

func parseUnit(f []string) (schedule.Unit, error) {
	u := schedule.Unit{Name: f[0], Active: true}
	for _, word := range f[1:] {
		k, v, _ := strings.Cut(word, "=")
		if err := parseWord(&u, k, v); err != nil {
			return u, err
		}
	}
	return u, nil
}

func parseWord(u *schedule.Unit, k, v string) (err error) {
	switch k {
	case "inactive":
		u.Active = false
	case "global":
		u.Global = true
	case "gen":
		u.Generation, err = strconv.ParseUint(v, 10, 64)
	case "prio":
		u.Priority, err = strconv.Atoi(v)
	case "req":
		u.Request, err = parseResources(v)
	case "est":
		u.Estimate, err = parseResources(v)
	case "id":
		u.MachineID = v
	case "meta":
		key, value, _ := strings.Cut(v, ":")
		if u.Metadata == nil {
			u.Metadata = map[string][]string{}
		}
		u.Metadata[key] = append(u.Metadata[key], value)
	case "of":
		u.MachineOf = append(u.MachineOf, v)
	case "conflicts":
		u.Conflicts = append(u.Conflicts, v)
	case "soft":
		u.SoftConflicts = append(u.SoftConflicts, v)
	case "replaces":
		u.Replaces = append(u.Replaces, v)
	case "require":
		u.Require, err = schedule.ParseExpr(v)
	case "prefer":
		weight, expr, _ := strings.Cut(v, ":")
		var p schedule.Preference
		if p.Weight, err = strconv.Atoi(weight); err == nil {
			p.Expr, err = schedule.ParseExpr(expr)
		}
		u.Prefer = append(u.Prefer, p)
	case "port":
		number, udp := strings.CutSuffix(v, "/udp")
		var n uint64
		n, err = strconv.ParseUint(number, 10, 16)
		u.Ports = append(u.Ports, schedule.Port{Number: uint16(n), UDP: udp})
	case "dynamic":
		u.DynamicPorts, err = strconv.Atoi(v)
	case "max":
		u.MaxPerMachine, err = strconv.Atoi(v)
	case "spread":
		u.Spread.Keys = strings.Split(v, "/")
	case "skew":
		u.Spread.MaxSkew, err = strconv.Atoi(v)
	case "group":
		u.Spread.Group = v
	case "no-preempt":
		u.NotPreemptible = true
	case "no-move":
		u.NotMovable = true
	case "hold":
		u.Hold = true
	default:
		err = fmt.Errorf("unknown word %q", k)
	}
	return err
}
