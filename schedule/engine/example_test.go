package engine_test

import (
	"context"
	"fmt"
	"time"

	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/schedule/engine"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// One machine, one unit, and the engine that brings them together.
func Example() {
	store, err := tree.NewLocal() // kv/member or kv/client in a program
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	reg := registry.New(store, registry.Options{})

	e, err := engine.New(engine.Config{Registry: reg, MachineID: "m1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()

	view, err := reg.Follow(ctx, registry.Scope{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := reg.Join(ctx, registry.Machine{ID: "m1"}, "first", time.Minute); err != nil {
		fmt.Println(err)
	}
	file, err := unit.Parse([]byte("[Service]\nExecStart=/bin/sleep 60\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := reg.CreateUnit(ctx, "hello.service", file, registry.Launched); err != nil {
		fmt.Println(err)
	}
	for range view.Changed() {
		view.Take()
		if u, ok := view.Unit("hello.service"); ok && u.Machine != "" {
			fmt.Println(u.Name, "is scheduled to", u.Machine)
			break
		}
	}
	view.Close()

	cancel()
	fmt.Println("engine ended:", <-ended)
	// Output:
	// hello.service is scheduled to m1
	// engine ended: <nil>
}
