package api_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// BenchmarkListUnits lists 10,000 units, a hundred pages of them.
func BenchmarkListUnits(b *testing.B) {
	reg := registry.New(openStore(b), registry.Options{})
	for i := range 10_000 {
		f, err := unit.NewFile([]unit.Option{{Section: "Service", Name: "ExecStart", Value: fmt.Sprintf("/bin/sleep %d", i)}})
		if err != nil {
			b.Fatal(err)
		}
		if err := reg.CreateUnit(b.Context(), fmt.Sprintf("u%d.service", i), f, registry.Launched); err != nil {
			b.Fatal(err)
		}
	}
	srv := httptest.NewServer(newServer(b, reg, api.ServerConfig{}))
	defer srv.Close()
	c, err := api.NewClient(api.ClientConfig{Endpoint: srv.URL})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for b.Loop() {
		if units, err := c.Units(b.Context()); err != nil || len(units) != 10_000 {
			b.Fatalf("got %d units, %v", len(units), err)
		}
	}
}
