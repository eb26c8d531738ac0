package schedule_test

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strakeproject/strake/schedule"
)

var all = flag.Bool("schedule.all", false, "judge packing by all instances, not one of each set")

// TestPackUsesFewMachines judges Pack by the classes of the literature, all
// machines equal and all units new. With -v it prints the comparison, for all
// instances with -schedule.all.
func TestPackUsesFewMachines(t *testing.T) {
	t.Logf("%-28s %6s %6s %8s %10s", "instances", "bound", "asked", "reached", "each")
	for _, set := range packingSets {
		if !*all {
			set.count = 1
		}
		reached := 0
		start := time.Now()
		for _, in := range set.instances(1000) {
			reached += machinesUsed(t, in.cluster())
		}
		each := time.Since(start) / time.Duration(set.count)
		t.Logf("%-28s %6d %6d %8d %10s", set.name, set.bound, set.accept, reached, each.Round(time.Millisecond))
		if *all && reached > set.accept {
			t.Errorf("%s: used %d machines, want at most %d", set.name, reached, set.accept)
		}
	}
}

// machinesUsed packs a cluster, checks the result, and counts.
func machinesUsed(t *testing.T, c schedule.Cluster) int {
	p, err := schedule.Compute(c, schedule.Options{Strategy: schedule.Pack})
	if err != nil || len(p.Unplaced) > 0 {
		t.Fatalf("got %d unplaced, error %v", len(p.Unplaced), err)
	}
	used := map[string]bool{}
	for _, s := range p.Steps {
		c.Placed[s.Unit] = s.To
		used[s.To] = true
	}
	for _, v := range schedule.Check(c) {
		t.Errorf("after the plan: %s", v)
	}
	return len(used)
}

// TestPackIsDense packs 100,000 units on 10,000 machines. Of uneven machines it
// is their size that counts.
func TestPackIsDense(t *testing.T) {
	if !*all {
		t.Skip("takes long; run with -schedule.all")
	}
	t.Logf("%-20s %8s %8s", "units", "asked", "reached")
	for _, row := range []struct {
		classes int
		equal   bool
		accept  float64
	}{
		{60, true, 3925},
		{500, true, 4250},
		{0, true, 4360},
		{60, false, 3850},
		{500, false, 4120},
		{0, false, 4330},
	} {
		c := schedule.Cluster{Machines: machinesOf(1601, 10000, row.equal), Units: unitsOf(1602, 100000, row.classes), Placed: map[string]string{}}
		plan(t, c, schedule.Pack)
		reached := costOf(c)
		t.Logf("classes=%-3d equal=%-5v %8.0f %8.0f", row.classes, row.equal, row.accept, reached)
		if reached > row.accept {
			t.Errorf("classes=%d equal=%v: machines in use cost %.0f, want at most %.0f", row.classes, row.equal, reached, row.accept)
		}
	}
}

// plan carries out the plan of a cluster and returns it.
func plan(t *testing.T, c schedule.Cluster, strategy schedule.Strategy) schedule.Plan {
	t.Helper()
	p, err := schedule.Compute(c, schedule.Options{Strategy: strategy})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Steps {
		c.Placed[s.Unit] = s.To
	}
	return p
}

// costOf is how many machines of the first shape those in use amount to.
func costOf(c schedule.Cluster) float64 {
	used := map[string]bool{}
	for _, id := range c.Placed {
		used[id] = true
	}
	cost := 0.0
	for _, m := range c.Machines {
		if used[m.ID] {
			cost += (float64(m.Capacity.CPU)/32000 + float64(m.Capacity.Memory)/float64(64*gib)) / 2
		}
	}
	return cost
}

// TestBalanceIsEven places 100,000 units on 10,000 machines.
func TestBalanceIsEven(t *testing.T) {
	if !*all {
		t.Skip("takes long; run with -schedule.all")
	}
	for _, row := range []struct {
		equal  bool
		accept float64
	}{{true, 49}, {false, 48}} {
		c := schedule.Cluster{Machines: machinesOf(1601, 10000, row.equal), Units: unitsOf(1602, 100000, 0), Placed: map[string]string{}}
		plan(t, c, schedule.Balance)
		most := largestShare(c)
		t.Logf("equal=%-5v asked %.0f %%, reached %.1f %%", row.equal, row.accept, most)
		if most > row.accept {
			t.Errorf("equal=%v: the largest used share is %.1f %%, want at most %.0f %%", row.equal, most, row.accept)
		}
	}
}

