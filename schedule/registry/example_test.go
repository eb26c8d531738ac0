package registry_test

import (
	"context"
	"fmt"
	"log"

	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// A user creates a unit, an engine schedules it, and a view tells the agent of
// the machine.
func Example() {
	ctx := context.Background()
	store, err := tree.NewLocal() // a client of a cluster in real life
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	agent, err := registry.New(store, registry.Options{}).Follow(ctx, registry.Scope{Machine: "m1"})
	if err != nil {
		log.Fatal(err)
	}
	defer agent.Close()

	reg := registry.New(store, registry.Options{})
	file, err := unit.Parse([]byte("[Service]\nExecStart=/usr/bin/hello\n"))
	if err != nil {
		log.Fatal(err)
	}
	if err := reg.CreateUnit(ctx, "hello.service", file, registry.Launched); err != nil {
		log.Fatal(err)
	}
	if err := reg.Schedule(ctx, "hello.service", "m1"); err != nil {
		log.Fatal(err)
	}

	for range agent.Changed() {
		agent.Take()
		if u, ok := agent.Unit("hello.service"); ok {
			fmt.Printf("%s should be %s on %s\n", u.Name, u.Target, u.Machine)
			break
		}
	}
	// Output: hello.service should be launched on m1
}
