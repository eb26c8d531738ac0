package agent

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// TestPlanTranscripts replays testdata/plan. A command "round" is given lines
//
//	machine ID k=v...                                    the agent's machine
//	unit NAME STATE [on=ID] [version=V] [KEY=VALUE...]   a unit of the registry
//	held NAME STATE [version=V]                          a unit of the runner
//
// and answers with the tasks. Further words of a unit are [X-Fleet] options.
func TestPlanTranscripts(t *testing.T) {
	datadriven.RunTest(t, "testdata/plan", func(t *testing.T, d *datadriven.TestData) string {
		var machine registry.Machine
		var units []registry.Unit
		have := make(map[string]held)
		for line := range strings.Lines(d.Input) {
			words := strings.Fields(line)
			options := make(map[string]string)
			var rest []string
			for _, w := range words[2:] {
				if k, v, ok := strings.Cut(w, "="); ok {
					options[k] = v
				} else {
					rest = append(rest, w)
				}
			}
			switch words[0] {
			case "machine":
				machine = registry.Machine{ID: words[1], PublicIP: netip.MustParseAddr("127.0.0.1"), Metadata: options}
			case "unit":
				units = append(units, testUnit(t, words[1], registry.State(rest[0]), options))
			case "held":
				u := testUnit(t, words[1], "", options)
				have[words[1]] = held{hash: u.Hash, state: registry.State(rest[0])}
			}
		}
		var b strings.Builder
		for _, task := range plan(desired(machine, units), have) {
			fmt.Fprintf(&b, "%s %s: %s\n", task.verb, task.unit, task.reason)
		}
		if b.Len() == 0 {
			return "nothing\n"
		}
		return b.String()
	})
}

func testUnit(t *testing.T, name string, target registry.State, options map[string]string) registry.Unit {
	t.Helper()
	text := "[Service]\nExecStart=/bin/true " + options["version"] + "\n[X-Fleet]\n"
	for k, v := range options {
		if k != "version" && k != "on" {
			text += k + "=" + v + "\n"
		}
	}
	f, err := unit.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o, _, err := unit.ParseOptions(name, f)
	if err != nil {
		t.Fatal(err)
	}
	return registry.Unit{Name: name, File: f, Hash: f.Hash(), Options: o, Target: target, Machine: options["on"]}
}
