package schedule

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What depends on names (conflicts, spread groups) may be asked for before or
// after the units it concerns have come: the plan is the same as of a cluster
// that is met whole.
func TestUnitsThatComeLateFindThoseThatTheirNamesConcern(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(Options{})
		c := Cluster{Placed: map[string]string{}}
		for i := range 2 {
			m := Machine{ID: fmt.Sprintf("m%d", i), Metadata: map[string]string{"zone": fmt.Sprint(i % 2)}}
			c.Machines = append(c.Machines, m)
		}
		if err := s.Reset(c); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 25).Draw(t, "events") {
			u := drawNamesake(t)
			c.Units = slices.DeleteFunc(c.Units, func(v Unit) bool { return v.Name == u.Name })
			if rapid.IntRange(0, 3).Draw(t, "goes") == 0 {
				s.RemoveUnit(u.Name)
			} else if err := s.SetUnit(u); err != nil {
				t.Fatal(err)
			} else {
				c.Units = append(c.Units, u)
			}
			if rapid.Bool().Draw(t, "wait") {
				continue
			}
			want, err := Compute(c, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Plan(); got.String() != want.String() {
				t.Fatalf("the Scheduler plans\n%v\nCompute\n%v", got, want)
			}
			c.Placed = maps.Collect(s.All())
			checkNames(t, s)
		}
	})
}

// checkNames compares what is on file with the units there are.
func checkNames(t *rapid.T, s *Scheduler) {
	filed := map[string]int{}
	for key, units := range s.names.byTemplate {
		for _, u := range units {
			if filed[u.name]++; s.units.named(u.name) != u || template(u.name) != key {
				t.Fatalf("%s is on file as of %s", u.name, key)
			}
		}
	}
	named := map[string]int{}
	for key, units := range s.names.byGroup {
		for _, u := range units {
			if named[u.name]++; s.units.named(u.name) != u || u.spec.Spread.Group != key {
				t.Fatalf("%s is on file as of group %s", u.name, key)
			}
		}
	}
	for u := range s.units.all {
		name := u.name
		if got, want := filed[name] == 1, s.names.byTemplate != nil && template(name) != ""; got != want {
			t.Fatalf("%s is on file: got %v, want %v", name, got, want)
		}
		if got, want := named[name] == 1, u.spec.Spread.Group != ""; got != want {
			t.Fatalf("%s is on file by its group: got %v, want %v", name, got, want)
		}
	}
}

// drawNamesake draws a unit that may have to do with others by name.
func drawNamesake(t *rapid.T) Unit {
	names := []string{"a@1", "a@2", "a@3", "b@1", "b@2", "c", "d"}
	u := Unit{Name: rapid.SampledFrom(names).Draw(t, "name"), Active: rapid.IntRange(0, 5).Draw(t, "active") > 0}
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0:
		u.Conflicts = []string{rapid.SampledFrom([]string{"a@*", "a@1", "c", "?@2", "b@[1]", "*"}).Draw(t, "conflicts")}
	case 1:
		u.MaxPerMachine = 1
	case 2:
		u.Spread = Spread{Keys: []string{"zone"}, MaxSkew: rapid.IntRange(0, 1).Draw(t, "skew")}
	}
	if rapid.IntRange(0, 3).Draw(t, "names a group") == 0 {
		u.Spread.Group = rapid.SampledFrom([]string{"a@", "c", "team"}).Draw(t, "group")
	}
	return u
}
