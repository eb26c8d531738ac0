package schedule_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strakeproject/strake/schedule"
)

// judgePacking judges Pack by the classes of the literature, all machines equal
// and all units new.
func judgePacking(b *board) {
	for _, set := range packingSets {
		name := "machines used, " + set.name
		accept := set.accept
		if !b.long {
			set.count = 1
			accept = set.short
		}
		reached := 0
		for _, in := range set.instances(*base) {
			reached += machinesUsed(b.t, in.cluster())
		}
		if b.long {
			name = fmt.Sprintf("%s (bound %d)", name, set.bound)
		}
		b.most(name, float64(accept), float64(reached))
	}
}

// machinesUsed packs a cluster, checks the result, and counts.
func machinesUsed(t *testing.T, c schedule.Cluster) int {
	p, err := schedule.Compute(c, schedule.Options{Strategy: schedule.Pack})
	if err != nil || len(p.Unplaced) > 0 {
		t.Fatalf("got %d unplaced, error %v", len(p.Unplaced), err)
	}
	for _, s := range p.Steps {
		c.Placed[s.Unit] = s.To
	}
	for _, v := range schedule.Check(c) {
		t.Errorf("after the plan: %s", v)
	}
	return usedMachines(c)
}

// judgeDensity packs 100,000 units on 10,000 machines. Of uneven machines it is
// their size that counts.
func judgeDensity(b *board) {
	if !b.long {
		return
	}
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
		c := large(row.classes, row.equal)
		plan(b.t, c, schedule.Pack)
		b.most(fmt.Sprintf("size of machines used for 100,000 units, classes %d, equal %v", row.classes, row.equal), row.accept, costOf(c))
	}
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

