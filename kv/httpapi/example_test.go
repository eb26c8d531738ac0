package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
)

// Serve a store in memory, write to it in process and read over HTTP.
func Example() {
	store, err := tree.NewLocal()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- httpapi.New(httpapi.Config{Store: store}).Serve(ctx, l) }()

	if _, err := store.Set(ctx, "/message", "Hello", kv.SetOptions{}); err != nil {
		log.Fatal(err)
	}
	key := url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/v2/keys/message"}
	resp, err := http.Get(key.String())
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Print(resp.Status, "\n", string(body))

	stop()
	fmt.Println("served:", <-served)
	// Output:
	// 200 OK
	// {"action":"get","node":{"key":"/message","value":"Hello","modifiedIndex":1,"createdIndex":1}}
	// served: <nil>
}
