package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
)

// Write, swap on condition and watch over HTTP.
func Example() {
	store, err := tree.NewLocal()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	srv := httptest.NewServer(httpapi.New(httpapi.Config{Store: store}))
	defer srv.Close()

	c, err := client.New(client.Config{Endpoints: []string{srv.URL}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	watch, err := c.Watch(ctx, "/config", kv.WatchOptions{Recursive: true})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.Set(ctx, "/config/port", "80", kv.SetOptions{}); err != nil {
		log.Fatal(err)
	}
	if _, err := c.CompareAndSwap(ctx, "/config/port", "8080", kv.Condition{PrevValue: "80"}, kv.UpdateOptions{}); err != nil {
		log.Fatal(err)
	}
	_, err = c.CompareAndSwap(ctx, "/config/port", "81", kv.Condition{PrevValue: "80"}, kv.UpdateOptions{})
	fmt.Println("again:", errors.Is(err, kv.ErrCompareFailed))
	for ev, err := range watch.Events {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Index, ev.Action, ev.Node.Key, ev.Node.Value)
		if ev.Index == 2 {
			break
		}
	}
	// Output:
	// again: true
	// 1 set /config/port 80
	// 2 compareAndSwap /config/port 8080
}
