package cloudconfig_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strakeproject/strake/cloudconfig"
)

// addConfigs seeds a fuzz test with the corpus.
func addConfigs(f *testing.F) {
	f.Helper()
	names, err := filepath.Glob("testdata/configs/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		f.Add(readConfig(f, filepath.Base(name)))
	}
	f.Add([]byte("#cloud-config\na: &a {<<: *a}\ncoreos: *a\nusers: &u [*u]\n"))
	f.Add([]byte("#cloud-config\n\"0\r\r"))
	f.Add([]byte("#cloud-config\nwrite_files: [{path: /a, content: !!binary aGk=, encoding: gz}]\n"))
	f.Add([]byte("#cloud-config\ncoreos: {fleet: {verbosity: 0x1_f, token_limit: 1e400, engine_reconcile_interval: -.inf}}\n...\n"))
}

// FuzzParse holds Parse and Validate to each other: neither panics, what Parse
// refuses the report calls an error, and lines lie within the text.
func FuzzParse(f *testing.F) {
	addConfigs(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		config, err := cloudconfig.Parse(text)
		if err == nil {
			config.Dropins()
		}
		switch cloudconfig.KindOf(text) {
		case cloudconfig.KindCloudConfig, cloudconfig.KindUnknown:
		default:
			return
		}
		lines := bytes.Count(text, []byte("\n")) + 2
		errors := 0
		for _, entry := range cloudconfig.Validate(text) {
			if entry.Line < 1 || entry.Line > lines || entry.Column < 0 {
				t.Errorf("entry %v is outside the %d lines of %q", entry, lines, text)
			}
			if entry.Severity == cloudconfig.SeverityError {
				errors++
			}
		}
		if err != nil && errors == 0 {
			t.Errorf("Parse(%q) = %v, but the report has no error", text, err)
		}
	})
}

// FuzzRead takes wrappings off: what Read refuses the report calls an error, and
// a part that is said to stand in the text does.
func FuzzRead(f *testing.F) {
	addConfigs(f)
	multipart := "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/cloud-config\n\n#cloud-config\nhostname: a\n" +
		"--b\nContent-Transfer-Encoding: base64\n\nIyEvYmluL3NoCg==\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\n#!\n--c--\n--b--\n"
	f.Add([]byte(multipart))
	f.Add(compress(f, []byte(multipart)))
	f.Add([]byte(base64.StdEncoding.EncodeToString([]byte(multipart))))
	f.Fuzz(func(t *testing.T, data []byte) {
		report := cloudconfig.Validate(data)
		_, err := cloudconfig.Read(data, cloudconfig.Addresses{})
		failed := slices.ContainsFunc(report, func(e cloudconfig.Entry) bool { return e.Severity == cloudconfig.SeverityError })
		if err != nil && !failed && !bytes.Contains(data, []byte("_ipv")) && cloudconfig.KindOf(data) == cloudconfig.KindCloudConfig {
			t.Errorf("Read(%q) = %v, but the report %v has no error", data, err, report)
		}
		parts, err := cloudconfig.Unpack(data)
		if err != nil {
			return
		}
		lines := bytes.SplitAfter(data, []byte("\n"))
		for _, p := range parts {
			if p.Line > len(lines) || p.Line < 0 {
				t.Fatalf("a part of %q is said to begin on line %d", data, p.Line)
			}
			if p.Line > 0 && !bytes.Contains(data, []byte(strings.TrimPrefix(p.Text, "#cloud-config\n"))) {
				t.Errorf("part %q is said to stand in %q", p.Text, data)
			}
		}
	})
}

// FuzzSubstitute puts all addresses in; what is left of their names was escaped.
func FuzzSubstitute(f *testing.F) {
	f.Add("$private_ipv4$public_ipv4 \\$private_ipv6 $public_ipv6s")
	f.Add("\\\\$private_ipv4\n$$private_ipv4")
	f.Fuzz(func(t *testing.T, text string) {
		one := netip.MustParseAddr("192.0.2.1")
		got, report := cloudconfig.Substitute(text, cloudconfig.Addresses{PublicIPv4: one, PrivateIPv4: one, PublicIPv6: one, PrivateIPv6: one})
		if len(report) > 0 {
			t.Errorf("Substitute(%q) reports %v, but all addresses are known", text, report)
		}
		escaped := 0
		for _, name := range []string{"$private_ipv4", "$public_ipv4", "$private_ipv6", "$public_ipv6"} {
			escaped += strings.Count(text, `\`+name) - strings.Count(got, name)
		}
		if escaped != 0 {
			t.Errorf("Substitute(%q) = %q", text, got)
		}
		if strings.Count(got, "\n") != strings.Count(text, "\n") {
			t.Errorf("Substitute(%q) = %q, which has other lines", text, got)
		}
	})
}

// FuzzApply brings a directory up to date twice: the second time nothing is to be
// done, and an empty configuration leaves as many files as there were.
func FuzzApply(f *testing.F) {
	addConfigs(f)
	f.Add([]byte("#cloud-config\nhostname: a\nmanage_etc_hosts: localhost\nwrite_files: [{path: /a/b, content: c}, {path: /a/../d}]\n" +
		"coreos: {oem: {id: x}, etcd2: {name: a}, flannel: {public_ip: b}, units: [{name: a.service, mask: true}, {name: b.service, enable: true, content: \"[Install]\\nWantedBy=c\\n\"}]}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		config, err := cloudconfig.Parse(text)
		if err != nil {
			return
		}
		config.Users, config.SSHAuthorizedKeys = nil, nil // which other programs make
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		apply := func(c *cloudconfig.Config) (int, error) {
			plan, err := cloudconfig.NewPlan(c, root.FS(), cloudconfig.Options{Image: true})
			if err != nil {
				t.Fatalf("NewPlan for %q: %v", text, err)
			}
			return len(plan.Steps), cloudconfig.Apply(t.Context(), plan, cloudconfig.Machine{Root: dir})
		}
		if _, err := apply(config); err != nil {
			return
		}
		if steps, err := apply(config); steps > 0 || err != nil {
			t.Errorf("the second time there are %d steps (%v) for %q", steps, err, text)
		}
		if _, err := apply(&cloudconfig.Config{}); err != nil {
			t.Errorf("taking back %q: %v", text, err)
		}
		err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && d.Name() != "default.json" {
				t.Errorf("%s is left of %q", path, text)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// gzipped returns size zero bytes, compressed and in base64.
func gzipped(t *testing.T, size int) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
