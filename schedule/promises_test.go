package schedule_test

import (
	"flag"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/strakeproject/strake/schedule"
)

var steps = flag.Int("schedule.steps", 1, "how many changes the Scheduler is followed through at least, against Compute; a million takes minutes")

// TestASchedulerPlansAsComputeDoesWhateverLedThere goes on until it has made
// -schedule.steps changes.
func TestASchedulerPlansAsComputeDoesWhateverLedThere(t *testing.T) {
	for made := 0; made < *steps && !t.Failed(); {
		rapid.Check(t, func(t *rapid.T) { made += followChanges(t) })
		if *steps > 100000 && made/100000 > (made-1500)/100000 {
			t.Logf("%d changes", made)
		}
	}
}

// FuzzEvents is the same, with histories from bytes.
func FuzzEvents(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("machines come and go, units come and go, and some steps are refused"))
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { followChanges(t) }))
}

// followChanges changes a world and compares plans as it goes. It returns how
// many changes it made.
func followChanges(t *rapid.T) (made int) {
	w := drawWorld(t)
	var log []string
	for range rapid.IntRange(1, 12).Draw(t, "plans") {
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			log = append(log, w.drawChange(t))
			made++
		}
		want := w.compute(t)
		got := w.live.Plan()
		log = append(log, "plan:\n"+got.String())
		if got.String() != want.String() || got.Stats != want.Stats || !reflect.DeepEqual(got, want) {
			t.Fatalf("got:\n%s%+v\nwant:\n%s%+v\nafter:\n%s", got, got.Stats, want, want.Stats, strings.Join(log, "\n"))
		}
		w.apply(got)
		// Some steps are refused.
		for _, s := range got.Steps {
			if rapid.IntRange(0, 5).Draw(t, "refused") == 0 {
				made++
				w.unplace(s.Unit)
				if s.From != "" {
					must(w.place(s.Unit, s.From))
				}
			}
		}
	}
	return made
}

func TestAPlanIsTheSameOnAnyNumberOfProcessors(t *testing.T) {
	c := newFullEstate(1800, 1801, 100, 40).cluster()
	for _, strategy := range []schedule.Strategy{schedule.Balance, schedule.LeastLoaded, schedule.Pack} {
		var want string
		for _, n := range []int{1, 2, 8} {
			before := runtime.GOMAXPROCS(n)
			p, err := schedule.Compute(c, schedule.Options{Strategy: strategy})
			runtime.GOMAXPROCS(before)
			if err != nil {
				t.Fatal(err)
			}
			if want == "" {
				want = digest(p)
			}
			if got := digest(p); got != want {
				t.Errorf("%s on %d processors: got digest %s, want %s", strategyName(strategy), n, got, want)
			}
		}
	}
}

func TestACloneIsAsTheOriginalAndApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.apply(w.live.Plan())
		clone := w.live.Clone()
		before := maps.Collect(w.live.All())
		id := rapid.SampledFrom(someIDs).Draw(t, "lost")
		clone.RemoveMachine(id)
		got := clone.Plan()
		if now := maps.Collect(w.live.All()); !maps.Equal(now, before) {
			t.Fatalf("the clone's plan changed the original from %v to %v", before, now)
		}
		w.removeMachine(id)
		if want := w.live.Plan(); got.String() != want.String() {
			t.Errorf("%s lost: the clone's plan is\n%sthe original's\n%s", id, got, want)
		}
	})
}

