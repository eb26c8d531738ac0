package enginemetrics_test

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/schedule/engine"
	"github.com/strakeproject/strake/schedule/engine/enginemetrics"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// An engine places one unit, and has no machine for another.
func Example() {
	store, err := tree.NewLocal()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	reg := registry.New(store, registry.Options{})
	if _, err := reg.Join(ctx, registry.Machine{ID: "m1"}, "first", time.Minute); err != nil {
		fmt.Println(err)
	}
	for name, text := range map[string]string{"a.service": "[Service]\n", "b.service": "[X-Fleet]\nMachineMetadata=disk=ssd\n"} {
		file, err := unit.Parse([]byte(text))
		if err != nil {
			fmt.Println(err)
		}
		if err := reg.CreateUnit(ctx, name, file, registry.Launched); err != nil {
			fmt.Println(err)
		}
	}
	e, err := engine.New(engine.Config{Registry: reg, MachineID: "m1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()
	view, err := reg.Follow(ctx, registry.Scope{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range view.Changed() {
		view.Take()
		if u, _ := view.Unit("a.service"); u.Machine != "" {
			break
		}
	}
	view.Close()

	metrics := prometheus.NewRegistry()
	metrics.MustRegister(enginemetrics.New(e))
	families, err := metrics.Gather()
	for _, f := range families {
		switch f.GetName() {
		case "schedule_engine_is_leader", "schedule_engine_unplaced_units":
			m := f.GetMetric()[0]
			for _, label := range m.GetLabel() {
				fmt.Println(label.GetName(), "is", label.GetValue())
			}
			fmt.Println(f.GetName(), m.GetGauge().GetValue())
		}
	}
	cancel()
	fmt.Println(err, <-ended)
	// Output:
	// schedule_engine_is_leader 1
	// reason is metadata
	// schedule_engine_unplaced_units 1
	// <nil> <nil>
}
