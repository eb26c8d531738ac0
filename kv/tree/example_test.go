package tree_test

import (
	"context"
	"fmt"
	"log"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
)

// A store in memory, as a test would use it.
func Example() {
	ctx := context.Background()
	store, err := tree.NewLocal()
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	watch, err := store.Watch(ctx, "/config", kv.WatchOptions{Recursive: true})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := store.Set(ctx, "/config/color", "red", kv.SetOptions{}); err != nil {
		log.Fatal(err)
	}
	_, err = store.CompareAndSwap(ctx, "/config/color", "blue", kv.Condition{PrevValue: "green"}, kv.UpdateOptions{})
	fmt.Println(err)

	for ev, err := range watch.Events {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Action, ev.Node.Key, ev.Node.Value)
		break
	}
	// Output:
	// 101: Compare failed ([green != red]) [1]
	// set /config/color red
}
