package unit_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	sdunit "github.com/coreos/go-systemd/v22/unit"
	"github.com/strakeproject/strake/unit"
)

func mustParse(t *testing.T, text string) *unit.File {
	t.Helper()
	f, err := unit.Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return f
}

func TestHashIsOverTheSerialisedFile(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"[Service]\nExecStart=/bin/sleep 3000\n", "7dc08eb00f0c705e84a61e030d98e8cc3c994954"},
		{"# x\n\n[Service]\n\n; y\n  ExecStart =  /bin/sleep 3000  \r\n\n[X-Fleet]", "7dc08eb00f0c705e84a61e030d98e8cc3c994954"},
		{"[Service]\nExecStart=/bin/sleep 9000\n", "e98140114e2c37758189ccbd33500b5f270a4d01"},
		{"[Unit]\nDescription=x\n", "9fcce57bebda098e6fb9d87b2543194856511ef2"},
	} {
		h := mustParse(t, c.text).Hash()
		if h.String() != c.want || h.Short() != c.want[:7] {
			t.Errorf("hash of %q = %s (%s), want %s", c.text, h, h.Short(), c.want)
		}
		if back, err := unit.ParseHash(c.want); err != nil || back != h || back.IsZero() {
			t.Errorf("ParseHash(%q) = %v, %v, want %v", c.want, back, err, h)
		}
	}
	for _, s := range []string{"", "7dc08eb", strings.Repeat("g", 40)} {
		if h, err := unit.ParseHash(s); err == nil || !h.IsZero() {
			t.Errorf("ParseHash(%q) = %v, %v, want an error", s, h, err)
		}
	}
}

func TestParseAndSerialise(t *testing.T) {
	for _, c := range []struct{ about, text, want string }{
		{"an empty file", "", ""},
		{"text before the first section is skipped", "garbage\na=b\n", ""},
		{"a header may follow such text", "\ufeff[A]\nx=1", "[A]\nx=1\n"},
		{"a section without options vanishes", "[A]\n[B]\nx=1\n[X-Fleet]\n", "[B]\nx=1\n"},
		{"sections merge in order of first appearance", "[A]\nx=1\n[B]\ny=2\n[A]\nx=3\n", "[A]\nx=1\nx=3\n\n[B]\ny=2\n"},
		{"an empty value stays", "[A]\nx=\nx = 1\n", "[A]\nx=\nx=1\n"},
		{"values keep what is inside", "[A]\nx= a = \"b  c\" # d ; e\n", "[A]\nx=a = \"b  c\" # d ; e\n"},
		{"a continued value is kept verbatim", "[A]\nx=/bin/echo a \\\n   b\ny=1\n", "[A]\nx=/bin/echo a \\\n   b\ny=1\n"},
		{"so are comments inside it", "[A]\nx=a \\\n# c \\\n b\n", "[A]\nx=a \\\n# c \\\n b\n"},
		{"a blank line ends a continued value", "[A]\nx=a \\\n  \ny=1\n", "[A]\nx=a \\\n\ny=1\n"},
		{"so does the end of the file", "[A]\nx=a \\", "[A]\nx=a \\\n\n"},
		{"a backslash before trailing space swallows nothing", "[A]\nx=a \\ \ny=1\n", "[A]\nx=a \\\n\ny=1\n"},
		{"carriage returns end lines", "[A]\r\nx=a \\\r\n b\r\ny=1\r\n", "[A]\nx=a \\\n b\ny=1\n"},
		{"a comment continues over a backslash", "[A]\n# c \\\nx=1\ny=2\n; c \\ \nx=1\n", "[A]\ny=2\n"},
		{"leading white space does not matter", "  [A]\n\t x=1\n  # c\n", "[A]\nx=1\n"},
		{"long lines are whole", "[A]\nx=" + strings.Repeat("y", 100_000), "[A]\nx=" + strings.Repeat("y", 100_000) + "\n"},
	} {
		if got := mustParse(t, c.text).String(); got != c.want {
			t.Errorf("%s: Parse(%.80q) serialises to\n%.80q, want\n%.80q", c.about, c.text, got, c.want)
		}
	}
}

