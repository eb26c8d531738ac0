package schedule_test

import (
	"fmt"
	"maps"
	"math/bits"
	"math/rand/v2"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/strakeproject/strake/schedule"
)

// Small worlds, in which everything meets everything.
var (
	someIDs   = []string{"m0", "m1", "m2", "m3", "m4", "01234567", "0123456789"}
	someNames = []string{"a", "b", "c@1", "c@2", "c@3", "d", "e", "f", "g", "h"}
	someGlobs = []string{"a", "b", "c@*", "[d-f]", "?", "c@1", "g*", "*", "[", "none"}
)

func drawMachine(t *rapid.T, id string) schedule.Machine {
	m := schedule.Machine{ID: id}
	if zone := rapid.SampledFrom([]string{"", "x", "y", "y"}).Draw(t, "zone"); zone != "" {
		m.Metadata = map[string]string{"zone": zone}
	}
	if rack := rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "rack"); rack != "" && m.Metadata != nil {
		m.Metadata["rack"] = rack
	}
	if rapid.IntRange(0, 3).Draw(t, "state?") == 0 {
		m.State = rapid.SampledFrom([]schedule.MachineState{schedule.Cordoned, schedule.Draining, schedule.Evacuating}).Draw(t, "state")
	}
	if rapid.IntRange(0, 9).Draw(t, "dedicated?") == 0 {
		m.Dedicated = rapid.SampledFrom([]string{"zone=x", "zone=y"}).Draw(t, "dedicated")
	}
	if rapid.IntRange(0, 2).Draw(t, "ports?") == 0 {
		m.PortRange = [2]uint16{1, rapid.Uint16Range(1, 4).Draw(t, "last port")}
	}
	if rapid.IntRange(0, 4).Draw(t, "reports") > 0 {
		m.Capacity = &schedule.Resources{
			CPU:      rapid.Int64Range(0, 8).Draw(t, "cpu"),
			Memory:   rapid.Int64Range(0, 8).Draw(t, "memory"),
			Counters: map[string]int64{"gpu": rapid.Int64Range(0, 2).Draw(t, "gpu")},
		}
	}
	return m
}

// drawResources draws a little of some resources.
func drawResources(t *rapid.T, label string) schedule.Resources {
	var r schedule.Resources
	if rapid.Bool().Draw(t, label+"?") {
		return r
	}
	r.CPU = rapid.Int64Range(0, 5).Draw(t, label+" cpu")
	r.Memory = rapid.Int64Range(0, 5).Draw(t, label+" memory")
	if rapid.IntRange(0, 5).Draw(t, label+" counters") == 0 {
		r.Counters = map[string]int64{"gpu": rapid.Int64Range(0, 2).Draw(t, label+" gpu")}
	}
	return r
}