// largestShare is the largest share of a resource used on any machine, in per
// cent.
func largestShare(c schedule.Cluster) float64 {
	taken := map[string]schedule.Resources{}
	for _, u := range c.Units {
		r := taken[c.Placed[u.Name]]
		r.CPU += u.Request.CPU
		r.Memory += u.Request.Memory
		r.Disk += u.Request.Disk
		taken[c.Placed[u.Name]] = r
	}
	most := 0.0
	for _, m := range c.Machines {
		r := taken[m.ID]
		most = max(most, float64(r.CPU)/float64(m.Capacity.CPU), float64(r.Memory)/float64(m.Capacity.Memory), float64(r.Disk)/float64(m.Capacity.Disk))
	}
	return 100 * most
}

// TestConstrainedUnitsFit places services with everything on clusters that are
// nearly full, and counts what is left over.
func TestConstrainedUnitsFit(t *testing.T) {
	for _, row := range []struct {
		machines, services int
		strategy           schedule.Strategy
		unplaced           int // at most
		machinesUsed       int // at most, if not 0
		cost               float64
		skew               int // in sum, at most
		long               bool
	}{
		{260, 400, schedule.Balance, 0, 0, 0, 44, false},
		{255, 400, schedule.Balance, 50, 0, 0, 44, true},
		{280, 400, schedule.Pack, 0, 277, 0, 44, true},
		{1000, 400, schedule.Pack, 0, 0, 278, 44, true},
		{10000, 4000, schedule.Balance, 0, 0, 0, 348, true},
		{10000, 4000, schedule.LeastLoaded, 0, 0, 0, 348, true},
		{10000, 4000, schedule.Pack, 0, 0, 0, 348, true},
	} {
		if row.long && !*all {
			continue
		}
		c := newFullEstate(1800, 1801, row.machines, row.services).cluster()
		start := time.Now()
		p := plan(t, c, row.strategy)
		took := time.Since(start)
		for _, v := range schedule.Check(c) {
			t.Errorf("%d machines: %s", row.machines, v)
		}
		used := map[string]bool{}
		for _, id := range c.Placed {
			used[id] = true
		}
		cost := costOf(c)
		skew, worst := skewOf(c)
		t.Logf("%d machines, strategy %d: asked/reached: unplaced %d/%d, machines %d/%d, cost %.0f/%.0f, skew %d/%d, worst 1/%d, in %s",
			row.machines, row.strategy, row.unplaced, p.Stats.Unplaced, row.machinesUsed, len(used), row.cost, cost, row.skew, skew, worst, took.Round(time.Millisecond))
		if p.Stats.Unplaced > row.unplaced || row.machinesUsed > 0 && len(used) > row.machinesUsed || row.cost > 0 && cost > row.cost ||
			skew > row.skew || worst > 1 {
			t.Errorf("%d machines, strategy %d: not as asked", row.machines, row.strategy)
		}
	}
}

// skewOf is by how many units the zones differ, of all services that are to be
// spread in sum, and of the worst.
func skewOf(c schedule.Cluster) (sum, worst int) {
	zone := map[string]string{}
	for _, m := range c.Machines {
		zone[m.ID] = m.Metadata["zone"]
	}
	counts := map[string]map[string]int{}
	for _, u := range c.Units {
		if id := c.Placed[u.Name]; id != "" && len(u.Spread.Keys) > 0 {
			service, _, _ := strings.Cut(u.Name, "@")
			if counts[service] == nil {
				counts[service] = map[string]int{"z0": 0, "z1": 0, "z2": 0, "z3": 0, "z4": 0}
			}
			counts[service][zone[id]]++
		}
	}
	for _, byZone := range counts {
		n := slices.Sorted(maps.Values(byZone))
		sum += n[len(n)-1] - n[0]
		worst = max(worst, n[len(n)-1]-n[0])
	}
	return sum, worst
}

