package api_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/schedule/registry"
)

// A server over a registry, and a client that starts a unit through it.
func Example() {
	store, err := tree.NewLocal() // a client of a cluster in real life
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	server, err := api.NewServer(api.ServerConfig{Registry: registry.New(store, registry.Options{})})
	if err != nil {
		log.Fatal(err)
	}
	web := httptest.NewServer(server) // server.Serve on a Unix socket in real life
	defer web.Close()

	client, err := api.NewClient(api.ClientConfig{Endpoint: web.URL})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	err = client.PutUnit(ctx, api.Unit{
		Name:         "hello.service",
		DesiredState: registry.Launched,
		Options:      []api.Option{{Section: "Service", Name: "ExecStart", Value: "/usr/bin/hello"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	why, err := client.Explain(ctx, "hello.service")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(why)
	// Output: hello.service cannot be placed: 0 machines considered
}