func drawUnit(t *rapid.T, name string) schedule.Unit {
	some := func(from []string, label string, often int) []string {
		if rapid.IntRange(0, 9).Draw(t, label+"?") >= often {
			return nil
		}
		return rapid.SliceOfN(rapid.SampledFrom(from), 1, 2).Draw(t, label)
	}
	u := schedule.Unit{
		Name:       name,
		Active:     rapid.IntRange(0, 9).Draw(t, "active") > 0,
		Global:     rapid.IntRange(0, 6).Draw(t, "global") == 0,
		Generation: rapid.Uint64Range(0, 2).Draw(t, "generation"),
		Priority:   rapid.IntRange(-1, 1).Draw(t, "priority"),
		MachineOf:  some(someNames, "machine of", 3),
		Conflicts:  some(someGlobs, "conflicts", 3),
		Replaces:   some(someGlobs, "replaces", 2),
		Request:    drawResources(t, "request"),
		Estimate:   drawResources(t, "estimate"),
	}
	if id := some([]string{"m0", "m1", "01234567", "012345"}, "machine id", 1); id != nil {
		u.MachineID = id[0]
	}
	if zones := some([]string{"x", "y"}, "zones", 3); zones != nil {
		u.Metadata = map[string][]string{"zone": zones}
	}
	u.NotPreemptible = rapid.IntRange(0, 9).Draw(t, "not preemptible") == 0
	u.NotMovable = rapid.IntRange(0, 9).Draw(t, "not movable") == 0
	u.Hold = rapid.IntRange(0, 9).Draw(t, "hold") == 0
	if require := some([]string{"zone=x", "zone!=y", "rack>1 || !rack"}, "require", 1); require != nil {
		u.Require = parseExpr(require[0])
	}
	for _, prefer := range some([]string{"zone=y", "!rack"}, "prefer", 2) {
		u.Prefer = append(u.Prefer, schedule.Preference{Weight: rapid.IntRange(-2, 2).Draw(t, "weight"), Expr: parseExpr(prefer)})
	}
	u.SoftConflicts = some(someGlobs, "soft conflicts", 2)
	for range rapid.IntRange(-4, 2).Draw(t, "ports") {
		u.Ports = append(u.Ports, schedule.Port{Number: rapid.Uint16Range(1, 5).Draw(t, "port"), UDP: rapid.IntRange(0, 3).Draw(t, "udp") == 0})
	}
	if u.Global {
		return u
	}
	u.DynamicPorts = max(0, rapid.IntRange(-6, 2).Draw(t, "dynamic ports"))
	u.MaxPerMachine = max(0, rapid.IntRange(-6, 2).Draw(t, "max per machine"))
	if rapid.IntRange(0, 3).Draw(t, "spread?") == 0 {
		u.Spread.Keys = rapid.SampledFrom([][]string{{"zone"}, {"rack"}, {"zone", "rack"}}).Draw(t, "spread")
		u.Spread.MaxSkew = rapid.IntRange(0, 2).Draw(t, "max skew")
	}
	u.Spread.Group = rapid.SampledFrom([]string{"", "", "team"}).Draw(t, "group")
	return u
}

func parseExpr(text string) *schedule.Expr {
	e, err := schedule.ParseExpr(text)
	must(err)
	return e
}

func drawOptions(t *rapid.T) schedule.Options {
	return schedule.Options{
		Strategy: rapid.SampledFrom([]schedule.Strategy{schedule.Balance, schedule.LeastLoaded, schedule.Pack}).Draw(t, "strategy"),
		Preempt:  rapid.IntRange(0, 2).Draw(t, "preempt") == 0,
	}
}

func drawWorld(t *rapid.T) *world {
	w := newWorld(drawOptions(t))
	for _, id := range rapid.SliceOfNDistinct(rapid.SampledFrom(someIDs), 0, len(someIDs), rapid.ID[string]).Draw(t, "machines") {
		must(w.setMachine(drawMachine(t, id)))
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(someNames), 0, len(someNames), rapid.ID[string]).Draw(t, "units") {
		must(w.setUnit(drawUnit(t, name)))
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(someNames), 0, len(someNames), rapid.ID[string]).Draw(t, "placed") {
		must(w.place(name, rapid.SampledFrom(someIDs).Draw(t, "on")))
	}
	return w
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (w *world) compute(t *rapid.T) schedule.Plan {
	p, err := schedule.Compute(w.cluster(), w.opts)
	if err != nil {
		t.Fatalf("Compute(%+v): %v", w.cluster(), err)
	}
	return p
}

func TestAPlanLeavesNothingInvalidAndNothingOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		before := w.cluster()
		p := w.compute(t)
		w.apply(p)
		after := w.cluster()
		for _, v := range schedule.Check(after) {
			t.Errorf("after the plan: %s", v)
		}
		unplaced := map[string]bool{}
		for _, e := range p.Unplaced {
			if unplaced[e.Unit] {
				t.Errorf("%s is unplaced twice", e.Unit)
			}
			unplaced[e.Unit] = true
		}
		for name, u := range w.units {
			at, placed := w.placed[name]
			switch {
			case !u.Active && (placed || unplaced[name]):
				t.Errorf("inactive %s: on %q, unplaced %v", name, at, unplaced[name])
			case u.Active && u.Global:
				runs := slices.ContainsFunc(slices.Collect(maps.Keys(w.machines)), func(id string) bool {
					return slices.Contains(w.globals(id), name)
				})
				if placed || runs == unplaced[name] {
					t.Errorf("global %s: on %q, runs somewhere %v, unplaced %v", name, at, runs, unplaced[name])
				}
			case u.Active && placed == unplaced[name]:
				t.Errorf("%s: on %q, unplaced %v", name, at, unplaced[name])
			}
		}
		if t.Failed() {
			t.Logf("before: %+v\nplan:\n%s", before, p)
		}
	})
}

