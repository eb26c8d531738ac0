package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/strakeproject/strake/unit"
)

// testNet is a loopback network that no other cluster on this machine uses.
func testNet() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d", 100+pid>>8%100, pid%256)
}

func TestTheWholeStoryHoldsAndContinuesInTheSameDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, start := range []string{"first", "second"} {
		out := tell(t, dir)
		if !strings.Contains(out, "Everything held.") {
			t.Errorf("%s start ends without saying that all held:\n%s", start, out)
		}
		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
				t.Errorf("%s start: line of %d columns: %s", start, n, line)
			}
		}
	}
}

func tell(t *testing.T, dir string) string {
	t.Helper()
	conf, err := loadConfig("", testNet())
	if err != nil {
		t.Fatal(err)
	}
	var journal bytes.Buffer // which the handler writes to under its lock
	c, err := newCluster(conf, dir, slog.New(slog.NewTextHandler(&journal, nil)))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	s := &story{cluster: c, screen: newScreen(io.MultiWriter(&out, testWriter{t}))}
	err = s.tell(t.Context())
	if err == nil {
		err = tellMetrics(t.Context(), c)
	}
	if cerr := c.close(); err != nil || cerr != nil {
		t.Fatalf("the story: %v; close: %v\n%s\nThe machines' log:\n%s", err, cerr, out.String(), journal.String())
	}
	return out.String()
}

// tellMetrics asks all machines for those of their engines.
func tellMetrics(ctx context.Context, c *cluster) error {
	for _, m := range c.machines {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(m.ip.String(), apiPort)+"/metrics", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		if !strings.Contains(string(body), "\nschedule_engine_is_leader ") {
			return fmt.Errorf("metrics of %s do not say whether its engine leads:\n%s", m.name, body)
		}
	}
	return nil
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func TestBadInputIsNamedWithFileAndLine(t *testing.T) {
	good, err := builtin.ReadFile("cloud-config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, net string
		files     map[string]string
		want      string
	}{
		{"no cloud-config", "127.0.0", map[string]string{}, "cloud-config.yaml"},
		{"malformed cloud-config", "127.0.0", map[string]string{"cloud-config.yaml": "#cloud-config\nhostname: [\n"}, "cloud-config.yaml: line 3"},
		{"no header", "127.0.0", map[string]string{"cloud-config.yaml": "hostname: x\n"}, "cloud-config.yaml: line 1"},
		{"malformed unit", "127.0.0", map[string]string{"cloud-config.yaml": string(good), "units/a.service": "[Service]\nExecStart=/x\n[Oops\n"}, "units/a.service: line 3"},
		{"bad unit name", "127.0.0", map[string]string{"cloud-config.yaml": string(good), "units/a.sevrice": "[Service]\n"}, `units/a.sevrice: invalid unit type: "sevrice"`},
		{"contradicting options", "127.0.0", map[string]string{"cloud-config.yaml": string(good), "units/a.service": "[X-Fleet]\nGlobal=true\nMachineID=x\n"}, "units/a.service: MachineID cannot be used with Global"},
		{"not loopback", "10.0.0", map[string]string{"cloud-config.yaml": string(good)}, "--net=10.0.0"},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		err := run(context.Background(), flags{Config: dir, Net: c.net, Dir: filepath.Join(dir, "data")})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", c.name, err, c.want)
		}
		if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
			t.Errorf("%s: a data directory was made all the same", c.name)
		}
	}
}

func TestAllUnitFilesOfTheExampleAreSound(t *testing.T) {
	conf, err := loadConfig("", "127.0.0")
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range conf.units {
		_, warnings, err := unit.ParseOptions(u.Name, u.File)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v %v", u.Name, warnings, err)
		}
	}
}
