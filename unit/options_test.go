package unit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strakeproject/strake/unit"
)

// describe prints options as the tests below want them: one field a line, those
// that are not set left out, then the warnings, then the error.
func describe(o unit.Options, warnings []unit.Warning, err error) string {
	var b strings.Builder
	for _, field := range []struct {
		name  string
		value any
		set   bool
	}{
		{"MachineID", o.MachineID, o.MachineID != ""},
		{"MachineOf", o.MachineOf, o.MachineOf != nil},
		{"MachineMetadata", o.MachineMetadata, o.MachineMetadata != nil},
		{"Conflicts", o.Conflicts, o.Conflicts != nil},
		{"Replaces", o.Replaces, o.Replaces != nil},
		{"Global", o.Global, o.Global},
	} {
		if field.set {
			fmt.Fprintf(&b, "%s %q\n", field.name, field.value)
		}
	}
	for _, w := range warnings {
		fmt.Fprintf(&b, "warning %s:%d: %s\n", w.Key, w.Line, w.Text)
	}
	if err != nil {
		fmt.Fprintf(&b, "error %v\n", err)
	}
	return strings.ReplaceAll(b.String(), "%!q(bool=true)", "true")
}

func TestOptionsReadAsFleetReadsThem(t *testing.T) {
	for _, c := range []struct{ about, name, text, want string }{
		{"no section", "a.service", "", ""},
		{"the first machine id wins", "a.service", "MachineID=m1\nMachineID=m2", `MachineID "m1"`},
		{"the modern machine id is preferred", "a.service", "X-ConditionMachineID=old\nMachineID=new", `MachineID "new"`},
		{"a boot id counts as a machine id", "a.service", "X-ConditionMachineBootID=b", `MachineID "b"`},
		{"a machine id may be the instance", "a@m7.service", "MachineID=%i", `MachineID "m7"`},
		{"legacy values come first", "a.service", "MachineOf=b.service\nX-ConditionMachineOf=c.service", `MachineOf ["c.service" "b.service"]`},
		{
			"metadata of one key are alternatives", "a.service", "MachineMetadata=\"region=eu\" \"disk=ssd\"\nMachineMetadata=region=us\nX-ConditionMachineMetadata=region=eu",
			`MachineMetadata map["disk":["ssd"] "region":["eu" "us"]]`,
		},
		{
			"quotes without a space between join", "a.service", `MachineMetadata="a=1""b=2"`,
			`warning MachineMetadata:2: MachineMetadata "a=1b=2" is not one key=value pair and is ignored: it constrains nothing`,
		},
		{
			"a value not wholly quoted is one", "a.service", `MachineMetadata="region=x" disk=y`,
			`warning MachineMetadata:2: MachineMetadata "\"region=x\" disk=y" is not one key=value pair and is ignored: it constrains nothing`,
		},
		{"a space inside quotes stays", "a.service", `MachineMetadata="rack=a b"  "c=d"`, `MachineMetadata map["c":["d"] "rack":["a b"]]`},
		{"continued lists join", "a.service", "MachineMetadata=\"a=1\" \\\n  \"b=2\"", `MachineMetadata map["a":["1"] "b":["2"]]`},
		{"metadata without a value are ignored", "a.service", "MachineMetadata=disk=%i\nMachineMetadata=novalue\nMachineMetadata=a=b=c\nMachineMetadata==x", `
warning MachineMetadata:2: MachineMetadata "disk=" is not one key=value pair and is ignored: it constrains nothing
warning MachineMetadata:3: MachineMetadata "novalue" is not one key=value pair and is ignored: it constrains nothing
warning MachineMetadata:4: MachineMetadata "a=b=c" is not one key=value pair and is ignored: it constrains nothing
warning MachineMetadata:5: MachineMetadata "=x" is not one key=value pair and is ignored: it constrains nothing`},
		{"conflicts split at white space", "a.service", "Conflicts=a* b*\nConflicts=\"c*\" \"d* e*\"\nX-Conflicts=f*", `Conflicts ["f*" "a*" "b*" "c*" "d*" "e*"]`},
		{"replaces do not", "a.service", "Replaces=b.service c.service", `Replaces ["b.service c.service"]`},
		{"two peers on a line are one name", "a.service", "MachineOf=b.service c.service", `
MachineOf ["b.service c.service"]
warning MachineOf:2: MachineOf takes one value: no name can match "b.service c.service"`},
		{"specifiers expand", "web@7.service", "MachineOf=%p-db@%i.service\nConflicts=%p@*.service", `
MachineOf ["web-db@7.service"]
Conflicts ["web@*.service"]`},
		{"those of a template wait for its instances", "web@.service", "MachineID=%i\nMachineMetadata=disk=%i", `
MachineID "%i"
MachineMetadata map["disk":["%i"]]`},
		{"words for true", "a.service", "Global=TRUE", `Global true`},
		{"the last word wins", "a.service", "Global=yes\nGlobal=no", ``},
		{"other words are false", "a.service", "Global=ture", `warning Global:2: Global "ture" is neither true nor false and counts as false`},
		{"keys are case-sensitive", "a.service", "machineid=m\nBogus=1", `
warning machineid:2: unrecognized requirement in [X-Fleet] section: "machineid"
warning Bogus:3: unrecognized requirement in [X-Fleet] section: "Bogus"`},
		{"an empty pattern matches nothing", "a.service", "Conflicts=\nReplaces=%i", `
warning Conflicts:2: Conflicts is empty and ignored
warning Replaces:3: Replaces is empty and ignored`},
		{"metadata go with a machine id", "a.service", "MachineID=m\nMachineMetadata=a=b", `
MachineID "m"
MachineMetadata map["a":["b"]]`},
		{"a hard constraint needs a value", "a.service", "MachineID=%i", `error MachineID is empty: no machine could run the unit`},
		{"so does a peer", "a.service", "MachineOf=", `error MachineOf is empty: no machine could run the unit`},
	} {
		f := mustParse(t, "[X-Fleet]\n"+c.text)
		got := describe(unit.ParseOptions(c.name, f))
		if want := strings.TrimSpace(c.want); strings.TrimSpace(got) != want {
			t.Errorf("%s: options of %s with\n%s\nare\n%s\nwant\n%s", c.about, c.name, c.text, got, want)
		}
	}
}

