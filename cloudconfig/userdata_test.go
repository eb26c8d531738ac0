package cloudconfig_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/cloudconfig"
)

// The transcripts of testdata/userdata give whole user-data and show what
// becomes of it.
//
//	unpack [gzip] [base64]     print the parts; the text is wrapped first
//	validate [gzip] [base64]   print the report
//	json                       print the report as JSON
//	read [gzip] [base64]       print what it asks for, addresses substituted
//	substitute                 print the text with addresses, private IPv6 unknown
func TestUserDataTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/userdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, userData)
	})
}

func userData(t *testing.T, td *datadriven.TestData) string {
	t.Helper()
	addresses := cloudconfig.Addresses{
		PrivateIPv4: netip.MustParseAddr("10.1.1.1"),
		PublicIPv4:  netip.MustParseAddr("192.0.2.1"),
		PublicIPv6:  netip.MustParseAddr("2001:db8::1"),
	}
	data := []byte(strings.ReplaceAll(td.Input+"\n", "<blank>", ""))
	if td.HasArg("gzip") {
		data = compress(t, data)
	}
	if td.HasArg("base64") {
		data = []byte(base64.StdEncoding.EncodeToString(data))
	}
	switch td.Cmd {
	case "unpack":
		parts, err := cloudconfig.Unpack(data)
		if err != nil {
			return "refused: " + err.Error() + "\n"
		}
		var b strings.Builder
		for _, p := range parts {
			fmt.Fprintf(&b, "%s %q from line %d: %q\n", p.Kind, p.Name, p.Line, p.Text)
		}
		return b.String()
	case "validate":
		return orNothing(cloudconfig.Validate(data).String())
	case "json":
		text, err := json.Marshal(cloudconfig.Validate(data))
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(text), "},", "},\n") + "\n"
	case "read":
		u, err := cloudconfig.Read(data, addresses)
		if err != nil {
			return "refused: " + err.Error() + "\n"
		}
		var b strings.Builder
		show(&b, u.Config)
		for _, s := range u.Scripts {
			fmt.Fprintf(&b, "script %q\n", s)
		}
		if u.Ignition {
			b.WriteString("ignition\n")
		}
		b.WriteString(u.Unknown.String())
		return b.String()
	case "substitute":
		text, report := cloudconfig.Substitute(td.Input, addresses)
		return text + "\n" + report.String()
	}
	td.Fatalf(t, "unknown command %q", td.Cmd)
	return ""
}

func compress(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUserDataThatGrowsIsRefused(t *testing.T) {
	config := []byte("#cloud-config\n")
	bomb := compress(t, append(config, bytes.Repeat([]byte("#"), 65<<20)...))
	part := "--b\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString(compress(t, append(config, bytes.Repeat([]byte("#"), 30<<20)...))) + "\n"
	nested := config
	for range 20 {
		nested = compress(t, nested)
	}
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"one bomb", "64 MiB", bomb},
		{"a bomb within a bomb", "64 MiB", compress(t, bomb)},
		{"several parts", "64 MiB", []byte("Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat(part, 3) + "--b--\n")},
		{"layers", "more than 8 times", nested},
		{"parts", "more than 1000 parts", []byte("Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\n#!\n", 1001) + "--b--\n")},
		{"cut", "unexpected EOF", compress(t, config)[:20]},
	} {
		_, err := cloudconfig.Unpack(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one that says %q", c.name, err, c.want)
		}
		if len(c.data) > 64<<10 {
			continue // it takes its time
		}
		if report := cloudconfig.Validate(c.data); len(report) != 1 || report[0].Severity != cloudconfig.SeverityError {
			t.Errorf("%s: got report %v, want one error", c.name, report)
		}
	}
}

func TestAddressesComeFromTheEnvironmentAndElsewhere(t *testing.T) {
	env := map[string]string{"COREOS_PUBLIC_IPV4": "192.0.2.1", "COREOS_PRIVATE_IPV4": " 10.0.0.1 ", "COREOS_PUBLIC_IPV6": "none"}
	read := cloudconfig.ReadAddresses(func(name string) string { return env[name] })
	known := cloudconfig.Addresses{PrivateIPv4: netip.MustParseAddr("10.9.9.9")}.Or(read)
	got := fmt.Sprint(known.Environment())
	if want := "[{COREOS_PRIVATE_IPV4 10.9.9.9} {COREOS_PUBLIC_IPV4 192.0.2.1}]"; got != want {
		t.Errorf("got variables %s, want %s", got, want)
	}
}

// Each configuration of the corpus has its report beside it.
func TestCorpusIsReportedAsRecorded(t *testing.T) {
	names, err := filepath.Glob("testdata/configs/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no configurations: %v", err)
	}
	datadriven.RunTest(t, "testdata/corpus", func(t *testing.T, td *datadriven.TestData) string {
		var b strings.Builder
		for _, name := range names {
			text := readConfig(t, filepath.Base(name))
			fmt.Fprintf(&b, "%s:\n", filepath.Base(name))
			for _, entry := range cloudconfig.Validate(text) {
				fmt.Fprintf(&b, "  %v\n", entry)
			}
			if _, err := cloudconfig.Read(text, cloudconfig.Addresses{}); err != nil {
				fmt.Fprintf(&b, "  refused: %v\n", err)
			}
		}
		return b.String()
	})
}
