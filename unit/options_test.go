package unit_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

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
	for _, field := range []struct {
		name  string
		value any
		set   bool
	}{
		{"Request", o.Request, !isZero(o.Request)},
		{"Limits", o.Limits, !isZero(o.Limits)},
		{"Ports", o.Ports, o.Ports != nil},
		{"DynamicPorts", o.DynamicPorts, o.DynamicPorts != 0},
		{"Priority", o.Priority, o.Priority != 0},
		{"NotPreemptible", o.NotPreemptible, o.NotPreemptible},
		{"NotMovable", o.NotMovable, o.NotMovable},
		{"Spread", o.Spread, o.Spread != nil},
		{"MaxSkew", o.MaxSkew, o.MaxSkew != 0},
		{"SpreadGroup", o.SpreadGroup, o.SpreadGroup != ""},
		{"MaxPerMachine", o.MaxPerMachine, o.MaxPerMachine != 0},
		{"SoftConflicts", o.SoftConflicts, o.SoftConflicts != nil},
		{"Require", o.Require, o.Require != nil},
		{"Prefer", o.Prefer, o.Prefer != nil},
		{"PinFirst", o.PinFirst, o.PinFirst},
	} {
		if field.set {
			fmt.Fprintf(&b, "%s %+v\n", field.name, field.value)
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

func isZero(r unit.Resources) bool { return r.CPU+r.Memory+r.Disk == 0 && len(r.Counters) == 0 }

// TestOptionsOfUnitFiles reads whole unit files. The command names the unit, the
// answer is what its options come to.
func TestOptionsOfUnitFiles(t *testing.T) {
	datadriven.Walk(t, "testdata/options", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			f, err := unit.Parse([]byte(d.Input))
			if err != nil {
				t.Fatalf("%s: %v", d.Pos, err)
			}
			got := describe(unit.ParseOptions(d.Cmd, f))
			if got == "" {
				return "nothing\n"
			}
			return got
		})
	})
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
warning machineid:2: unrecognized requirement in [X-Fleet] section: "machineid", did you mean "MachineID"?
warning Bogus:3: unrecognized requirement in [X-Fleet] section: "Bogus"`},
		{"an empty pattern matches nothing", "a.service", "Conflicts=\nReplaces=%i", `
warning Conflicts:2: Conflicts is empty and ignored
warning Replaces:3: Replaces is empty and ignored`},
		{"metadata go with a machine id", "a.service", "MachineID=m\nMachineMetadata=a=b", `
MachineID "m"
MachineMetadata map["a":["b"]]`},
		{"a hard constraint needs a value", "a.service", "MachineID=%i", `error line 2: MachineID is empty: no machine could run the unit`},
		{"so does a peer", "a.service", "MachineOf=", `error line 2: MachineOf is empty: no machine could run the unit`},
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
	f, err := unit.NewFile([]unit.Option{{Section: "X-Fleet", Name: "Bogus", Value: "1G"}})
	if err != nil {
		t.Fatal(err)
	}
	_, warnings, err := unit.ParseOptions("a.service", f)
	if err != nil || len(warnings) != 1 || warnings[0].Line != 0 || warnings[0].Key != "Bogus" {
		t.Errorf("got %+v, %v, want one warning of an unknown key without a line", warnings, err)
	}
}

func TestAmountsAreExact(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
	}{
		{"0", 0},
		{"1023", 1023},
		{"512M", 512 << 20},
		{"512MB", 512 << 20},
		{"1.5G", 3 << 29},
		{"0.1K", 103}, // 102.4, rounded up
		{"2048T", 1 << 51},
		{"2P", 1 << 51},
		{"0.001E", 1152921504606847},
	} {
		if got, err := unit.ParseSize(c.text); err != nil || got != c.want {
			t.Errorf("size %q: got %d, %v, want %d", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", "M", "1.", ".5G", "-1", "1e3", "1 G", "2049T", "9999999999999999999", "infinity", "50%", "1.0000000000000001"} {
		if got, err := unit.ParseSize(text); err == nil {
			t.Errorf("size %q: got %d, want it refused", text, got)
		}
	}
	for _, c := range []struct {
		text string
		want int64
	}{{"2", 2000}, {"0.25", 250}, {"250m", 250}, {"50%", 500}, {"0.0001", 1}, {"12.5%", 125}} {
		if got, err := unit.ParseCPU(c.text); err != nil || got != c.want {
			t.Errorf("CPU %q: got %d, %v, want %d", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", "m", "%", "1 core", "-1", "0x1"} {
		if got, err := unit.ParseCPU(text); err == nil {
			t.Errorf("CPU %q: got %d, want it refused", text, got)
		}
	}
}

// FuzzParseOptions wants options to survive being printed and read again, to be
// within their bounds, and to be refused with a line.
func FuzzParseOptions(f *testing.F) {
	for _, text := range []string{
		"Memory=512M\nCPU=250m\nDisk=1.5G\nResources=gpu=1 license/foo=2",
		"Ports=80 53/udp dynamic:3\nPriority=-5\nSpread=zone/rack max-skew=2\nMaxPerMachine=3",
		"Prefer=-20 disk=ssd\nRequire=\"a in (b,c)\"\nPin=first\nPreemptible=no\nMovable=off",
		"MachineOf=%p@%i.service\nMachineMetadata=\"a=1\" \"b=2\"\nConflicts=x* y*\n",
		"Memory=1.5.G\nCPU=%\nPorts=70000\nSpread=\nPrefer=101 a",
	} {
		f.Add("web@1.service", "[X-Fleet]\n"+text)
		f.Add("web@.service", "[Service]\nMemoryMax=1G\n[X-Fleet]\n"+text)
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		file, err := unit.Parse([]byte(text))
		if err != nil || unit.CheckName(name) != nil {
			return
		}
		o, _, err := unit.ParseOptions(name, file)
		if e, ok := errors.AsType[*unit.OptionError](err); err != nil && (!ok || e.Key == "" || strings.Contains(e.Reason, "\n") && !strings.Contains(text, "\\")) {
			t.Fatalf("refused with %T %v", err, err)
		}
		again, err2 := unit.Parse([]byte(file.String()))
		if err2 != nil {
			t.Fatal(err2)
		}
		o2, _, err2 := unit.ParseOptions(name, again)
		for _, o := range []*unit.Options{&o, &o2} {
			for i := range o.Require {
				o.Require[i].Line = 0
			}
			for i := range o.Prefer {
				o.Prefer[i].Line = 0
			}
		}
		if (err == nil) != (err2 == nil) || !reflect.DeepEqual(o, o2) {
			t.Fatalf("printed and read again:\n%+v, %v\nbefore:\n%+v, %v", o2, err2, o, err)
		}
		for _, n := range []int64{o.Request.CPU, o.Request.Memory, o.Request.Disk, o.Limits.CPU, o.Limits.Memory} {
			if n < 0 || n > 1<<51 {
				t.Fatalf("amount %d", n)
			}
		}
		if o.Priority < -1000 || o.Priority > 1000 || o.MaxPerMachine < 0 || o.DynamicPorts < 0 || o.MaxSkew < 0 {
			t.Fatalf("out of bounds: %+v", o)
		}
	})
}
