package registry

import (
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/unit"
)

func TestUnitIsReportedOnceThereIsSomethingToSee(t *testing.T) {
	const root = layout("/r")
	f, err := unit.Parse([]byte("[Service]\nExecStart=/bin/true\n"))
	if err != nil {
		t.Fatal(err)
	}
	m := newMirror(Scope{Machine: "m1"}, 0)
	put := func(key, value string) {
		m.apply(root, kv.Event{Action: kv.ActionSet, Node: kv.Node{Key: key, Value: value}})
	}
	reported := func() bool { return len(m.changedUnits) > 0 }

	put(root.object("a.service"), encodeObject("a.service", f.Hash(), false))
	put(root.target("a.service"), "m1")
	if got := m.missing(); len(got) != 1 || got[0] != f.Hash() {
		t.Errorf("scheduled here: files missing are %v, want %v", got, f.Hash())
	}
	if reported() {
		t.Error("scheduled here: the unit is reported before its file is there")
	}
	m.offerFile(f.Hash(), f)
	if u, err := m.unit("a.service"); !reported() || err != nil || u.Machine != "m1" {
		t.Errorf("with its file: reported %v, got %+v, %v", reported(), u, err)
	}
	clear(m.changedUnits)
	put(root.target("a.service"), "m2")
	if !reported() || len(m.files) != 0 {
		t.Errorf("gone: reported %v, %d files are kept", reported(), len(m.files))
	}
}
