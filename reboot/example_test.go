package reboot_test

import (
	"context"
	"fmt"
	"log"

	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/reboot"
)

// Two machines share one slot.
func Example() {
	ctx := context.Background()
	store, err := tree.NewLocal()
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	sem, err := reboot.NewSemaphore(store, reboot.SemaphoreOptions{})
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println("node1:", sem.Lock(ctx, "node1"))
	fmt.Println("node2:", sem.Lock(ctx, "node2"))

	locked := make(chan error)
	go func() { locked <- sem.LockWait(ctx, "node2") }()
	fmt.Println("node1 is back:", sem.Unlock(ctx, "node1"))
	fmt.Println("node2:", <-locked)

	state, err := sem.Status(ctx)
	fmt.Println(state.Holders, err)
	// Output:
	// node1: <nil>
	// node2: semaphore is at 0
	// node1 is back: <nil>
	// node2: <nil>
	// [node2] <nil>
}

// pretend stands for an update engine that wants a reboot, and for a machine.
type pretend struct{ down context.CancelFunc }

func (pretend) WaitNeedReboot(context.Context) error { return nil }

func (p pretend) Reboot(context.Context) error {
	fmt.Println("going down")
	p.down()
	return nil
}

// One machine goes through its next reboot.
func ExampleCoordinator() {
	ctx, down := context.WithCancel(context.Background())
	store, err := tree.NewLocal()
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	sem, err := reboot.NewSemaphore(store, reboot.SemaphoreOptions{Group: "web"})
	if err != nil {
		log.Fatal(err)
	}
	machine := pretend{down: down}
	coordinator, err := reboot.NewCoordinator(reboot.CoordinatorOptions{
		Semaphore: sem,
		Source:    machine,
		Rebooter:  machine,
		Holder:    "node1",
		Drain:     func(context.Context) error { fmt.Println("draining"); return nil },
		Notify:    func(p reboot.Phase) { fmt.Println(p) },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(coordinator.Run(ctx))
	// Output:
	// starting
	// running
	// reboot-planned
	// draining
	// going down
	// rebooting
	// context canceled
}