func TestAnUnplacedUnitFitsNowhereAndTheExplanationSaysWhy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		p := w.compute(t)
		w.apply(p)
		c := w.cluster()
		for _, e := range p.Unplaced {
			if e.Admitting != 0 {
				t.Errorf("%d machines admit the unplaced %s\nplan:\n%s", e.Admitting, e.Unit, p)
			}
			again, err := schedule.Explain(c, e.Unit)
			again.WouldFitIf = nil
			if err != nil || !reflect.DeepEqual(again, e) {
				t.Errorf("Explain after the plan: %v\n%swant, as in the plan:\n%s", err, again, e)
			}
		}
		s := schedule.New(w.opts)
		must(s.Reset(c))
		s.Plan()
		for name, u := range w.units {
			if u.Active {
				explanationAgrees(t, c, name)
			}
			for _, m := range c.Machines {
				if got, want := s.WhyNot(name, m.ID), schedule.WhyNot(c, name, m.ID); !reflect.DeepEqual(got, want) && len(got)+len(want) > 0 {
					t.Errorf("%s on %s: the Scheduler says %v, the cluster %v", name, m.ID, got, want)
				}
			}
		}
		if t.Failed() {
			t.Logf("after: %+v", c)
		}
	})
}

// explanationAgrees compares Explain with WhyNot, machine by machine.
func explanationAgrees(t *rapid.T, c schedule.Cluster, name string) {
	e, err := schedule.Explain(c, name)
	if err != nil {
		t.Fatalf("Explain(%s): %v", name, err)
	}
	count, alone := map[schedule.Code]int{}, map[schedule.Code]int{}
	admitting := 0
	for _, m := range c.Machines {
		reasons := schedule.WhyNot(c, name, m.ID)
		if len(reasons) == 0 {
			admitting++
			continue
		}
		count[reasons[0].Code]++
		if len(reasons) == 1 {
			alone[reasons[0].Code]++
		}
	}
	sum := e.Admitting
	for _, r := range e.Rejected {
		sum += r.Machines
		if r.Machines != count[r.Code] || r.Alone != alone[r.Code] {
			t.Errorf("%s: %s rejects %d machines, %d alone; WhyNot says %d and %d", name, r.Code, r.Machines, r.Alone, count[r.Code], alone[r.Code])
		}
	}
	if sum != e.Considered || e.Considered != len(c.Machines) || e.Admitting != admitting {
		t.Errorf("%s: considered %d of %d machines, sum %d, admitting %d; WhyNot admits %d", name, e.Considered, len(c.Machines), sum, e.Admitting, admitting)
	}
}

func TestOnlyUnitsThatCannotStayAreMoved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		invalid := map[string]bool{}
		for _, v := range schedule.Check(w.cluster()) {
			invalid[v.Unit] = true
		}
		p := w.compute(t)
		for _, s := range p.Steps {
			caused := slices.Contains([]schedule.Code{
				schedule.CodeReplaced, schedule.CodePeer, schedule.CodeGlobal, schedule.CodePreempted, schedule.CodeDraining,
			}, s.Cause)
			if s.Cause == schedule.CodePreempted && w.units[s.By].Priority <= w.units[s.Unit].Priority && len(w.units[s.By].MachineOf) == 0 {
				t.Errorf("step %s, but priorities are %d and %d", s, w.units[s.Unit].Priority, w.units[s.By].Priority)
			}
			if s.From != "" && !invalid[s.Unit] && !caused {
				t.Errorf("step %s, but the unit could have stayed\n%+v", s, w.cluster())
			}
			if s.From != w.placed[s.Unit] || s.From == s.To {
				t.Errorf("step %s, but the unit is on %q", s, w.placed[s.Unit])
			}
		}
	})
}

func TestAPlanCarriedOutNeedsNoOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		first := w.compute(t)
		w.apply(first)
		second := w.compute(t)
		if len(second.Steps) > 0 || !reflect.DeepEqual(first.Unplaced, second.Unplaced) {
			t.Errorf("second plan:\n%sfirst plan:\n%s%+v", second, first, w.cluster())
		}
	})
}