// TestEmptyingMachines lets 60 or 75 of 100 units end on 1,000 machines, and has
// the rest moved together.
func TestEmptyingMachines(t *testing.T) {
	if !*all {
		t.Skip("takes long; run with -schedule.all")
	}
	for _, row := range []struct{ kept, budget, accept int }{
		{40, 200, 936},
		{40, 1000, 752},
		{40, 1 << 30, 278},
		{25, 200, 874},
		{25, 1000, 585},
		{25, 1 << 30, 176},
	} {
		c := schedule.Cluster{Machines: machinesOf(1601, 1000, true), Placed: map[string]string{}}
		rng := splitMix(1950)
		for i := range 16000 {
			c.Units = append(c.Units, schedule.Unit{Name: fmt.Sprintf("u%05d.service", i), Active: true, Request: rng.request()})
		}
		plan(t, c, schedule.LeastLoaded)
		c.Units = slices.DeleteFunc(c.Units, func(u schedule.Unit) bool {
			gone := rng.intn(100) >= row.kept
			if gone {
				delete(c.Placed, u.Name)
			}
			return gone
		})
		s := schedule.New(schedule.Options{Strategy: schedule.Pack})
		must(s.Reset(c))
		start := time.Now()
		p := s.Rebalance(schedule.Rebalance{Goal: schedule.Empty, Budget: row.budget})
		took := time.Since(start)
		for _, step := range p.Steps {
			c.Placed[step.Unit] = step.To
		}
		used := map[string]bool{}
		for _, id := range c.Placed {
			used[id] = true
		}
		again := s.Rebalance(schedule.Rebalance{Goal: schedule.Empty, Budget: row.budget})
		t.Logf("kept %d %%, budget %d: asked %d, reached %d machines with %d moves in %s", row.kept, row.budget, row.accept, len(used), len(p.Steps), took.Round(time.Millisecond))
		if len(used) > row.accept || len(p.Steps) > row.budget || len(p.Steps) < row.budget && len(again.Steps) > 0 {
			t.Errorf("kept %d %%, budget %d: not as asked; a second call moves %d", row.kept, row.budget, len(again.Steps))
		}
	}
}

// TestPreemptionMakesLittleMess fills machines with units of low priority, and
// then has one large unit of high priority for each.
func TestPreemptionMakesLittleMess(t *testing.T) {
	for _, row := range []struct {
		machines, accept int
		long             bool
	}{{100, 498, false}, {500, 1939, true}} {
		if row.long && !*all {
			continue
		}
		rng := splitMix(1970)

		s := schedule.New(schedule.Options{Preempt: true, MaxVictims: 1 << 30})
		for _, m := range machinesOf(1601, row.machines, true) {
			must(s.SetMachine(m))
		}
		for i, misses := 0, 0; misses < 200; i++ {
			u := schedule.Unit{Name: fmt.Sprintf("u%05d.service", i), Active: true, NotPreemptible: true, Request: rng.request(), Priority: rng.intn(3)}
			must(s.SetUnit(u))
			if p := s.Plan(); len(p.Unplaced) > 0 {
				s.RemoveUnit(u.Name)
				s.Plan()
				misses++
				continue
			}
			u.NotPreemptible = false
			must(s.SetUnit(u))
		}
		s.Plan()
		for i := range row.machines {
			must(s.SetUnit(schedule.Unit{
				Name: fmt.Sprintf("v%05d.service", i), Active: true, Priority: 10,
				Request: schedule.Resources{CPU: 1000 * int64(rng.between(4, 16)), Memory: gib * int64(rng.between(4, 32)), Counters: map[string]int64{"slots": 1}},
			}))
		}
		start := time.Now()
		p := s.Plan()
		took := time.Since(start)
		direct, cascaded := 0, 0
		for _, step := range p.Steps {
			switch {
			case step.Cause == schedule.CodePreempted && step.By[0] == 'v':
				direct++
			case step.Cause == schedule.CodePreempted:
				cascaded++
			}
		}
		failed := slices.ContainsFunc(p.Unplaced, func(e schedule.Explanation) bool { return e.Unit[0] == 'v' })
		t.Logf("%d machines: asked %d victims, reached %d and %d of these, in %s", row.machines, row.accept, direct, cascaded, took.Round(time.Millisecond))
		if failed || direct > row.accept {
			t.Errorf("%d machines: %d victims, failed %v", row.machines, direct, failed)
		}
	}
}
