package agent_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/schedule/agent"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// A machine comes up, runs what is scheduled to it, and signs off.
func Example() {
	ctx := context.Background()
	store, err := tree.NewLocal() // a client of a cluster in real life
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	reg := registry.New(store, registry.Options{})

	a, err := agent.New(agent.Config{
		Registry: reg,
		Runner:   newFakeRunner(), // from unit/process, for one, in real life
		Machine:  registry.Machine{ID: "m1"},
		TTL:      2 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		if err := a.Run(ctx); err != nil {
			log.Print(err)
		}
	}()

	view, err := reg.Follow(ctx, registry.Scope{States: true})
	if err != nil {
		log.Fatal(err)
	}
	defer view.Close()
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
	for range view.Changed() {
		view.Take()
		if u, ok := view.Unit("hello.service"); ok && u.Current == registry.Launched {
			fmt.Println(u.Name, "is", u.Current, "on", u.Machine)
			break
		}
	}
	if err := a.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("machines left:", len(view.Machines()))
	// Output:
	// hello.service is launched on m1
	// machines left: 0
}
