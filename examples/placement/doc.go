// Command placement plans at the command line where units go, with the
// scheduler alone: no cluster, no store, no daemon. It reads machines and units
// from JSON files and from folders of unit files, and prints the moves, what each
// machine has before and after, and why a unit is where it is or nowhere.
//
//	go run ./examples/placement examples/placement/sample/machines.json examples/placement/sample/units
//
// The exit status is 0 if every unit found a place where it may stay, 1 if not,
// and 2 for input that cannot be understood.
//
// # Input
//
// Several inputs add up. A folder holds unit files; from a template come as many
// instances as --scale says. A JSON file has any of these fields:
//
//	{
//	  "machines": [{"id": "m1", "metadata": {"zone": "a"}, "cpu": "4", "memory": "8G", "disk": "100G",
//	                "resources": {"gpu": 1}, "ports": "8000-8099", "dedicated": "team=x", "state": "cordoned"}],
//	  "units":    [{"name": "db.service", "options": ["Memory=2G", "Require=disk=ssd"]},
//	               {"name": "web@.service", "instances": 3, "options": ["CPU=500m", "Spread=zone"]},
//	               {"name": "old.service", "inactive": true}],
//	  "placed":   {"db.service": "m1"},
//	  "ports":    {"web@1.service": [8000]}
//	}
//
// Options are lines of the [X-Fleet] section. A machine that leaves out cpu,
// memory and disk has as much as anybody asks for.
//
// # What to ask
//
//	--strategy=pack              fill machines instead of levelling them
//	--drain=m1 --lose=m2         machines to be cleared, machines that are gone
//	--rebalance=level --budget=5 move units that could stay, five at most
//	--why=web@1.service          which machines may take a unit, the best first
//	--why-not=db.service:m2      all that speaks against a machine
//	--save=placed.json           where things are then: give it as one more input
//
// # How it works
//
// The heart of it is the function plan, in plan.go: a Scheduler, a Cluster, a
// Plan. All else reads files and prints tables.
package main
