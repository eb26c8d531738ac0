package main

import (
	"fmt"
	"io"
	"time"
)

// A target is what ours is to reach, as a ratio to the original.
type target struct {
	members  int
	workload string
	what     string
	of       func(measurement) float64
	ratio    float64
	atMost   bool // else at least
}

func rate(m measurement) float64   { return m.rate() }
func p50(m measurement) float64    { return m.P50.Seconds() }
func p99(m measurement) float64    { return m.P99.Seconds() }
func cpuOf(m measurement) float64  { return m.cpu.Seconds() }
func micros(d time.Duration) int64 { return d.Microseconds() }

var targets = []target{
	{3, "put, 64 clients", "rate", rate, 2.0, false},
	{3, "put, 256 clients", "rate", rate, 2.0, false},
	{3, "quorum get, 64 clients", "rate", rate, 4.0, false},
	{3, "get, 64 clients", "rate", rate, 1.0, false},
	{3, "put, 1 client", "p50", p50, 1.0, true},
	{3, "put, 64 clients", "p99", p99, 0.6, true},
	{3, "put, 64 clients", "server CPU", cpuOf, 0.5, true},
	{1, "put, 64 clients", "rate", rate, 2.0, false},
	{1, "put, 1 client", "p50", p50, 0.9, true},
}

// printRows prints all that was measured at clusters of one size.
func printRows(out io.Writer, members int, systems []system, rows []row) {
	fmt.Fprintf(out, "\n%d members, medians:\n\n", members)
	fmt.Fprintln(out, "| load | server | ops/s | p50 µs | p99 µs | server CPU µs/op | RSS MB |\n|---|---|---:|---:|---:|---:|---:|")
	for _, r := range rows {
		for i, m := range r.medians {
			fmt.Fprintf(out, "| %s | %s | %.0f | %d | %d | %d | %d |\n",
				r.name, systems[i].name, m.rate(), micros(m.P50), micros(m.P99), micros(m.cpu), m.rss>>20)
		}
	}
}

// printTargets compares what was reached with what is asked.
func printTargets(out io.Writer, rows []row) {
	fmt.Fprintln(out, "\n| members | load | ours to the original's | asked | reached | |\n|---:|---|---|---:|---:|---|")
	for _, t := range targets {
		for _, r := range rows {
			if r.members != t.members || r.name != t.workload {
				continue
			}
			ratio := t.of(r.medians[1]) / t.of(r.medians[0])
			sign, ok := "≥", ratio >= t.ratio
			if t.atMost {
				sign, ok = "≤", ratio <= t.ratio
			}
			mark := "yes"
			if !ok {
				mark = "no"
			}
			fmt.Fprintf(out, "| %d | %s | %s | %s %.1f | %.2f | %s |\n", t.members, t.workload, t.what, sign, t.ratio, ratio, mark)
		}
	}
}
