package schedule

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// To look closely at every slot is the meaning of what is promised of them:
// whoever is there, the search finds the same victims.
func TestTheSearchForVictimsFindsThoseThatAScanFinds(t *testing.T) {
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		s := New(Options{})
		for slot := range rapid.IntRange(1, 24).Draw(t, "machines") {
			m := drawCapacity(t, slot)
			if m.Capacity != nil && slot > 0 {
				m.Capacity.CPU, m.Capacity.Memory = m.Capacity.CPU/4+30, m.Capacity.Memory/4+2500
			}
			s.addMachine(m)
		}
		for i := range rapid.IntRange(1, 250).Draw(t, "units") {
			if err := s.SetUnit(drawLodger(t, fmt.Sprintf("u%02d", i))); err != nil {
				t.Fatal(err)
			}
		}
		s.Plan()
		for i := range rapid.IntRange(1, 20).Draw(t, "groups") {
			v := drawLodger(t, fmt.Sprintf("v%02d", i))
			v.Priority++
			v.Request.CPU = rapid.Int64Range(8, 36).Draw(t, "much cpu")
			v.Request.Memory = rapid.Int64Range(500, 3500).Draw(t, "much memory")
			if err := s.SetUnit(v); err != nil {
				t.Fatal(err)
			}
		}
		s.link()
		b := &bouncer{s: s, slots: make([]lodging, len(s.machines))}
		for _, g := range s.pendingGroups() {
			limit := rapid.IntRange(2, 10).Draw(t, "limit")
			got, ok := b.leastMess(g, limit)
			want, can := b.scan(g, limit)
			if ok != can || got.mess != want.mess || !slices.Equal(got.victims, want.victims) {
				t.Fatalf("room for %s, of %d units: the search finds %+v, %v, the scan %+v, %v", g.name(), limit, got, ok, want, can)
			}
			if ok {
				found++
			}
		}
	})
	if found == 0 {
		t.Error("no room was to be made for any group")
	}
}

// scan is leastMess by a close look at all slots.
func (b *bouncer) scan(g group, limit int) (best preemption, ok bool) {
	n := newNeed(b.s, g)
	for slot := range b.s.couldTake(g.units).all {
		if p, can := b.at(slot, &n); can && p.units <= limit && (!ok || p.before(best.mess)) {
			best, ok = p, true
		}
	}
	return best, ok
}

// drawLodger draws a unit, mostly one that only requests resources.
func drawLodger(t *rapid.T, name string) Unit {
	u := Unit{Name: name, Active: true, Priority: rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 1, leastPriority}).Draw(t, "priority")}
	u.Request.CPU = rapid.SampledFrom([]int64{0, 1, 3, 5, 7, 9}).Draw(t, "cpu")
	u.Request.Memory = rapid.SampledFrom([]int64{0, 100, 300, 500, 700, 900}).Draw(t, "memory")
	u.Request.Disk = rapid.SampledFrom([]int64{0, 0, 40}).Draw(t, "disk")
	switch rapid.IntRange(0, 30).Draw(t, "kind") {
	case 0:
		u.NotPreemptible = true
	case 1:
		u.MachineID = "m01"
	case 2:
		u.Conflicts = []string{"?0*"}
	case 3:
		u.Ports = []Port{{Number: 80}}
	case 4:
		u.MachineOf = []string{"u00"}
	case 5:
		u.Spread.Group = "together"
	case 6:
		u.Global, u.Priority = true, 0
	case 7:
		u.Request.Counters = map[string]int64{"gpu": 1}
	}
	return u
}