// As long as units ask for nothing but a place, the number of units is all the
// balance there is.
func TestBalanceWithoutRequestsIsLeastLoaded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.forgetRequests()
		w.opts.Strategy = schedule.LeastLoaded
		want := w.compute(t)
		w.opts.Strategy = schedule.Balance
		if got := w.compute(t); got.String() != want.String() {
			t.Errorf("balance:\n%s\nleast-loaded:\n%s\n%+v", got, want, w.cluster())
		}
	})
}

// Whatever an explanation says would help does, one change at a time.
func TestWhatWouldFitDoesFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.opts = schedule.Options{}
		w.apply(w.compute(t))
		for name := range w.units {
			c := w.cluster()
			e, err := schedule.Explain(c, name)
			if err != nil {
				t.Fatal(err)
			}
			for _, change := range e.WouldFitIf {
				if p := w.with(t, name, change); slices.ContainsFunc(p.Unplaced, func(e schedule.Explanation) bool { return e.Unit == name }) {
					t.Errorf("%s would fit %s, but then the plan is\n%s%+v", name, change, p, c)
				}
			}
		}
	})
}

// with plans for a unit to be placed after a change.
func (w *world) with(t *rapid.T, name string, change schedule.Change) schedule.Plan {
	c, o := w.cluster(), w.opts
	i := slices.IndexFunc(c.Machines, func(m schedule.Machine) bool { return m.ID == change.Machine })
	m := &c.Machines[i]
	switch {
	case change.Reopen:
		m.State = schedule.Open
	case change.Metadata != nil:
		meta := maps.Clone(change.Metadata)
		maps.Copy(meta, m.Metadata)
		m.Metadata = meta
	case change.Free != nil:
		more := *m.Capacity
		more.CPU += change.Free.CPU
		more.Memory += change.Free.Memory
		more.Disk += change.Free.Disk
		more.Counters = maps.Clone(more.Counters)
		for counter, n := range change.Free.Counters {
			more.Counters[counter] += n
		}
		m.Capacity = &more
	case change.Moves != nil:
		s := schedule.New(o)
		must(s.Reset(c))
		p := s.Rebalance(schedule.Rebalance{Goal: schedule.Fit, Budget: len(change.Moves), Unit: name})
		moved := 0
		for _, step := range p.Steps {
			if slices.Contains(change.Moves, schedule.Move{Unit: step.Unit, To: step.To}) {
				moved++
			}
		}
		if moved != len(change.Moves) {
			t.Errorf("%s would fit %s, but the plan is\n%s%+v", name, change, p, c)
		}
		return p
	default:
		o.Preempt = true
	}
	p, err := schedule.Compute(c, o)
	must(err)
	return p
}

func (w *world) forgetRequests() {
	for name, u := range w.units {
		u.Request, u.Estimate = schedule.Resources{}, schedule.Resources{}
		w.units[name] = u
	}
}

