package raftmetrics_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftmetrics"
	"github.com/strakeproject/strake/raftstore/raftsim"
	"github.com/strakeproject/strake/raftstore/seglog"
)

// echo is a state machine without state.
type echo struct{}

func (echo) Open(context.Context, string) (raftstore.Position, error) {
	return raftstore.Position{}, nil
}

func (echo) Apply(cmds []raftstore.Command, _ raftstore.Position) (results [][]byte, err error) {
	for _, c := range cmds {
		results = append(results, c.Data)
	}
	return results, nil
}

func (echo) Close() error { return nil }

func Example() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "metrics")
	defer os.RemoveAll(dir)
	log, err := seglog.Open(filepath.Join(dir, "log"), seglog.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	node, err := raftstore.Open(ctx, raftstore.Config{
		Dir: dir, Name: "a", Initial: []raftstore.InitialMember{{Name: "a", URLs: []string{"sim://a"}}},
		StateMachine: echo{}, Log: log, Transport: raftsim.NewNetwork().Transport(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Stop(ctx)
	for range 3 {
		if _, err := node.Propose(ctx, []byte("x")); err != nil {
			fmt.Println(err)
		}
	}

	registry := prometheus.NewRegistry()
	registry.MustRegister(raftmetrics.New(node))
	families, err := registry.Gather()
	for _, f := range families {
		if slices.Contains([]string{"raftstore_is_leader", "raftstore_frame_commands_total"}, f.GetName()) {
			fmt.Println(f.GetName(), f.GetMetric()[0].GetGauge().GetValue()+f.GetMetric()[0].GetCounter().GetValue())
		}
		if f.GetName() == "raftstore_commit_seconds" {
			fmt.Println(f.GetName(), f.GetMetric()[0].GetHistogram().GetSampleCount() > 0)
		}
	}
	fmt.Println(err)
	// Output:
	// raftstore_commit_seconds true
	// raftstore_frame_commands_total 3
	// raftstore_is_leader 1
	// <nil>
}
