package cloudconfig_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/strakeproject/strake/cloudconfig"
)

// FuzzParse holds Parse and Validate to each other: neither panics, what Parse
// refuses the report calls an error, and lines lie within the text.
func FuzzParse(f *testing.F) {
	names, err := filepath.Glob("testdata/configs/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("#cloud-config\na: &a {<<: *a}\ncoreos: *a\nusers: &u [*u]\n"))
	f.Add([]byte("#cloud-config\nwrite_files: [{path: /a, content: !!binary aGk=, encoding: gz}]\n"))
	f.Add([]byte("#cloud-config\ncoreos: {fleet: {verbosity: 0x1_f, token_limit: 1e400, engine_reconcile_interval: -.inf}}\n...\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		report := cloudconfig.Validate(text)
		config, err := cloudconfig.Parse(text)
		if err == nil {
			config.Dropins()
		}
		lines := bytes.Count(text, []byte("\n")) + 2
		errors := 0
		for _, entry := range report {
			if entry.Line < 1 || entry.Line > lines {
				t.Errorf("entry %v is outside the %d lines of %q", entry, lines, text)
			}
			if entry.Severity == cloudconfig.SeverityError {
				errors++
			}
		}
		switch cloudconfig.KindOf(text) {
		case cloudconfig.KindCloudConfig, cloudconfig.KindUnknown:
			if err != nil && errors == 0 {
				t.Errorf("Parse(%q) = %v, but the report %v has no error", text, err, report)
			}
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
