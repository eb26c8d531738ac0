package memberapi_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/httpapi/memberapi"
	"github.com/strakeproject/strake/kv/member"
)

// Serve the only member of a cluster.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "member")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	m, err := member.Open(ctx, member.Config{DataDir: dir, AdvertiseClientURLs: []string{"http://10.0.0.1:2379"}})
	if err != nil {
		log.Fatal(err)
	}
	<-m.Ready()

	view := memberapi.Of(m)
	api := httpapi.New(httpapi.Config{Store: m, Cluster: view, Changer: view})
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v2/machines", nil))
	fmt.Println(w.Body)
	fmt.Println("stopped:", m.Stop(ctx))
	// Output:
	// http://10.0.0.1:2379
	// stopped: <nil>
}
