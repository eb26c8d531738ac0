package cloudconfig_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/strakeproject/strake/cloudconfig"
)

// BenchmarkParseAndValidate reads a configuration of 64 KiB: with many files of
// a page each, with a thousand of one line, and the latter when addresses have to be
// put in, so that it is another text to parse than to validate.
func BenchmarkParseAndValidate(b *testing.B) {
	for _, c := range []struct {
		name  string
		lines int
		ip    string // in the place of addresses to put in
	}{
		{"pages", 40, "10.0.0.1"}, {"lines", 1, "10.0.0.1"}, {"addresses", 1, "$private_ipv4"},
	} {
		b.Run(c.name, func(b *testing.B) {
			data := bytes.ReplaceAll(largeConfig(b, c.lines), []byte("$private_ipv4"), []byte(c.ip))
			data = bytes.ReplaceAll(data, []byte("$public_ipv4"), []byte(c.ip))
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				draft := cloudconfig.NewDraft(data)
				if report := draft.Report(); len(report) > 0 {
					b.Fatal(report)
				}
				if _, err := draft.Read(cloudconfig.Addresses{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// largeConfig is a configuration of 64 KiB, mostly files with some lines each.
func largeConfig(b *testing.B, lines int) []byte {
	const size = 64 << 10
	var text strings.Builder
	text.Write(readConfig(b, "docs-cluster-member.yaml"))
	text.WriteString("write_files:\n")
	for i := 0; text.Len() < size; i++ {
		fmt.Fprintf(&text, "  - path: /etc/app/%d.conf\n    permissions: 0640\n    content: |\n", i)
		for line := range lines {
			fmt.Fprintf(&text, "      option_%d = value of option %d\n", line, line)
		}
	}
	return []byte(text.String())
}

// BenchmarkApply plans and applies a published configuration to a new directory,
// each file flushed to disk, and then again, when nothing is to be done.
func BenchmarkApply(b *testing.B) {
	config, err := cloudconfig.Parse(readConfig(b, "virtualbox-cluster.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	config.Users, config.SSHAuthorizedKeys = nil, nil // made by other programs
	apply := func(dir string) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			b.Fatal(err)
		}
		defer root.Close()
		plan, err := cloudconfig.NewPlan(config, root.FS(), cloudconfig.Options{Image: true})
		if err != nil {
			b.Fatal(err)
		}
		if err := cloudconfig.Apply(b.Context(), plan, cloudconfig.Machine{Root: dir}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			apply(b.TempDir())
		}
	})
	b.Run("again", func(b *testing.B) {
		dir := b.TempDir()
		for b.Loop() {
			apply(dir)
		}
	})
}
