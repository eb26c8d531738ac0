package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/strakeproject/strake/schedule"
)

// outcome is the cluster once a plan is carried out.
func outcome(c schedule.Cluster, p schedule.Plan, s *schedule.Scheduler) schedule.Cluster {
	after := schedule.Cluster{Machines: c.Machines, Units: slices.Clone(c.Units), Placed: make(map[string]string)}
	for name, id := range s.All() {
		after.Placed[name] = id
	}
	given := make(map[string][]uint16)
	for _, step := range p.Steps {
		given[step.Unit] = step.Ports
	}
	for i, u := range after.Units {
		if ports, moved := given[u.Name]; moved {
			after.Units[i].Given = ports
		}
	}
	return after
}

func printSteps(w io.Writer, p schedule.Plan) {
	if len(p.Steps) == 0 {
		fmt.Fprintln(w, "nothing to do")
		return
	}
	rows := [][]string{{"WAVE", "UNIT", "FROM", "TO", "CAUSE"}}
	for _, s := range p.Steps {
		cause := string(s.Cause)
		if s.By != "" {
			cause += ", " + s.By
		}
		if len(s.Ports) > 0 {
			cause += fmt.Sprintf(", ports %d", s.Ports)
		}
		if s.StopFirst {
			cause += ", stopped first"
		}
		rows = append(rows, []string{strconv.Itoa(s.Wave), s.Unit, cmp.Or(s.From, "-"), cmp.Or(s.To, "-"), cause})
	}
	printTable(w, rows)
}

// load is what a machine has.
type load struct {
	units     int // global ones included
	takes     schedule.Resources
	estimated bool // takes includes estimates
}

// loads is the load of each machine.
func loads(c schedule.Cluster) map[string]load {
	units := slices.SortedFunc(slices.Values(c.Units), func(a, b schedule.Unit) int { return strings.Compare(a.Name, b.Name) })
	out := make(map[string]load)
	for _, m := range c.Machines {
		var on []schedule.Unit
		for _, u := range units {
			if u.Active && !u.Global && c.Placed[u.Name] == m.ID {
				on = append(on, u)
			}
		}
		// Global units are on every machine that admits them, in order of name.
		for _, u := range units {
			if u.Global {
				if ok, _ := schedule.AdmitsGlobal(m, on, u); ok {
					on = append(on, u)
				}
			}
		}
		l := load{units: len(on), takes: schedule.Resources{Counters: make(map[string]int64)}}
		for _, u := range on {
			l.add(u.Request)
			l.add(u.Estimate)
			l.estimated = l.estimated || u.Estimate.CPU+u.Estimate.Memory > 0
		}
		out[m.ID] = l
	}
	return out
}

func (l *load) add(r schedule.Resources) {
	l.takes.CPU += r.CPU
	l.takes.Memory += r.Memory
	l.takes.Disk += r.Disk
	for name, n := range r.Counters {
		l.takes.Counters[name] += n
	}
}

// printMachines prints what each machine has before and after, where that
// differs with an arrow.
func printMachines(w io.Writer, before, after schedule.Cluster) {
	was, is := loads(before), loads(after)
	counters := counterNames(after)
	rows := [][]string{append([]string{"MACHINE", "STATE", "UNITS", "CPU", "MEMORY", "DISK"}, upper(counters)...)}
	machines := slices.SortedFunc(slices.Values(after.Machines), func(a, b schedule.Machine) int { return strings.Compare(a.ID, b.ID) })
	for _, m := range machines {
		have := schedule.Resources{}
		if m.Capacity != nil {
			have = *m.Capacity
		}
		b, a := was[m.ID], is[m.ID]
		row := []string{
			m.ID, [...]string{"open", "cordoned", "draining"}[m.State],
			change(strconv.Itoa(b.units), strconv.Itoa(a.units), ""),
			change(b.cpu(), a.cpu(), of(m, cores(have.CPU))),
			change(b.memory(), a.memory(), of(m, size(have.Memory))),
			change(size(b.takes.Disk), size(a.takes.Disk), of(m, size(have.Disk))),
		}
		for _, name := range counters {
			row = append(row, change(strconv.FormatInt(b.takes.Counters[name], 10), strconv.FormatInt(a.takes.Counters[name], 10),
				"/"+strconv.FormatInt(have.Counters[name], 10)))
		}
		rows = append(rows, row)
	}
	fmt.Fprintln(w)
	printTable(w, withoutEmpty(rows))
}

// withoutEmpty leaves out resources of which nobody has or takes any.
func withoutEmpty(rows [][]string) [][]string {
	out := make([][]string, len(rows))
	for column := range rows[0] {
		used := column < 3
		for _, row := range rows[1:] {
			used = used || row[column] != "0" && row[column] != "0/0"
		}
		for i, row := range rows {
			if used {
				out[i] = append(out[i], row[column])
			}
		}
	}
	return out
}

// counterNames are the counters that machines have, in order.
func counterNames(c schedule.Cluster) []string {
	var names []string
	for _, m := range c.Machines {
		if m.Capacity == nil {
			continue
		}
		for name := range m.Capacity.Counters {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func upper(words []string) []string {
	out := make([]string, 0, len(words))
	for _, w := range words {
		out = append(out, strings.ToUpper(w))
	}
	return out
}

func change(before, after, total string) string {
	if before == after {
		return after + total
	}
	return before + " -> " + after + total
}

// of is what a machine has in all; nothing for one that does not say.
func of(m schedule.Machine, total string) string {
	if m.Capacity == nil {
		return ""
	}
	return "/" + total
}

// An amount that includes estimates is marked.
func (l load) cpu() string    { return l.mark(cores(l.takes.CPU)) }
func (l load) memory() string { return l.mark(size(l.takes.Memory)) }

func (l load) mark(s string) string {
	if l.estimated && s != "0" {
		return "~" + s
	}
	return s
}

func cores(milli int64) string { return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64) }

// size is bytes for people, to the base 1024.
func size(n int64) string {
	units := []string{"", "K", "M", "G", "T", "P"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0") + units[i]
}

// printTrouble prints why units are nowhere, or stay where they should not, and
// what would help.
func printTrouble(w io.Writer, p schedule.Plan, s *schedule.Scheduler) {
	for _, e := range p.Unplaced {
		if more, err := s.Explain(e.Unit); err == nil {
			e = more
		}
		fmt.Fprint(w, "\n", e)
	}
	for _, e := range p.Blocked {
		fmt.Fprint(w, "\nblocked: ", e)
	}
}

func printSummary(w io.Writer, p schedule.Plan) {
	s := p.Stats
	fmt.Fprintf(w, "\n%d placed, %d moved, %d removed, %d stay, %d without a place, %d blocked\n", s.New, s.Moved, s.Removed, s.Kept, s.Unplaced, s.Blocked)
}

func printTable(w io.Writer, rows [][]string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	_ = tw.Flush() // nothing can be done about a stdout that is closed
}