func TestMalformedInputIsRefused(t *testing.T) {
	m, u := schedule.Machine{ID: "m1"}, schedule.Unit{Name: "a.service"}
	gpus := func(n int64) schedule.Unit {
		return schedule.Unit{Name: fmt.Sprintf("%d.service", n), Request: schedule.Resources{Counters: map[string]int64{"gpu": n}}}
	}
	for _, c := range []struct {
		in   schedule.Cluster
		opts schedule.Options
		want string
	}{
		{in: schedule.Cluster{Machines: []schedule.Machine{{}}}, want: "machine without an ID"},
		{in: schedule.Cluster{Machines: []schedule.Machine{m, m}}, want: `machine "m1" is given twice`},
		{in: schedule.Cluster{Units: []schedule.Unit{{}}}, want: "unit without a name"},
		{in: schedule.Cluster{Units: []schedule.Unit{u, u}}, want: `unit "a.service" is given twice`},
		{in: schedule.Cluster{Units: []schedule.Unit{u, {Name: "b.service"}, u}}, want: `unit "a.service" is given twice`},
		{in: schedule.Cluster{Units: []schedule.Unit{{Name: "b.service"}, u, {Name: "b.service"}}}, want: `unit "b.service" is given twice`},
		{in: schedule.Cluster{Placed: map[string]string{"a.service": ""}}, want: `placement of unit "a.service" on machine "": neither may be empty`},
		{in: schedule.Cluster{Units: []schedule.Unit{{Name: "a.service", Request: schedule.Resources{CPU: -1}}}}, want: `unit "a.service": request: cpu is -1, want 0 to 2251799813685248`},
		{in: schedule.Cluster{Units: []schedule.Unit{{Name: "a.service", Estimate: schedule.Resources{Counters: map[string]int64{"cpu": 1}}}}}, want: `unit "a.service": estimate: counter cpu has the name of a resource`},
		{in: schedule.Cluster{Units: []schedule.Unit{gpus(1), gpus(-1)}}, want: `unit "-1.service": request: gpu is -1, want 0 to 2251799813685248`},
		{in: schedule.Cluster{Machines: []schedule.Machine{{ID: "m1", Capacity: &schedule.Resources{Disk: 1 << 60}}}}, want: `machine "m1": capacity: disk is 1152921504606846976, want 0 to 2251799813685248`},
		{in: schedule.Cluster{Machines: []schedule.Machine{{ID: "m1", State: 7}}}, want: `machine "m1": unknown state 7`},
		{in: schedule.Cluster{Machines: []schedule.Machine{{ID: "m1", Dedicated: "gpu"}}}, want: `machine "m1": dedicated is "gpu", want KEY=VALUE`},
		{in: schedule.Cluster{Machines: []schedule.Machine{{ID: "m1", PortRange: [2]uint16{9, 8}}}}, want: `machine "m1": ports from 9 to 8 are none`},
		{in: schedule.Cluster{Units: []schedule.Unit{{Name: "a.service", DynamicPorts: -1}}}, want: `unit "a.service": dynamic ports is -1, want 0 to 65535`},
		{in: schedule.Cluster{Units: []schedule.Unit{{Name: "a.service", Prefer: []schedule.Preference{{Weight: 101, Expr: parseExpr("a=b")}}}}}, want: `unit "a.service": weight of preference "a=b" is 101, want -100 to 100`},
		{in: schedule.Cluster{Units: []schedule.Unit{{Name: "a.service", Global: true, MaxPerMachine: 1}}}, want: `unit "a.service": a global unit has no spread, no limit per machine and no dynamic ports`},
		{opts: schedule.Options{Effort: 9}, want: "unknown effort 9"},
		{opts: schedule.Options{Strategy: 9}, want: "unknown strategy 9"},
	} {
		if _, err := schedule.Compute(c.in, c.opts); err == nil || err.Error() != c.want {
			t.Errorf("Compute(%+v, %+v): got error %v, want %s", c.in, c.opts, err, c.want)
		}
	}
}

func TestTheOrderOfTheInputDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		c := w.cluster()
		want := w.compute(t).String()
		rng := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed")))
		rng.Shuffle(len(c.Machines), reflect.Swapper(c.Machines))
		rng.Shuffle(len(c.Units), reflect.Swapper(c.Units))
		got, err := schedule.Compute(c, w.opts)
		if err != nil || got.String() != want {
			t.Errorf("got: %v\n%s\nwant:\n%s\n%+v", err, got, want, c)
		}
	})
}

// Between waves, and while one is made, no machine has to hold more than it can,
// unless it had to before.
func TestNoWaveOvercommitsAMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		p := w.compute(t)
		type place struct{ unit, machine string }
		held := map[place]bool{} // a moving unit holds two places
		for name, id := range w.placed {
			held[place{name, id}] = true
		}
		memory := func() map[string]int64 {
			sum := map[string]int64{}
			for at := range held {
				if u := w.units[at.unit]; u.Active && !u.Global {
					sum[at.machine] += u.Request.Memory
				}
			}
			return sum
		}
		before := memory()
		for _, s := range p.Steps {
			if s.StopFirst {
				delete(held, place{s.Unit, s.From})
			}
		}
		for wave := 0; len(p.Steps) > 0; wave++ {
			n := slices.IndexFunc(p.Steps, func(s schedule.Step) bool { return s.Wave != wave })
			if n < 0 {
				n = len(p.Steps)
			}
			for _, s := range p.Steps[:n] {
				if s.To != "" {
					held[place{s.Unit, s.To}] = true
				}
			}
			for id, sum := range memory() {
				if m := w.machines[id]; m.Capacity != nil && sum > max(m.Capacity.Memory, before[id]) {
					t.Fatalf("wave %d: %s holds %d of memory, has %d\nplan:\n%s%+v", wave, id, sum, m.Capacity.Memory, p, w.cluster())
				}
			}
			for _, s := range p.Steps[:n] {
				delete(held, place{s.Unit, s.From})
			}
			p.Steps = p.Steps[n:]
		}
	})
}