// judgeEvenness balances 100,000 units on 10,000 machines.
func judgeEvenness(b *board) {
	if !b.long {
		return
	}
	for equal, accept := range map[bool]float64{true: 49, false: 48} {
		c := large(0, equal)
		plan(b.t, c, schedule.Balance)
		b.most(fmt.Sprintf("largest used share (%%), equal %v", equal), accept, largestShare(c))
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

// judgeConstraints places services with constraints of all kinds on clusters
// that are nearly full, and counts what is left over.
func judgeConstraints(b *board) {
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
		if row.long && !b.long {
			continue
		}
		c := newFullEstate(*base+800, *base+801, row.machines, row.services).cluster()
		p := plan(b.t, c, row.strategy)
		name := fmt.Sprintf("%d services, %d machines, %s: ", row.services, row.machines, strategyName(row.strategy))
		b.most(name+"violations", 0, float64(len(schedule.Check(c))))
		b.most(name+"unplaced", float64(row.unplaced), float64(p.Stats.Unplaced))
		if row.machinesUsed > 0 {
			b.most(name+"machines", float64(row.machinesUsed), float64(usedMachines(c)))
		}
		if row.cost > 0 {
			b.most(name+"size of machines used", row.cost, costOf(c))
		}
		sum, worst := skewOf(c)
		b.most(name+"skew", float64(row.skew), float64(sum))
		b.most(name+"worst skew", 1, float64(worst))
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

// judgeOnline has units come and go, one coming at each tick; those that do not
// fit are turned away.
func judgeOnline(b *board) {
	if !b.long {
		return
	}
	for _, row := range []struct{ machines, accept int }{{180, 90}, {170, 250}, {160, 520}} {
		b.most(fmt.Sprintf("units turned away of 40,000 that come and go, %d machines, Pack", row.machines), float64(row.accept), float64(turnedAway(b.t, row.machines)))
	}
}

func turnedAway(t *testing.T, machines int) int {
	rng := splitMix(*base + 700)
	s := schedule.New(schedule.Options{Strategy: schedule.Pack})
	c := schedule.Cluster{}
	for i := range machines {
		c.Machines = append(c.Machines, schedule.Machine{ID: fmt.Sprintf("m%04d", i), Capacity: &schedule.Resources{CPU: 64000, Memory: 256 * gib}})
	}
	must(s.Reset(c))
	const ticks = 40000
	ends := make([][]string, ticks)
	away := 0
	for tick := range ticks {
		for _, name := range ends[tick] {
			s.RemoveUnit(name)
		}
		cores := int64(1) << rng.pick(30, 30, 20, 12, 6, 2)
		perCore := int64(2) << rng.pick(35, 45, 20)
		life := rng.octaves(30, 9)
		u := schedule.Unit{Name: fmt.Sprintf("u%05d.service", tick), Active: true, Request: schedule.Resources{CPU: 1000 * cores, Memory: gib * cores * perCore}}
		must(s.SetUnit(u))
		if p := s.Plan(); len(p.Unplaced) > 0 {
			s.RemoveUnit(u.Name)
			away++
		} else if tick+life < ticks {
			ends[tick+life] = append(ends[tick+life], u.Name)
		}
	}
	return away
}

// judgeEmptying lets 60 or 75 of 100 units end on 1,000 machines, and has the
// rest moved together.
func judgeEmptying(b *board) {
	if !b.long {
		return
	}
	for _, row := range []struct{ kept, budget, accept int }{
		{40, 200, 936},
		{40, 1000, 752},
		{40, 1 << 30, 278},
		{25, 200, 874},
		{25, 1000, 585},
		{25, 1 << 30, 176},
	} {
		c := schedule.Cluster{Machines: machinesOf(*base+601, 1000, true), Placed: map[string]string{}}
		rng := splitMix(*base + 950)
		for i := range 16000 {
			c.Units = append(c.Units, schedule.Unit{Name: fmt.Sprintf("u%05d.service", i), Active: true, Request: rng.request()})
		}
		plan(b.t, c, schedule.LeastLoaded)
		c.Units = slices.DeleteFunc(c.Units, func(u schedule.Unit) bool {
			gone := rng.intn(100) >= row.kept
			if gone {
				delete(c.Placed, u.Name)
			}
			return gone
		})
		s := schedule.New(schedule.Options{Strategy: schedule.Pack})
		must(s.Reset(c))
		var p schedule.Plan
		took := timed(func() { p = s.Rebalance(schedule.Rebalance{Goal: schedule.Empty, Budget: row.budget}) })
		for _, step := range p.Steps {
			c.Placed[step.Unit] = step.To
		}
		again := s.Rebalance(schedule.Rebalance{Goal: schedule.Empty, Budget: row.budget})
		name := fmt.Sprintf("%d %% of 16,000 units kept, moved together, budget %d: ", row.kept, row.budget)
		b.most(name+"machines", float64(row.accept), float64(usedMachines(c)))
		b.most(name+"moves", float64(row.budget), float64(len(p.Steps)))
		if row.budget == 1<<30 && len(again.Steps) > 0 {
			b.t.Errorf("%sa second call moves %d", name, len(again.Steps))
		}
		b.within(name+"time", 300*time.Millisecond, took)
	}
}

// judgePreemption fills machines with units of low priority, and then has one
// large unit of high priority for each. Victims that are replaced at the cost of
// units of yet lower priority are not counted.
func judgePreemption(b *board) {
	for _, row := range []struct {
		machines, accept int
		long             bool
	}{{100, 498, false}, {500, 1939, true}} {
		if row.long && !b.long {
			continue
		}
		s := filledByPriority(row.machines)
		var p schedule.Plan
		took := timed(func() { p = s.Plan() })
		victims, failed := 0, 0
		for _, step := range p.Steps {
			if step.Cause == schedule.CodePreempted && step.By[0] == 'v' {
				victims++
			}
		}
		for _, e := range p.Unplaced {
			if e.Unit[0] == 'v' {
				failed++
			}
		}
		name := fmt.Sprintf("one large unit for each of %d full machines: ", row.machines)
		b.most(name+"victims", float64(row.accept), float64(victims))
		b.most(name+"failed", 0, float64(failed))
		b.within(name+"time", time.Duration(row.machines)*time.Millisecond, took)
	}
}

func filledByPriority(machines int) *schedule.Scheduler {
	rng := splitMix(*base + 970)
	c := schedule.Cluster{Machines: machinesOf(*base+601, machines, true)}
	fill := schedule.New(schedule.Options{})
	must(fill.Reset(c))
	for i, misses := 0, 0; misses < 200; i++ {
		u := schedule.Unit{Name: fmt.Sprintf("u%05d.service", i), Active: true, Request: rng.request(), Priority: rng.intn(3)}
		must(fill.SetUnit(u))
		if p := fill.Plan(); len(p.Unplaced) > 0 {
			fill.RemoveUnit(u.Name)
			misses++
			continue
		}
		c.Units = append(c.Units, u)
	}
	fill.Plan()
	c.Placed = maps.Collect(fill.All())
	s := schedule.New(schedule.Options{Preempt: true, MaxVictims: 1 << 30})
	for i := range machines {
		c.Units = append(c.Units, schedule.Unit{
			Name: fmt.Sprintf("v%05d.service", i), Active: true, Priority: 10,
			Request: schedule.Resources{CPU: 1000 * int64(rng.between(4, 16)), Memory: gib * int64(rng.between(4, 32)), Counters: map[string]int64{"slots": 1}},
		})
	}
	must(s.Reset(c))
	return s
}
