package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strakeproject/strake/cloudconfig/configdrive"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"coreos-cloudinit": main})
}

// Each script runs the program on files, images and local servers; never on the
// machine itself.
func TestTheProgramDoesWhatItsFlagsSay(t *testing.T) {
	servers := http.NewServeMux()
	servers.HandleFunc("GET /discovery/new", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "http://%s/discovery/token%s\n", r.Host, r.FormValue("size"))
	})
	servers.HandleFunc("GET /broken/new", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "no") })
	servers.HandleFunc("GET /packet/{what}", func(w http.ResponseWriter, r *http.Request) {
		switch r.PathValue("what") {
		case "userdata":
			fmt.Fprint(w, "#cloud-config\nwrite_files: [{path: /etc/ip, content: $public_ipv4}]\n")
		case "metadata":
			fmt.Fprint(w, `{"hostname": "p1", "network": {"interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01"}],
 "addresses": [{"address_family": 4, "public": true, "address": "192.0.2.9", "cidr": 31, "gateway": "192.0.2.8"}]}}`)
		}
	})
	servers.HandleFunc("GET /packet/{$}", func(http.ResponseWriter, *http.Request) {})
	servers.HandleFunc("GET /ocean/metadata/{what...}", func(w http.ResponseWriter, r *http.Request) {
		switch r.PathValue("what") {
		case "v1.json":
			fmt.Fprint(w, `{"hostname": "drop", "dns": {"nameservers": ["192.0.2.53"]}, "interfaces": {"public": [
 {"mac": "02:00:00:00:00:02", "ipv4": {"ip_address": "192.0.2.20", "netmask": "255.255.255.0", "gateway": "192.0.2.1"}}]}}`)
		case "v1/user-data":
			http.NotFound(w, r)
		}
	})
	server := httptest.NewServer(servers)
	t.Cleanup(server.Close)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("SERVER", server.URL)
			e.Setenv("TMPDIR", e.WorkDir)
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else each run waits for a second under the race detector
			if err := os.CopyFS(filepath.Join(e.WorkDir, "configs"), os.DirFS("../../cloudconfig/testdata/configs")); err != nil {
				return err
			}
			var zipped bytes.Buffer
			w := gzip.NewWriter(&zipped)
			fmt.Fprint(w, "#cloud-config\nhostname: a: b\n")
			if err := w.Close(); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(e.WorkDir, "broken.gz"), zipped.Bytes(), 0o644); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(e.WorkDir, "cut.gz"), []byte("\x1f\x8b\x08"), 0o644)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"readiso": readISO, "exit": exit},
	})
}

// exit runs the program, which has to end with a status: exit STATUS ARGS...
func exit(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("coreos-cloudinit", args[1:]...)
	status := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		status = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if want := args[0]; strconv.Itoa(status) != want {
		ts.Fatalf("got exit status %d, want %s", status, want)
	}
}

// readISO prints the files of an image to the file named last: readiso IMAGE TO.
func readISO(ts *testscript.TestScript, _ bool, args []string) {
	image, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	files, err := configdrive.ReadImage(bytes.NewReader(image))
	ts.Check(err)
	var text bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&text, "== %s\n%s", name, files[name])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), text.Bytes(), 0o644))
}
