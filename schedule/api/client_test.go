package api_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// connect serves cfg on a Unix socket and returns a client of it.
func connect(t *testing.T, reg *registry.Registry, cfg api.ServerConfig) *api.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fleet.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := newServer(t, reg, cfg)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	c, err := api.NewClient(api.ClientConfig{Endpoint: "unix://" + path, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func hello(name string) api.Unit {
	return api.Unit{Name: name, Options: []api.Option{{Section: "Service", Name: "ExecStart", Value: "/usr/bin/hello"}}}
}

func TestClientTakesAUnitThroughItsLife(t *testing.T) {
	reg := registry.New(openStore(t), registry.Options{})
	c := connect(t, reg, api.ServerConfig{})
	ctx := t.Context()
	const name = "a@1.service"

	if _, err := c.Unit(ctx, name); !errors.Is(err, registry.ErrUnitNotFound) {
		t.Fatalf("unknown unit: got %v, want ErrUnitNotFound", err)
	}
	steps := []error{
		c.PutUnit(ctx, hello(name)),
		c.SetTarget(ctx, name, registry.Launched),
		reg.Schedule(ctx, name, "m1"),
		reg.PublishState(ctx, registry.UnitState{Unit: name, Machine: "m1", State: unit.State{Hash: unit.Hash{1}, Active: "failed", Result: "exit-code"}}, time.Hour),
	}
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	u, err := c.Unit(ctx, name)
	if err != nil || u.DesiredState != registry.Launched || u.CurrentState != registry.Loaded || u.MachineID != "m1" {
		t.Errorf("got %+v, %v", u, err)
	}
	if f, err := u.File(); err != nil || f.String() != "[Service]\nExecStart=/usr/bin/hello\n" {
		t.Errorf("got file %q, %v", f, err)
	}
	states, err := c.States(ctx, name)
	if err != nil || len(states) != 1 || states[0].Result != "exit-code" || states[0].SystemdActiveState != "failed" {
		t.Errorf("got states %+v, %v", states, err)
	}
	e, err := c.Explain(ctx, name)
	if err != nil || e.Unit != name {
		t.Errorf("got explanation %+v, %v", e, err)
	}
	if err := c.DestroyUnit(ctx, name); err != nil {
		t.Error(err)
	}
	if err := c.DestroyUnit(ctx, name); !errors.Is(err, registry.ErrUnitNotFound) {
		t.Errorf("second destroy: got %v, want ErrUnitNotFound", err)
	}
}

func TestClientCollectsAllPages(t *testing.T) {
	c := connect(t, registry.New(openStore(t), registry.Options{}), api.ServerConfig{TokenLimit: 2})
	for n := range 5 {
		units, err := c.Units(t.Context())
		if err != nil || len(units) != n {
			t.Errorf("got %d units, %v, want %d", len(units), err, n)
		}
		if err := c.PutUnit(t.Context(), hello(fmt.Sprintf("u%d.service", n))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClientFollowsAJournal(t *testing.T) {
	c := connect(t, registry.New(openStore(t), registry.Options{}), api.ServerConfig{Journal: threeLines{}})
	for _, name := range []string{"a.service", "torn.service"} {
		if err := c.PutUnit(t.Context(), hello(name)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for e, err := range c.Journal(ctx, "m7", "a.service", unit.JournalOptions{Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n < 3 {
			continue
		}
		if got, want := e.Message, "line 3 on m7"; got != want || e.Identifier != "hello" || e.PID != 7 {
			t.Errorf("got %+v, want message %q", e, want)
		}
		break // while the server goes on following
	}
	var last error
	for _, err := range c.Journal(ctx, "m7", "torn.service", unit.JournalOptions{}) {
		last = err
	}
	if got, want := fmt.Sprint(last), "journal of torn.service: machine m7 went away"; got != want {
		t.Errorf("got error %q, want %q", got, want)
	}
}

func TestClientRefusesBadEndpoints(t *testing.T) {
	for endpoint, want := range map[string]string{
		"foo":          "URL scheme undefined",
		"127.0.0.1:1":  `parse "127.0.0.1:1": first path segment in URL cannot contain colon`,
		"unix://var/x": `unable to connect to host "var" with scheme "unix"`,
		"ftp://x":      `unsupported endpoint "ftp://x"`,
	} {
		if _, err := api.NewClient(api.ClientConfig{Endpoint: endpoint}); fmt.Sprint(err) != want {
			t.Errorf("%s: got %v, want %s", endpoint, err, want)
		}
	}
}

func TestServerFailuresReadAsFleetsClientGivesThem(t *testing.T) {
	srv := httptest.NewServer(newServer(t, registry.New(openStore(t), registry.Options{}), api.ServerConfig{Ready: make(chan struct{})}))
	defer srv.Close()
	c, err := api.NewClient(api.ClientConfig{Endpoint: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Units(t.Context())
	if got, want := fmt.Sprint(err), "googleapi: Error 503: fleet server unable to communicate with etcd"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClientOperatesACluster(t *testing.T) {
	reg := registry.New(openStore(t), registry.Options{})
	c := connect(t, reg, api.ServerConfig{})
	ctx := t.Context()
	if _, err := reg.Join(ctx, registry.Machine{ID: "m1", Capacity: &schedule.Resources{CPU: 2000}}, "1", time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := c.SetMachineState(ctx, "m1", schedule.Draining); err != nil {
		t.Error(err)
	}
	if s, err := c.MachineStatus(ctx, "m1"); err != nil || s.State != "draining" || len(s.Units) != 0 {
		t.Errorf("got %+v, %v, want it draining and empty", s, err)
	}
	machines, err := c.Machines(ctx)
	if err != nil || len(machines) != 1 || machines[0].State != "draining" || machines[0].Capacity == nil || machines[0].Capacity.MilliCPU != 2000 {
		t.Errorf("got machines %+v, %v", machines, err)
	}
	if err := c.PutUnit(ctx, api.Unit{Name: "a.service", DesiredState: registry.Launched, Options: hello("a.service").Options}); err != nil {
		t.Fatal(err)
	}
	e, err := c.Explain(ctx, "a.service", "m1 open")
	if err != nil || e.Placed != "m1" || len(e.Steps) != 1 || e.Steps[0].String() != "a.service is placed on m1 (new)" {
		t.Errorf("got explanation %+v, %v", e, err)
	}
	order := schedule.Rebalance{Budget: 1}
	if steps, err := c.PlanRebalance(ctx, order); err != nil || len(steps) != 0 {
		t.Errorf("got steps %v, %v", steps, err)
	}
	if _, err := c.Rebalance(ctx, order); err != nil {
		t.Error(err)
	}
	if waiting, err := c.Rebalancing(ctx); err != nil || !waiting {
		t.Errorf("waiting: got %v, %v", waiting, err)
	}
}
