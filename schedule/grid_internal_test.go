package schedule

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The plain scan is the meaning of the indexes: whatever has come and gone, all
// find the same machine.
func TestTheIndexesFindTheMachineThatAScanFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(Options{Strategy: rapid.SampledFrom([]Strategy{Balance, Pack, LeastLoaded}).Draw(t, "strategy")})
		slots := rapid.IntRange(1, 40).Draw(t, "machines")
		for slot := range slots {
			s.addMachine(drawCapacity(t, slot))
		}
		for i := range rapid.IntRange(1, 60).Draw(t, "events") {
			slot := rapid.IntRange(0, slots-1).Draw(t, "slot")
			u := drawUser(t, i)
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				if s.alive.count() > 1 {
					s.RemoveMachine(s.machines[slot].ID)
				}
			case 1, 2:
				if err := s.SetMachine(drawCapacity(t, slot)); err != nil {
					t.Fatal(err)
				}
			case 3:
				s.RemoveUnit(u.Name)
				s.Unbind(u.Name)
			default:
				if err := s.SetUnit(u); err != nil {
					t.Fatal(err)
				}
				if err := s.Bind(u.Name, s.machines[slot].ID); err != nil {
					t.Fatal(err)
				}
			}
			mask := bitset{rapid.Uint64().Draw(t, "mask")}
			mask.and(s.alive)
			asks := drawUser(t, -1)
			someone := s.newUnit("someone")
			s.setSpec(someone, &asks)
			q := s.parcelOf([]*unit{someone})
			got, want := s.choose(mask, &q), s.scan(mask, &q).slot
			if s.scoring != LeastLoaded {
				got = s.grid.find(s, mask, &q)
			}
			if got != want {
				t.Fatalf("%v in %b: the index finds %d, the scan %d", asks, mask, got, want)
			}
			if s.scoring != LeastLoaded {
				n := rapid.IntRange(1, 5).Draw(t, "wanted")
				if got, want := s.grid.findFirst(s, mask, &q, n, nil), scanFirst(s, mask, &q, n); !slices.Equal(got, want) {
					t.Fatalf("%v in %b: the index finds %v, the scan %v", asks, mask, got, want)
				}
			}
		}
	})
}

// scanFirst is scan for the first of all.
func scanFirst(s *Scheduler, mask bitset, q *parcel, n int) (found []rank) {
	for mask = mask.copyTo(nil); len(found) < n; {
		best := s.scan(mask, q)
		if best.slot < 0 {
			break
		}
		found = append(found, best)
		mask.clear(best.slot)
	}
	return found
}

// Many that are alike, a few of another kind among them, on machines enough for
// the grid: each goes where a scan of all says.
func TestAListOfMachinesSaysWhatAScanSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(Options{Strategy: rapid.SampledFrom([]Strategy{Balance, Pack}).Draw(t, "strategy")})
		for slot := range 2 * fewSlots {
			m := drawCapacity(t, slot%5)
			m.ID = fmt.Sprintf("m%03d", slot)
			s.addMachine(m)
		}
		var kinds []Unit
		for range 2 {
			u := drawUser(t, 0)
			if rapid.Bool().Draw(t, "alone") {
				u.Conflicts = []string{"*"}
			}
			if rapid.Bool().Draw(t, "port") {
				u.Ports = []Port{{Number: 80}}
			}
			kinds = append(kinds, u)
		}
		for i := range rapid.IntRange(1, 60).Draw(t, "units") {
			v := kinds[rapid.SampledFrom([]int{0, 0, 0, 0, 1}).Draw(t, "kind")]
			v.Name = fmt.Sprintf("u%02d", i)
			if err := s.SetUnit(v); err != nil {
				t.Fatal(err)
			}
			u := s.units.named(v.Name)
			mask, q := s.open.copyTo(nil), s.parcelOf([]*unit{u})
			s.narrow(mask, u, []*unit{u})
			want := s.scan(mask, &q).slot
			if s.goesByCount(&q) {
				want = s.choose(mask, &q)
			}
			if got := s.chooseListed([]*unit{u}, mask, &q); got != want {
				t.Fatalf("%v, the %dth: the list says %d, the scan %d", v, i, got, want)
			}
			if want >= 0 {
				must(s.Bind(v.Name, s.machines[want].ID))
			}
		}
	})
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func drawCapacity(t *rapid.T, slot int) Machine {
	m := Machine{ID: fmt.Sprintf("m%02d", slot)}
	if rapid.IntRange(0, 9).Draw(t, "reports") == 0 {
		return m
	}
	m.Capacity = &Resources{
		CPU:    rapid.Int64Range(0, 40).Draw(t, "cpu"),
		Memory: rapid.Int64Range(1, 5000).Draw(t, "memory"),
		Disk:   rapid.SampledFrom([]int64{0, 100, 1000}).Draw(t, "disk"),
	}
	if n := rapid.Int64Range(0, 4).Draw(t, "gpu"); n > 0 {
		m.Capacity.Counters = map[string]int64{"gpu": n}
	}
	return m
}

func drawUser(t *rapid.T, i int) Unit {
	u := Unit{Name: fmt.Sprintf("u%d", i%20), Active: true}
	u.Request.CPU = rapid.Int64Range(0, 8).Draw(t, "cpu")
	u.Request.Memory = rapid.Int64Range(0, 900).Draw(t, "memory")
	if rapid.Bool().Draw(t, "more") {
		u.Request.Disk = rapid.Int64Range(0, 200).Draw(t, "disk")
		u.Request.Counters = map[string]int64{"gpu": rapid.Int64Range(0, 2).Draw(t, "gpu")}
		u.Estimate.CPU = rapid.Int64Range(0, 30).Draw(t, "estimate")
	}
	return u
}