func TestParseNamesLineAndReason(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"[A", "line 1: unable to find end of section"},
		{"\n[A]\nx=1\n[B\n]\n", "line 4: unable to find end of section"},
		{"[A] b\n", `line 1: found garbage after section name A: "b"`},
		{"[A]\nx=1\nfoo\n", "line 3: unexpected newline encountered while parsing option name"},
		{"[A]\nfoo", "line 2: unexpected newline encountered while parsing option name"},
		{"[A]\n=1\n", "line 2: option name is empty"},
		{"[A]\nx=a\rExecStop=b\n", "line 2: value contains a carriage return or NUL byte"},
		{"[A]\nx=a\x00b\n", "line 2: value contains a carriage return or NUL byte"},
		{"[A]\nx=1\n#" + strings.Repeat("y", 1<<20), "line 3: line too long (max 1048576 bytes)"},
		{"[A]\nx=1\\\n" + strings.Repeat("y", 1<<20+1) + "\n", "line 3: line too long (max 1048576 bytes)"},
	} {
		f, err := unit.Parse([]byte(c.text))
		if err == nil || err.Error() != c.want {
			t.Errorf("Parse(%.80q) = %v, %v, want error %q", c.text, f, err, c.want)
		}
		if _, ok := errors.AsType[*unit.ParseError](err); !ok {
			t.Errorf("Parse(%.80q): error %T, want a ParseError", c.text, err)
		}
	}
}

