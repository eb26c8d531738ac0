package proxy_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/strakeproject/strake/kv/proxy"
)

func Example() {
	// A peer that knows of one member, and that member's client port.
	member := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "asked for", r.URL.Path)
	}))
	defer member.Close()
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `[{"id":1,"peerURLs":["http://10.0.0.1:2380"],"clientURLs":[%q]}]`, member.URL)
	}))
	defer peer.Close()

	p, err := proxy.New(proxy.Config{PeerURLs: []string{peer.URL}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest("GET", "/v2/keys/message", nil))
		if w.Code == http.StatusOK { // 503 until the member is found
			fmt.Print(w.Body)
			break
		}
	}
	cancel()
	fmt.Println(<-done)
	// Output:
	// asked for /v2/keys/message
	// context canceled
}