// Between waves, and while one is made, no port is held twice, and no machine has
// more of a spread group than may be, unless it had before.
func TestNoWaveBringsTogetherWhatIsLimited(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		p := w.compute(t)
		on := map[string]map[string]schedule.Unit{} // a moving unit is on two machines
		put := func(id string, u schedule.Unit) {
			if on[id] == nil {
				on[id] = map[string]schedule.Unit{}
			}
			on[id][u.Name] = u
		}
		for name, id := range w.placed {
			if u := w.units[name]; u.Active && !u.Global {
				put(id, u)
			}
		}
		before := map[string]int{}
		limits := map[string]int{}
		for _, u := range w.units {
			if g := groupOf(u); u.Active && u.MaxPerMachine > 0 && (limits[g] == 0 || u.MaxPerMachine < limits[g]) {
				limits[g] = u.MaxPerMachine
			}
		}
		excess := func(id string) (names []string) {
			ports, groups := map[schedule.Port]int{}, map[string]int{}
			for _, u := range on[id] {
				held := map[schedule.Port]bool{}
				for _, port := range u.Ports {
					held[port] = true
				}
				for _, n := range u.Given {
					held[schedule.Port{Number: n}], held[schedule.Port{Number: n, UDP: true}] = true, true
				}
				for port := range held {
					ports[port]++
				}
				groups[groupOf(u)]++
			}
			for port, n := range ports {
				if n > max(1, before[id+port.String()]) {
					names = append(names, port.String())
				}
				before[id+port.String()] = max(before[id+port.String()], 0)
			}
			for g, n := range groups {
				if limits[g] > 0 && n > max(limits[g], before[id+g]) {
					names = append(names, g)
				}
			}
			return names
		}
		for id := range on {
			for _, u := range on[id] {
				before[id+groupOf(u)]++
				for _, port := range u.Ports {
					before[id+port.String()]++
				}
				for _, n := range u.Given {
					before[id+schedule.Port{Number: n}.String()]++
					before[id+schedule.Port{Number: n, UDP: true}.String()]++
				}
			}
		}
		for _, s := range p.Steps {
			if s.StopFirst {
				delete(on[s.From], s.Unit)
			}
		}
		for rest := p.Steps; len(rest) > 0; {
			n := slices.IndexFunc(rest, func(s schedule.Step) bool { return s.Wave != rest[0].Wave })
			if n < 0 {
				n = len(rest)
			}
			for _, s := range rest[:n] {
				if s.To != "" {
					u := w.units[s.Unit]
					u.Given = s.Ports
					put(s.To, u)
				}
			}
			for id := range on {
				if _, alive := w.machines[id]; !alive {
					continue
				}
				if names := excess(id); names != nil {
					t.Fatalf("wave %d: too many on %s of %v\nplan:\n%s%+v", rest[0].Wave, id, names, p, w.cluster())
				}
			}
			for _, s := range rest[:n] {
				delete(on[s.From], s.Unit)
			}
			rest = rest[n:]
		}
	})
}

func groupOf(u schedule.Unit) string {
	if u.Spread.Group != "" {
		return u.Spread.Group
	}
	if i := strings.IndexByte(u.Name, '@'); i >= 0 {
		return u.Name[:i+1]
	}
	return u.Name
}

// A unit and one that it must run beside arrive together.
func TestUnitsThatRunTogetherMoveTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		p := w.compute(t)
		steps := map[string]schedule.Step{}
		for _, s := range p.Steps {
			steps[s.Unit] = s
		}
		for name, u := range w.units {
			s, ok := steps[name]
			if !ok || s.To == "" || u.Global {
				continue
			}
			for _, peer := range u.MachineOf {
				if ps, ok := steps[peer]; ok && ps.To != "" && (ps.To != s.To || ps.Wave > s.Wave) {
					t.Errorf("%s comes in wave %d to %s, and %s, which it needs, in %d to %s\n%s", name, s.Wave, s.To, peer, ps.Wave, ps.To, p)
				}
			}
		}
	})
}

func TestConflictsWorkBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawUnit(t, "a"), drawUnit(t, "b")
		conflicts := func(placed, other schedule.Unit) bool {
			c := schedule.Cluster{Machines: []schedule.Machine{{ID: "m"}}, Units: []schedule.Unit{placed, other}, Placed: map[string]string{placed.Name: "m"}}
			return slices.ContainsFunc(schedule.WhyNot(c, other.Name, "m"), func(r schedule.Reason) bool { return r.Code == schedule.CodeConflict })
		}
		a.Active, b.Active, a.Global, b.Global = true, true, false, false
		if conflicts(a, b) != conflicts(b, a) {
			t.Errorf("%v beside %v: %v, the other way %v", b, a, conflicts(a, b), conflicts(b, a))
		}
	})
}

