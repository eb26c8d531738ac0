package examples

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/strakeproject/strake/"

// imports are where the README's programs may take packages from.
var imports = map[string]string{
	"errors": "errors", "fmt": "fmt", "net": "net", "http": "net/http", "netip": "net/netip",
	"filepath": "path/filepath", "time": "time",
	"kv": module + "kv", "member": module + "kv/member", "httpapi": module + "kv/httpapi",
	"raftstore": module + "raftstore", "seglog": module + "raftstore/seglog", "httppeer": module + "raftstore/httppeer",
	"schedule": module + "schedule", "unit": module + "unit", "process": module + "unit/process",
	"overlay": module + "overlay", "reboot": module + "reboot", "cloudconfig": module + "cloudconfig",
}

// preamble is what the README tells about its programs.
const preamble = `
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type counter struct{}

func (*counter) Open(context.Context, string) (p raftstore.Position, err error) { return }
func (*counter) Apply([]raftstore.Command, raftstore.Position) (r [][]byte, err error) { return }
func (*counter) Close() error { return nil }

var ctx, dir, store = context.Background(), "", kv.Store(nil)
`

func TestProgramsInTheREADMECompile(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 7 {
		t.Fatalf("found %d programs in the README, want one for each package", len(blocks))
	}
	// Inside the module, so that its packages and their versions are used, under a
	// name that "./..." leaves out, wherever else that is asked for meanwhile.
	dir, err := os.MkdirTemp(".", "_readme-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for i, block := range blocks {
		file := filepath.Join(dir, fmt.Sprintf("p%d", i), "main.go")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(program(block[1])), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("go", "vet", "-unusedresult=false", "./"+filepath.Dir(file)).CombinedOutput()
		if err != nil {
			t.Errorf("program %d does not compile: %v\n%s\n%s", i+1, err, out, block[1])
		}
	}
}

// program makes a whole program of the body of its main function.
func program(body string) string {
	var b strings.Builder
	b.WriteString("package main\n\nimport (\n\t\"context\"\n")
	all := preamble + body
	for name, path := range imports {
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(all) {
			fmt.Fprintf(&b, "\t%q\n", path)
		}
	}
	fmt.Fprintf(&b, ")\n%s\nfunc main() {\n%s}\n", preamble, body)
	return b.String()
}
