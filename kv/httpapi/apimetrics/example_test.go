package apimetrics_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/httpapi/apimetrics"
	"github.com/strakeproject/strake/kv/tree"
)

// Count what is asked of an API.
func Example() {
	store, err := tree.NewLocal()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	api := httpapi.New(httpapi.Config{Store: store})
	registry := prometheus.NewRegistry()
	registry.MustRegister(apimetrics.New(api))

	for _, target := range []string{"/v2/keys/none", "/v2/keys/none", "/v2/keys/?recursive=true"} {
		api.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil))
	}
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		switch f.GetName() {
		case "etcd_http_received_total", "etcd_http_failed_total":
			fmt.Println(f.GetName(), f.GetMetric()[0].GetCounter().GetValue())
		case "etcd_http_successful_duration_seconds":
			fmt.Println(f.GetName(), f.GetMetric()[0].GetHistogram().GetSampleCount())
		}
	}
	// Output:
	// etcd_http_failed_total 2
	// etcd_http_received_total 3
	// etcd_http_successful_duration_seconds 1
}