// A machine that is lost and comes back moves nobody but its own, and levelling
// then comes close to what a fresh plan would be.
func TestAMachineThatReturnsIsFilledByLevelling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(schedule.Options{})
		for i := range rapid.IntRange(2, 6).Draw(t, "machines") {
			must(w.setMachine(schedule.Machine{ID: fmt.Sprintf("m%d", i), Capacity: &schedule.Resources{CPU: 64000, Memory: 64 * gib}}))
		}
		for i := range rapid.IntRange(1, 40).Draw(t, "units") {
			must(w.setUnit(schedule.Unit{Name: fmt.Sprintf("u%02d", i), Active: true, Request: schedule.Resources{
				CPU: rapid.Int64Range(50, 1500).Draw(t, "cpu"), Memory: rapid.Int64Range(1, 1500).Draw(t, "memory") * mib,
			}}))
		}
		fresh := w.compute(t)
		w.apply(w.live.Plan())
		even := largestShare(w.cluster())
		was := maps.Clone(w.placed)
		back := w.machines["m0"]
		w.removeMachine("m0")
		w.apply(w.live.Plan())
		must(w.setMachine(back))
		w.apply(w.live.Plan())
		for name, id := range was {
			if id != "m0" && w.placed[name] != id {
				t.Errorf("%s went from %s to %s", name, id, w.placed[name])
			}
		}
		w.apply(w.live.Rebalance(schedule.Rebalance{Goal: schedule.Level, Budget: 1000, MinGain: 1}))
		if got := largestShare(w.cluster()); got > even+100.0/16 {
			t.Errorf("levelled to %.1f %%, a fresh plan has %.1f %%\n%s%v", got, even, fresh, w.placed)
		}
	})
}

// More machines, more capacity or fewer units never cost a unit its place, nor
// are more units without one.
func TestMoreRoomIsNeverWorse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.opts.Preempt = false
		followed := map[string]bool{}
		for name, u := range w.units {
			for _, peer := range u.MachineOf {
				followed[peer] = true
			}
			u.Replaces, u.Global, u.Spread.MaxSkew = nil, false, 0
			w.units[name] = u
		}
		w.apply(w.compute(t))
		before := w.compute(t)
		placed := maps.Clone(w.placed)
		gone := ""
		switch rapid.IntRange(0, 2).Draw(t, "what") {
		case 0:
			must(w.setMachine(schedule.Machine{ID: "new"}))
		case 1:
			for id, m := range w.machines {
				if m.Capacity != nil {
					more := *m.Capacity
					more.CPU, more.Memory = more.CPU+3, more.Memory+3
					m.Capacity = &more
					w.machines[id] = m
				}
			}
		default:
			gone = rapid.SampledFrom(someNames).Draw(t, "gone")
			if followed[gone] {
				return
			}
			delete(w.units, gone)
			delete(w.placed, gone)
		}
		after := w.compute(t)
		w.apply(after)
		for name := range placed {
			if name != gone && w.placed[name] == "" {
				t.Errorf("%s lost its place\n%s%+v", name, after, w.cluster())
			}
		}
		if len(after.Unplaced) > len(before.Unplaced) {
			t.Errorf("%d are unplaced, before %d\n%s%+v", len(after.Unplaced), len(before.Unplaced), after, w.cluster())
		}
	})
}

// With pre-emption, none is without a place that units of lower priority have.
func TestPriorityComesFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.opts.Preempt = true
		for name, u := range w.units {
			u.MachineOf, u.Replaces, u.Global, u.Spread = nil, nil, false, schedule.Spread{}
			w.units[name] = u
		}
		p := w.compute(t)
		w.apply(p)
		for _, e := range p.Unplaced {
			for id := range w.machines {
				c := w.cluster()
				for name, at := range c.Placed {
					v := w.units[name]
					if at == id && v.Priority < w.units[e.Unit].Priority && !v.NotPreemptible && v.MachineID == "" && groupOf(v) != groupOf(w.units[e.Unit]) {
						delete(c.Placed, name)
					}
				}
				if reasons := schedule.WhyNot(c, e.Unit, id); len(reasons) == 0 {
					t.Errorf("%s has no place, but would on %s without those of lower priority\n%s%+v", e.Unit, id, p, w.cluster())
				}
			}
		}
	})
}