func TestNewFileRefusesWhatAFileCannotExpress(t *testing.T) {
	for _, c := range []struct {
		o    unit.Option
		want string // serialised, or "error: " and the reason
	}{
		{unit.Option{"Service", "ExecStart", " /bin/true "}, "[Service]\nExecStart=/bin/true\n"},
		{unit.Option{"Service", "ExecStart", "/bin/echo a \\\n b"}, "[Service]\nExecStart=/bin/echo a \\\n b\n"},
		{unit.Option{"Service", "ExecStart", "/bin/echo a \\\r\n b"}, "[Service]\nExecStart=/bin/echo a \\\n b\n"},
		{unit.Option{"Service", "ExecStart", `/bin/echo \`}, "[Service]\nExecStart=/bin/echo \\\n\n"},
		{unit.Option{"Service", "ExecStart", "/bin/echo a\nExecStop=/bin/true"}, `error: option "ExecStart" in section "Service": value contains a newline without a backslash before it`},
		{unit.Option{"Service", "ExecStart", "a \\\nb\nc"}, `error: option "ExecStart" in section "Service": value contains a newline without a backslash before it`},
		{unit.Option{"Service", "ExecStart", "a\rb"}, `error: option "ExecStart" in section "Service": value contains a carriage return or NUL byte`},
		{unit.Option{"Service", "", "a"}, `error: option "" in section "Service": option name is empty`},
		{unit.Option{"Service", "a=b", "a"}, `error: option "a=b" in section "Service": option name would read as something else in a file`},
		{unit.Option{"Service", "[X]", "a"}, `error: option "[X]" in section "Service": option name would read as something else in a file`},
		{unit.Option{"Service", " x", "a"}, `error: option " x" in section "Service": option name would read as something else in a file`},
		{unit.Option{"A]\n[B", "x", "a"}, `error: option "x" in section "A]\n[B": section name contains a character that ends it`},
		{unit.Option{"A", "x", strings.Repeat("a", 1<<20)}, `error: option "x" in section "A": line too long (max 1048576 bytes)`},
	} {
		f, err := unit.NewFile([]unit.Option{c.o})
		got := f.String()
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != c.want {
			t.Errorf("NewFile(%.80q) = %q, want %q", c.o, got, c.want)
		}
	}
}

func TestValuesReadAsSystemdReadsThem(t *testing.T) {
	f := mustParse(t, `[Service]
Environment=A=1
Environment=
Environment=B=2
Environment=C=3 \
  # a comment \
  D=4
Type=simple
Type=oneshot
[Other]
Type=x
`)
	if got, want := f.Values("Service", "Environment"), []string{"B=2", "C=3    D=4"}; !slices.Equal(got, want) {
		t.Errorf("Values = %q, want %q", got, want)
	}
	if got := f.Value("Service", "Type"); got != "oneshot" {
		t.Errorf("Value = %q, want oneshot", got)
	}
	if got := f.Value("Service", "type"); got != "" {
		t.Errorf("Value of another case = %q, want none", got)
	}
	if got := f.Options()[0]; got != (unit.Option{Section: "Service", Name: "Environment", Value: "A=1"}) {
		t.Errorf("first option = %+v", got)
	}
	var none *unit.File
	if none.Value("a", "b") != "" || none.Values("a", "b") != nil || none.Options() != nil || none.String() != "" {
		t.Error("a nil file is not empty")
	}
}

// realUnits are unit files as people wrote them for fleet.
var realUnits = []string{`[Unit]
Description=My Advanced Service
After=etcd.service
After=docker.service

[Service]
TimeoutStartSec=0
ExecStartPre=-/usr/bin/docker kill apache1
ExecStartPre=-/usr/bin/docker rm apache1
ExecStartPre=/usr/bin/docker pull coreos/apache
ExecStart=/usr/bin/docker run --name apache1 -p 80:80 coreos/apache /usr/sbin/apache2ctl -D FOREGROUND
ExecStartPost=/usr/bin/etcdctl set /domains/example.com/10.10.10.123:8081 running
ExecStop=/usr/bin/docker stop apache1
ExecStopPost=/usr/bin/etcdctl rm /domains/example.com/10.10.10.123:8081

[Install]
WantedBy=multi-user.target
`, `[Service]
ExecStartPre=/usr/bin/etcdctl set /coreos.com/network/config \
  '{ "Network": "10.1.0.0/16" }'

[X-Fleet]
Conflicts=web@*.service
MachineMetadata="region=eu" "disk=ssd"
`, `
; announce
[Unit]
BindsTo=web@%i.service
[Service]
ExecStart=/bin/sh -c "while true; do \
    etcdctl set /web/%i up --ttl 60; \
    sleep 45; done"

[Service]
Restart=on-failure
[X-Fleet]
MachineOf=web@%i.service`}

func TestSerialisationAgreesWithGoSystemd(t *testing.T) {
	for _, text := range realUnits {
		f := mustParse(t, text)
		var options []*sdunit.UnitOption
		for _, o := range f.Options() {
			options = append(options, sdunit.NewUnitOption(o.Section, o.Name, o.Value))
		}
		theirs, err := sdunit.DeserializeOptions(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if !sdunit.AllMatch(options, theirs) {
			t.Errorf("Parse(%q) = %q, want what go-systemd reads: %q", text, options, theirs)
		}
		want, err := io.ReadAll(sdunit.Serialize(theirs))
		if err != nil {
			t.Fatal(err)
		}
		if got := f.String(); got != string(want) {
			t.Errorf("serialised\n%s\nwant what go-systemd writes\n%s", got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range realUnits {
		f.Add([]byte(text))
	}
	for _, text := range []string{"[A]\nx=a \\ \ny=1", "[A]\nx=\\\n\\\n\n[B]\n#\\\nz=1\\", "x[A]\r\n \x85=\r\n", "[]\n==\n[\xff]\n\xff=\u00a0\\\n\u2028"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := unit.Parse(text)
		if err != nil {
			return
		}
		second, err := unit.Parse([]byte(first.String()))
		if err != nil {
			t.Fatalf("Parse(%q) serialises to %q, which does not parse: %v", text, first, err)
		}
		if first.String() != second.String() {
			t.Fatalf("Parse(%q) serialises to %q, which reads as %q", text, first, second)
		}
		third, err := unit.NewFile(first.Options())
		if err != nil || third.Hash() != first.Hash() {
			t.Fatalf("NewFile of the options of %q = %q, %v", first, third, err)
		}
		if got, want := len(second.Options()), len(first.Options()); got != want {
			t.Fatalf("%q has %d options, read again %d", text, want, got)
		}
	})
}
