package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bench measures both systems in turns, round after round, so that whatever else
// happens on the machine happens to both.
type bench struct {
	Rounds   int           `default:"5" help:"How often each is measured; the median counts."`
	Duration time.Duration `default:"2s" help:"How long each measurement takes."`
	Members  []int         `default:"1,3" help:"Sizes of clusters to measure."`
	Only     string        `help:"Measure only loads whose name contains this."`
	Alone    bool          `help:"Leave the original out."`
	Flags    []string      `help:"More flags for our server."`
}

// A workload is a kind of load.
type workload struct {
	name    string
	op      string
	clients int
}

var workloads = []workload{
	{"put, 1 client", "put", 1},
	{"put, 64 clients", "put", 64},
	{"put, 256 clients", "put", 256},
	{"quorum get, 64 clients", "quorum", 64},
	{"get, 64 clients", "get", 64},
	{"watch, 1 client", "watch", 1},
}

// A measurement is one round of one workload at one cluster.
type measurement struct {
	result
	cpu time.Duration // of all members for one operation
	rss int64         // of all members, bytes
}

func (b *bench) run(ctx context.Context, out, progress io.Writer) error {
	dir, err := os.MkdirTemp("", "versus-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	systems, err := b.systems(ctx, dir)
	if err != nil {
		return err
	}
	var reached []row
	for _, n := range b.Members {
		rows, err := b.measure(ctx, systems, n, filepath.Join(dir, strconv.Itoa(n)), progress)
		if err != nil {
			return err
		}
		printRows(out, n, systems, rows)
		reached = append(reached, rows...)
	}
	if len(systems) == 2 {
		printTargets(out, reached)
	}
	return nil
}

// systems returns what to measure, ours last.
func (b *bench) systems(ctx context.Context, dir string) ([]system, error) {
	new, err := ours(ctx, dir)
	new.flags = b.Flags
	if err != nil || b.Alone {
		return []system{new}, err
	}
	old, err := original(ctx)
	return []system{old, new}, err
}

// A row is what a workload gave at clusters of one size, of each system.
type row struct {
	members int
	workload
	medians []measurement
}

// measure starts a cluster of each system and loads them in turns.
func (b *bench) measure(ctx context.Context, systems []system, n int, dir string, progress io.Writer) (rows []row, err error) {
	var clusters []*cluster
	for i, s := range systems {
		c, startErr := s.start(ctx, n, filepath.Join(dir, strconv.Itoa(i)))
		if startErr != nil {
			return nil, startErr
		}
		defer func() { err = errors.Join(err, c.stop()) }()
		if _, err := b.round(ctx, c, workload{op: "put", clients: 64}); err != nil { // so that all keys are there
			return nil, err
		}
		clusters = append(clusters, c)
	}
	for _, w := range workloads {
		if !strings.Contains(w.name, b.Only) {
			continue
		}
		all := make([][]measurement, len(systems))
		for range b.Rounds {
			for i, c := range clusters {
				m, err := b.round(ctx, c, w)
				if err != nil {
					return nil, fmt.Errorf("%s: %s: %w", c.name, w.name, err)
				}
				all[i] = append(all[i], m)
			}
		}
		r := row{members: n, workload: w}
		for i, ms := range all {
			r.medians = append(r.medians, median(ms))
			fmt.Fprintf(progress, "%d members, %s, %s: %.0f/s\n", n, w.name, systems[i].name, r.medians[i].rate())
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// round runs the load generator once.
func (b *bench) round(ctx context.Context, c *cluster, w workload) (m measurement, err error) {
	self, err := os.Executable()
	if err != nil {
		return m, err
	}
	before, err := c.usage()
	if err != nil {
		return m, err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, self, "load", "--op", w.op, "--clients", strconv.Itoa(w.clients),
		"--duration", b.Duration.String(), "--addrs", strings.Join(c.addrs(), ","))
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return m, fmt.Errorf("%w: %s", err, stderr.String())
	}
	after, err := c.usage()
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(out, &m.result); err != nil {
		return m, fmt.Errorf("load generator: %w", err)
	}
	m.cpu, m.rss = (after.cpu-before.cpu)/time.Duration(m.Ops), after.rss
	return m, nil
}

// median takes the median of each number by itself.
func median(ms []measurement) measurement {
	mid := func(of func(measurement) time.Duration) time.Duration {
		var all []time.Duration
		for _, m := range ms {
			all = append(all, of(m))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	perOp := mid(func(m measurement) time.Duration { return m.Elapsed / time.Duration(m.Ops) })
	return measurement{
		result: result{
			Ops: 1, Elapsed: perOp,
			P50: mid(func(m measurement) time.Duration { return m.P50 }),
			P99: mid(func(m measurement) time.Duration { return m.P99 }),
		},
		cpu: mid(func(m measurement) time.Duration { return m.cpu }),
		rss: ms[len(ms)-1].rss,
	}
}
