package cloudconfig_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/cloudconfig"
)

// The transcripts give texts and show what Validate and Parse make of them.
//
//	config [crlf]    the text is the input
//	breaks           <NEL>, <LS> and <CR> in it stand for these characters
//	file name=NAME   the text is testdata/configs/NAME
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			switch td.Cmd {
			case "config":
				text := td.Input
				if td.HasArg("crlf") {
					text = strings.ReplaceAll(text, "\n", "\r\n") + "\r\n"
				}
				return outcome([]byte(text))
			case "breaks":
				replaced := strings.NewReplacer("<NEL>", "\u0085", "<LS>", "\u2028", "<CR>", "\r").Replace(td.Input)
				return outcome([]byte(replaced))
			case "file":
				var name string
				td.ScanArgs(t, "name", &name)
				return outcome(readConfig(t, name))
			}
			td.Fatalf(t, "unknown command %q", td.Cmd)
			return ""
		})
	})
}

func outcome(text []byte) string {
	var b strings.Builder
	for _, entry := range cloudconfig.Validate(text) {
		fmt.Fprintf(&b, "%v\n", entry)
	}
	c, err := cloudconfig.Parse(text)
	if err != nil {
		return b.String() + "refused: " + err.Error() + "\n"
	}
	show(&b, c)
	if b.Len() == 0 {
		return "ok\n"
	}
	return b.String()
}

// show prints what of a config is not zero.
func show(b *strings.Builder, c *cloudconfig.Config) {
	for _, f := range []struct{ key, value string }{
		{"hostname", c.Hostname},
		{"keys", strings.Join(c.SSHAuthorizedKeys, ", ")},
		{"hosts", c.ManageEtcHosts},
		{"reboot strategy", c.CoreOS.Update.RebootStrategy},
		{"update group", c.CoreOS.Update.Group},
	} {
		if f.value != "" {
			fmt.Fprintf(b, "%s %s\n", f.key, f.value)
		}
	}
	for _, u := range c.Users {
		fmt.Fprintf(b, "user %q groups %q shell %q keys %q passwd %q\n", u.Name, u.Groups, u.Shell, u.SSHAuthorizedKeys, u.PasswordHash)
	}
	for _, f := range c.WriteFiles {
		fmt.Fprintf(b, "file %s %v %q owner %q\n", f.Path, f.Mode, f.Content, f.Owner)
	}
	for _, u := range c.CoreOS.Units {
		fmt.Fprintf(b, "unit %q runtime %v enable %v mask %v command %q content %q\n", u.Name, u.Runtime, u.Enable, u.Mask, u.Command, u.Content)
		for _, d := range u.DropIns {
			fmt.Fprintf(b, "  drop-in %q %q\n", d.Name, d.Content)
		}
	}
	for _, f := range c.Dropins() {
		fmt.Fprintf(b, "%s\n", f.Path)
		for line := range strings.Lines(f.Content) {
			fmt.Fprintf(b, "  %s\n", strings.TrimSuffix(line, "\n"))
		}
	}
}

func readConfig(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "configs", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestKindIsToldByTheFirstLine(t *testing.T) {
	for _, c := range []struct {
		text string
		want cloudconfig.Kind
	}{
		{"", cloudconfig.KindEmpty},
		{"\n", cloudconfig.KindUnknown},
		{"#!/bin/sh\n", cloudconfig.KindScript},
		{"#cloud-config", cloudconfig.KindCloudConfig},
		{"#cloud-config \t\r\nhostname: a\n", cloudconfig.KindCloudConfig},
		{"\n#cloud-config\n", cloudconfig.KindUnknown},
		{"\ufeff#cloud-config\n", cloudconfig.KindUnknown},
		{"#cloud-config v2\n", cloudconfig.KindUnknown},
		{`{"ignitionVersion": 1}`, cloudconfig.KindIgnition},
		{`{"ignition": {"version": "2.0.0"}}`, cloudconfig.KindIgnition},
		{`{"ignition": {"version": 2}}`, cloudconfig.KindUnknown},
		{`{"hostname": "a"}`, cloudconfig.KindUnknown},
		{"\x1f\x8b", cloudconfig.KindGzip},
	} {
		if got := cloudconfig.KindOf([]byte(c.text)); got != c.want {
			t.Errorf("KindOf(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

func TestAliasesThatMultiplyAreRefused(t *testing.T) {
	const wide = 1000
	dropins := "&d [" + strings.Repeat("{name: a}, ", wide) + "]"
	units := "[{name: u, drop_ins: " + dropins + "}" + strings.Repeat(", {drop_ins: *d}", wide) + "]"
	text := "#cloud-config\ncoreos: {units: " + units + "}\n"
	_, err := cloudconfig.Parse([]byte(text))
	if e, ok := errors.AsType[*cloudconfig.Error](err); !ok || !strings.Contains(e.Reason, "aliases") {
		t.Fatalf("got error %v, want one about aliases", err)
	}
}

func TestCompressedContentsCannotFillTheMemory(t *testing.T) {
	bomb := gzipped(t, 65<<20)
	_, err := cloudconfig.Parse([]byte("#cloud-config\nwrite_files: [{path: /a, encoding: gz+b64, content: " + bomb + "}]\n"))
	if err == nil || !strings.Contains(err.Error(), "64 MiB") {
		t.Fatalf("got error %v, want one that names the limit", err)
	}
	// Many small ones count together.
	small := gzipped(t, 30<<20)
	item := "{path: /a, encoding: gz+b64, content: "
	text := "#cloud-config\nwrite_files: [" + item + "&c " + small + "}, " + item + "*c }, " + item + "*c }]\n"
	_, err = cloudconfig.Parse([]byte(text))
	if err == nil || !strings.Contains(err.Error(), "64 MiB") {
		t.Fatalf("got error %v for three contents of 30 MiB, want one that names the limit", err)
	}
}
