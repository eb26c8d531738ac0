package registry

import (
	"strings"
	"testing"

	"github.com/strakeproject/strake/kv"
)

// Whatever anybody writes below the root, a view survives it and ends up as
// empty as it began when all is removed.
func FuzzMirrorSurvivesAnyKeys(f *testing.F) {
	f.Add("job/a.service/object", `{"Name":"a.service","UnitHash":[1,2,3]}`)
	f.Add("job/a.service/object\njob/a.service/target", "m1")
	f.Add("job/a.service", "a file where a directory should be")
	f.Add("states/a.service/m1", `{"unitHash":"e98140114e2c37758189ccbd33500b5f270a4d01"}`)
	f.Add("machines/m1/object\nmachines/m1/metadata/k", `{"ID":"m1","PublicIP":"x"}`)
	f.Add("lease/engine-leader\n", "m1")
	f.Fuzz(func(t *testing.T, paths, value string) {
		const root = layout("/_coreos.com/fleet")
		for _, scope := range []Scope{{}, {States: true}, {Machine: "m1"}} {
			m := newMirror(scope, 0)
			var nodes []kv.Node
			for path := range strings.Lines(paths) {
				n := kv.Node{Key: kv.Join(string(root), strings.TrimSpace(path)), Value: value}
				nodes = append(nodes, n)
				ev := kv.Event{Action: kv.ActionSet, Node: n}
				m.needs(root, ev)
				m.apply(root, ev)
			}
			for _, h := range m.missing() {
				m.offerFile(h, nil)
			}
			for name := range m.names() {
				_, _ = m.unit(name)
			}
			for range m.allMachines() {
			}
			for _, n := range nodes {
				m.apply(root, kv.Event{Action: kv.ActionDelete, Node: kv.Node{Key: n.Key}})
			}
			if n := len(m.units) + len(m.machines) + len(m.states) + len(m.files) + len(m.wanted); n != 0 {
				t.Errorf("scope %+v: %d records are left after all of %q with %q are removed", scope, n, paths, value)
			}
		}
	})
}
