package schedule_test

import (
	"fmt"

	"github.com/strakeproject/strake/schedule"
)

func ExampleCompute() {
	cluster := schedule.Cluster{
		Machines: []schedule.Machine{
			{ID: "m1", Metadata: map[string]string{"disk": "ssd"}},
			{ID: "m2", Metadata: map[string]string{"disk": "hdd"}},
		},
		Units: []schedule.Unit{
			{Name: "db.service", Active: true, Metadata: map[string][]string{"disk": {"ssd"}}},
			{Name: "backup.service", Active: true, MachineOf: []string{"db.service"}},
			{Name: "web@1.service", Active: true, Conflicts: []string{"web@*.service"}},
			{Name: "web@2.service", Active: true, Conflicts: []string{"web@*.service"}},
			{Name: "web@3.service", Active: true, Conflicts: []string{"web@*.service"}},
		},
		Placed: map[string]string{"web@1.service": "m9"}, // a machine that is gone
	}
	plan, err := schedule.Compute(cluster, schedule.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(plan)
	// Output:
	// 0 backup.service - -> m1 new
	// 0 db.service - -> m1 new
	// 0 web@1.service m9 -> m2 machine-lost
	// 0 web@2.service - -> m1 new
	// web@3.service cannot be placed: 2 machines considered
	//   2  conflict       with web@1.service, web@2.service  m1 m2
	// nearest: m1, but for conflict: with web@2.service
	// nearest: m2, but for conflict: with web@1.service
}

// A Scheduler is told what happens, and what became of its plans.
func ExampleScheduler() {
	s := schedule.New(schedule.Options{})
	err := s.Reset(schedule.Cluster{
		Machines: []schedule.Machine{{ID: "m1"}, {ID: "m2"}},
		Units: []schedule.Unit{
			{Name: "a.service", Active: true},
			{Name: "b.service", Active: true},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(s.Plan())

	s.RemoveMachine("m2")
	fmt.Print(s.Plan())

	// The step could not be carried out, and then m2 came back.
	if err := s.Bind("b.service", "m2"); err != nil {
		fmt.Println(err)
	}
	if err := s.SetMachine(schedule.Machine{ID: "m2"}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(len(s.Plan().Steps), "steps")
	// Output:
	// 0 a.service - -> m1 new
	// 0 b.service - -> m2 new
	// 0 b.service m2 -> m1 machine-lost
	// 0 steps
}

func ExampleWhyNot() {
	cluster := schedule.Cluster{
		Machines: []schedule.Machine{{ID: "m1", Metadata: map[string]string{"zone": "a"}}},
		Units: []schedule.Unit{
			{Name: "a.service", Active: true, Metadata: map[string][]string{"zone": {"b", "c"}}, Conflicts: []string{"b.*"}},
			{Name: "b.service", Active: true},
		},
		Placed: map[string]string{"b.service": "m1"},
	}
	for _, reason := range schedule.WhyNot(cluster, "a.service", "m1") {
		fmt.Println(reason)
	}
	// Output:
	// metadata: zone is not in {b, c}
	// conflict: with b.service
}

func ExampleAdmitsGlobal() {
	machine := schedule.Machine{ID: "m1"}
	placed := []schedule.Unit{{Name: "web.service", Active: true}}
	logger := schedule.Unit{Name: "logger.service", Active: true, Global: true}
	loner := schedule.Unit{Name: "loner.service", Active: true, Global: true, Conflicts: []string{"web.*"}}

	for _, u := range []schedule.Unit{logger, loner} {
		if ok, reason := schedule.AdmitsGlobal(machine, placed, u); ok {
			fmt.Println(u.Name, "runs on m1")
		} else {
			fmt.Println(u.Name, "does not:", reason)
		}
	}
	// Output:
	// logger.service runs on m1
	// loner.service does not: conflict: with web.service
}

func ExampleCheck() {
	cluster := schedule.Cluster{
		Machines: []schedule.Machine{{ID: "m1"}},
		Units: []schedule.Unit{
			{Name: "a.service", Active: true, Generation: 7, Conflicts: []string{"b.service"}},
			{Name: "b.service", Active: true, Generation: 3},
		},
		Placed: map[string]string{"a.service": "m1", "b.service": "m1"},
	}
	for _, violation := range schedule.Check(cluster) {
		fmt.Println(violation)
	}
	// Output:
	// a.service on m1: conflict: with b.service
}
