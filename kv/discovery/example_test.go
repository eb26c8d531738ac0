package discovery_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/strakeproject/strake/kv/discovery"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
)

func Example() {
	// A token service on a store of its own.
	store, err := tree.NewLocal()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	service := httptest.NewUnstartedServer(nil)
	service.Config.Handler = discovery.NewServer(discovery.ServerConfig{
		Store: store,
		Keys:  httpapi.New(httpapi.Config{Store: store}),
		URL:   "http://" + service.Listener.Addr().String(),
	})
	service.Start()
	defer service.Close()

	// An operator gets a token, and gives it to all members.
	resp, err := http.Get(service.URL + "/new?size=1")
	if err != nil {
		fmt.Println(err)
		return
	}
	u, _ := io.ReadAll(resp.Body)
	resp.Body.Close()

	// Each of them joins.
	token, err := discovery.Dial(string(u), discovery.DialOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer token.Close()
	cluster, err := token.Join(context.Background(), discovery.Self{
		ID: 0x2a, Name: "n1", PeerURLs: []string{"http://10.0.0.1:2380"},
	})
	fmt.Println(cluster, err)
	// Output: n1=http://10.0.0.1:2380 <nil>
}