// Where there is room, a spread is as even as can be, and a hard one never more
// uneven than it may.
func TestASpreadIsEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(drawOptions(t))
		zones := rapid.IntRange(1, 4).Draw(t, "zones")
		for i := range rapid.IntRange(zones, 8).Draw(t, "machines") {
			must(w.setMachine(schedule.Machine{ID: fmt.Sprintf("m%d", i), Metadata: map[string]string{"zone": fmt.Sprint(i % zones)}}))
		}
		skew := rapid.IntRange(0, 3).Draw(t, "max skew")
		n := rapid.IntRange(1, 20).Draw(t, "units")
		for i := range n {
			must(w.setUnit(schedule.Unit{Name: fmt.Sprintf("u@%02d", i), Active: true, Spread: schedule.Spread{Keys: []string{"zone"}, MaxSkew: skew}}))
		}
		w.apply(w.live.Plan())
		counts := make([]int, zones)
		for _, id := range w.placed {
			zone, err := strconv.Atoi(w.machines[id].Metadata["zone"])
			must(err)
			counts[zone]++
		}
		if got, most := slices.Max(counts)-slices.Min(counts), max(1, skew); len(w.placed) != n || got > most {
			t.Errorf("placed %d of %d, by zone %v, want at most %d apart", len(w.placed), n, counts, most)
		}
	})
}

// Small cases are compared with the best of all ways.
func TestSmallCasesAreNearlyOptimal(t *testing.T) {
	rng := splitMix(1)
	const cases = 300
	worse := 0
	for i := range cases {
		c := schedule.Cluster{Placed: map[string]string{}}
		for m := range rng.between(1, 4) {
			c.Machines = append(c.Machines, schedule.Machine{ID: fmt.Sprint("m", m), Capacity: &schedule.Resources{CPU: int64(rng.between(2, 10)), Memory: int64(rng.between(2, 10))}})
		}
		for u := range rng.between(1, 6) {
			c.Units = append(c.Units, schedule.Unit{Name: fmt.Sprint("u", u), Active: true, Request: schedule.Resources{CPU: int64(rng.between(1, 6)), Memory: int64(rng.between(1, 6))}})
		}
		fewest, used := exhaust(c, 0)
		p, err := schedule.Compute(c, schedule.Options{})
		must(err)
		if p.Stats.Unplaced > fewest {
			worse++
		}
		p = plan(t, c, schedule.Pack)
		if p.Stats.Unplaced == fewest && usedMachines(c) > used+1 {
			t.Errorf("case %d: Pack uses %d machines, of %d are enough: %+v", i, usedMachines(c), used, c)
		}
	}
	if worse*20 > cases {
		t.Errorf("Balance leaves more without a place than need be in %d of %d cases", worse, cases)
	}
}

// exhaust returns the fewest units that must be left over, and the fewest
// machines used then.
func exhaust(c schedule.Cluster, from int) (unplaced, used int) {
	if from == len(c.Units) {
		on := map[string]bool{}
		for _, id := range c.Placed {
			on[id] = true
		}
		return len(c.Units) - len(c.Placed), len(on)
	}
	u := c.Units[from]
	unplaced, used = exhaust(c, from+1)
	for _, m := range c.Machines {
		if m.Capacity.CPU < u.Request.CPU || m.Capacity.Memory < u.Request.Memory {
			continue
		}
		m.Capacity.CPU -= u.Request.CPU
		m.Capacity.Memory -= u.Request.Memory
		c.Placed[u.Name] = m.ID
		n, on := exhaust(c, from+1)
		if n < unplaced || n == unplaced && on < used {
			unplaced, used = n, on
		}
		delete(c.Placed, u.Name)
		m.Capacity.CPU += u.Request.CPU
		m.Capacity.Memory += u.Request.Memory
	}
	return unplaced, used
}

func TestAPlanWithNothingToDoAllocatesNothing(t *testing.T) {
	s := schedule.New(schedule.Options{})
	must(s.Reset(newFullEstate(1800, 1801, 60, 10).cluster()))
	s.Plan()
	if n := testing.AllocsPerRun(100, func() { s.Plan() }); n > 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