// Between waves, and while one is made, no two units that conflict meet unless
// they had met before.
func TestNoWaveBringsConflictingUnitsTogether(t *testing.T) {
	conflict := func(a, b schedule.Unit) bool {
		matches := func(globs []string, name string) bool {
			return slices.ContainsFunc(globs, func(glob string) bool { ok, _ := path.Match(glob, name); return ok })
		}
		return a.Name != b.Name && (matches(a.Conflicts, b.Name) || matches(b.Conflicts, a.Name))
	}
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		p := w.compute(t)
		on := map[string]map[string]bool{} // units by machine; a moving unit is on two
		for name, id := range w.placed {
			if on[id] == nil {
				on[id] = map[string]bool{}
			}
			on[id][name] = true
		}
		for _, s := range p.Steps {
			if s.StopFirst {
				delete(on[s.From], s.Unit)
			}
		}
		for len(p.Steps) > 0 {
			n := slices.IndexFunc(p.Steps, func(s schedule.Step) bool { return s.Wave != p.Steps[0].Wave })
			if n < 0 {
				n = len(p.Steps)
			}
			wave := p.Steps[:n]
			p.Steps = p.Steps[n:]
			for _, s := range wave {
				for other := range on[s.To] {
					if s.To != "" && conflict(w.units[s.Unit], w.units[other]) {
						t.Errorf("%s meets %s\n%+v", s, other, w.cluster())
					}
				}
				if on[s.To] == nil {
					on[s.To] = map[string]bool{}
				}
				on[s.To][s.Unit] = true
			}
			for _, s := range wave {
				delete(on[s.From], s.Unit)
			}
		}
	})
}

// A unit left on a draining machine cannot be moved, or is not to be.
func TestADrainedMachineKeepsOnlyWhatHasNowhereToGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		p := w.compute(t)
		w.apply(p)
		left := map[string]bool{}
		for name, id := range w.placed {
			m := w.machines[id]
			if m.State == schedule.Draining || m.State == schedule.Evacuating {
				left[name] = true
			}
			if m.State == schedule.Evacuating && w.units[name].NotMovable {
				t.Errorf("%s is still on %s, which is to be left by all", name, id)
			}
		}
		for _, e := range p.Blocked {
			if !left[e.Unit] {
				t.Errorf("%s is blocked, but on %q", e.Unit, w.placed[e.Unit])
			}
			delete(left, e.Unit)
			u := w.units[e.Unit]
			if e.Admitting > 0 && e.Stays == nil && len(u.MachineOf) == 0 && !w.followed(e.Unit) {
				t.Errorf("%s stays although %d machines admit it\nplan:\n%s%+v", e.Unit, e.Admitting, p, w.cluster())
			}
		}
		if len(left) > 0 {
			t.Errorf("left on draining machines, and not told: %v", left)
		}
	})
}

// followed reports whether other units must run beside one.
func (w *world) followed(name string) bool {
	for _, u := range w.units {
		if slices.Contains(u.MachineOf, name) {
			return true
		}
	}
	return false
}

func TestRebalancingEndsAndKeepsToItsBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.apply(w.compute(t))
		s := schedule.New(w.opts)
		must(s.Reset(w.cluster()))
		r := schedule.Rebalance{
			Goal:   rapid.SampledFrom([]schedule.Goal{schedule.Level, schedule.Empty, schedule.Skew, schedule.Fit}).Draw(t, "goal"),
			Budget: rapid.IntRange(0, 10).Draw(t, "budget"),
			Unit:   rapid.SampledFrom(someNames).Draw(t, "unit"),
		}
		p := s.Rebalance(r)
		moves := 0
		for _, step := range p.Steps {
			u := w.units[step.Unit]
			if step.Cause != schedule.CodeRebalance {
				continue // of what has a place now
			}
			moves++
			if u.NotMovable || u.NotPreemptible || u.Hold || u.MachineID != "" {
				t.Errorf("%s, but it is not to be moved: %+v", step, u)
			}
		}
		if moves > r.Budget {
			t.Errorf("%d moves, of %d", moves, r.Budget)
		}
		w.apply(p)
		for _, v := range schedule.Check(w.cluster()) {
			t.Errorf("after the plan: %s", v)
		}
		if again := s.Rebalance(r); moves < r.Budget && len(again.Steps) > 0 {
			t.Errorf("%+v: after %d moves the second plan is\n%safter\n%s%+v", r, moves, again, p, w.cluster())
		}
	})
}