func TestOptionsThatExcludeEachOtherAreRefusedInFleetsOrder(t *testing.T) {
	all := map[string]string{
		"id": "MachineID=m", "peer": "MachineOf=a.service", "conflict": "Conflicts=b*", "own-conflict": "Conflicts=b* a*",
		"replace": "Replaces=c*", "own-replace": "Replaces=a.service", "global": "Global=true",
	}
	for _, c := range []struct{ options, want string }{
		{"id peer own-conflict own-replace global", `unresolvable requirements: peer "a.service" matches conflict "a*"`},
		{"id peer conflict own-replace global", `unresolvable requirements: peer "a.service" matches replace "a.service"`},
		{"id peer conflict replace global", "MachineID cannot be used with Peers"},
		{"id conflict replace global", "MachineID cannot be used with Conflicts"},
		{"id replace global", "MachineID cannot be used with Global"},
		{"id replace", "MachineID cannot be used with Replaces"},
		{"global peer conflict replace", "Global cannot be used with Peers"},
		{"global conflict replace", "Global cannot be used with Replaces"},
		{"conflict replace", "Conflicts cannot be used with Replaces"},
		{"conflict peer", ""},
		{"global conflict", ""},
		{"peer replace", ""},
	} {
		text := "[X-Fleet]\n"
		for _, key := range strings.Fields(c.options) {
			text += all[key] + "\n"
		}
		_, _, err := unit.ParseOptions("x.service", mustParse(t, text))
		got := ""
		if err != nil {
			got = err.Error()
			if _, ok := errors.AsType[*unit.OptionError](err); !ok {
				t.Errorf("%s: error %T, want an OptionError", c.options, err)
			}
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.options, got, c.want)
		}
	}
}

func TestRefusalsSeeExpandedSpecifiers(t *testing.T) {
	f := mustParse(t, "[X-Fleet]\nMachineOf=db@%i.service\nConflicts=db@1*\n")
	if _, _, err := unit.ParseOptions("web@1.service", f); err == nil || err.Error() != `unresolvable requirements: peer "db@1.service" matches conflict "db@1*"` {
		t.Errorf("instance 1: %v, want its peer to be refused", err)
	}
	if _, _, err := unit.ParseOptions("web@2.service", f); err != nil {
		t.Errorf("instance 2: %v, want none", err)
	}
}

func TestWarningsFromOptionsHaveNoLine(t *testing.T) {
	f, err := unit.NewFile([]unit.Option{{Section: "X-Fleet", Name: "Memory", Value: "1G"}})
	if err != nil {
		t.Fatal(err)
	}
	_, warnings, err := unit.ParseOptions("a.service", f)
	if err != nil || len(warnings) != 1 || warnings[0].Line != 0 || !warnings[0].Unknown || warnings[0].Key != "Memory" {
		t.Errorf("got %+v, %v, want one warning of an unknown key without a line", warnings, err)
	}
}