func (w *world) drawChange(t *rapid.T) string {
	name := rapid.SampledFrom(someNames).Draw(t, "unit")
	id := rapid.SampledFrom(someIDs).Draw(t, "machine")
	switch rapid.IntRange(0, 5).Draw(t, "change") {
	case 0:
		m := drawMachine(t, id)
		must(w.setMachine(m))
		return fmt.Sprintf("set %+v", m)
	case 1:
		w.removeMachine(id)
		return "lose machine " + id
	case 2:
		u := drawUnit(t, name)
		must(w.setUnit(u))
		return fmt.Sprintf("set %+v", u)
	case 3:
		w.removeUnit(name)
		return "lose unit " + name
	case 4:
		must(w.place(name, id))
		return "place " + name + " on " + id
	default:
		w.unplace(name)
		return "unplace " + name
	}
}

// useFleetOptions leaves units and machines nothing but what fleet knows.
func (w *world) useFleetOptions() {
	for name, u := range w.units {
		w.units[name] = schedule.Unit{
			Name: u.Name, Active: u.Active, Generation: u.Generation, Priority: u.Priority, MachineID: u.MachineID,
			Metadata: u.Metadata, MachineOf: u.MachineOf, Conflicts: u.Conflicts, Replaces: u.Replaces, Global: u.Global,
		}
	}
	for id, m := range w.machines {
		w.machines[id] = schedule.Machine{ID: m.ID, Metadata: m.Metadata}
	}
}

// The plain scan is the meaning of the index: each unit, in the order of
// placement, goes to the machine with fewest units of those that WhyNot has
// nothing against.
func TestTheIndexFindsTheMachineThatAScanFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.useFleetOptions()
		w.opts = schedule.Options{}
		w.placed = map[string]string{}
		for name, u := range w.units {
			u.MachineOf, u.Replaces = nil, nil
			w.units[name] = u
		}
		p := w.compute(t)
		w.scan()
		want := w.placed
		w.placed = map[string]string{}
		if w.apply(p); !maps.Equal(w.placed, want) {
			t.Errorf("got %v, want %v\n%+v", w.placed, want, w.cluster())
		}
	})
}

func (w *world) scan() {
	c := w.cluster()
	slices.SortFunc(c.Machines, func(a, b schedule.Machine) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Units, func(a, b schedule.Unit) int {
		if a.Priority != b.Priority {
			return b.Priority - a.Priority
		}
		if n := w.choice(a) - w.choice(b); n != 0 {
			return n
		}
		return strings.Compare(a.Name, b.Name)
	})
	c.Placed = w.placed
	for _, u := range c.Units {
		if !u.Active || u.Global {
			continue
		}
		best, least := "", 0
		for _, m := range c.Machines {
			n := len(w.globals(m.ID))
			for _, at := range w.placed {
				if at == m.ID {
					n++
				}
			}
			if len(schedule.WhyNot(c, u.Name, m.ID)) == 0 && (best == "" || n < least) {
				best, least = m.ID, n
			}
		}
		if best != "" {
			w.placed[u.Name] = best
		}
	}
}

// choice is the logarithm of how many machines could take the unit, were they
// empty; a unit with conflicts counts half of them.
func (w *world) choice(u schedule.Unit) int {
	n := 0
	for id, m := range w.machines {
		alone := u
		alone.Conflicts = nil
		c := schedule.Cluster{Machines: []schedule.Machine{m}, Units: []schedule.Unit{alone}}
		if len(schedule.WhyNot(c, u.Name, id)) == 0 {
			n++
		}
	}
	picky := len(u.Conflicts) > 0
	for _, v := range w.units {
		for _, glob := range v.Conflicts {
			ok, _ := path.Match(glob, u.Name)
			picky = picky || ok
		}
	}
	if picky {
		n /= 2
	}
	return bits.Len(uint(n))
}
