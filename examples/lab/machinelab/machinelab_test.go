//go:build linux

package machinelab_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strakeproject/strake/examples/lab/machinelab"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[0] == cloudinit {
		os.Exit(runCloudinit(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// boot boots a machine for a test.
func boot(t *testing.T, c machinelab.Config) *machinelab.Machine {
	t.Helper()
	if err := machinelab.Available(); err != nil {
		t.Skip(err)
	}
	const enough = 2 * time.Minute // for a machine that is busy with other tests
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	m, err := machinelab.Boot(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// run runs a shell command in a machine, which has to succeed.
func run(t *testing.T, m *machinelab.Machine, command string) string {
	t.Helper()
	out, err := m.Run(t.Context(), "", "sh", "-c", command)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAMachineHasASystemdOfItsOwn(t *testing.T) {
	t.Parallel()
	m := boot(t, machinelab.Config{Name: "own", Files: map[string]machinelab.File{
		"/etc/systemd/system/a.service": {Content: "[Service]\nExecStart=/bin/sleep infinity\n"},
	}})
	got := run(t, m, "hostname; systemctl is-system-running; systemctl start a; systemctl is-active a; systemctl show -P LoadState b")
	if want := "own\nrunning\nactive\nnot-found\n"; got != want {
		t.Errorf("the machine says\n%swant\n%s", got, want)
	}
	if out, err := m.Run(t.Context(), "in", "sh", "-c", "cat; echo no >&2; exit 3"); out != "in" || err == nil || !strings.Contains(err.Error(), "no") {
		t.Errorf("got output %q and error %v, want %q and what the program said", out, err, "in")
	}
}

func TestMachinesDoNotSeeEachOthersFiles(t *testing.T) {
	t.Parallel()
	a, b := boot(t, machinelab.Config{Name: "a"}), boot(t, machinelab.Config{Name: "b"})
	run(t, a, "echo a >/etc/strake-lab")
	if out, err := b.Run(t.Context(), "", "cat", "/etc/strake-lab"); err == nil {
		t.Errorf("b reads %q of a", out)
	}
	if _, err := os.Stat("/etc/strake-lab"); err == nil {
		t.Error("the host has a file of a")
	}
	if run(t, a, "cat /etc/machine-id") == run(t, b, "cat /etc/machine-id") {
		t.Error("two machines have the same id")
	}
}

// Units of one name in two machines have nothing to do with each other: where they
// share a control group, each machine takes the other's processes for its own, and
// removes the group from under them.
func TestMachinesHaveControlGroupsOfTheirOwn(t *testing.T) {
	t.Parallel()
	a, b := boot(t, machinelab.Config{Name: "a"}), boot(t, machinelab.Config{Name: "b"})
	const groups = "find /sys/fs/cgroup -type d -name same.service | wc -l"
	run(t, a, "systemd-run --quiet --unit=same sleep infinity")
	if got := strings.TrimSpace(run(t, a, groups)); got == "0" {
		t.Error("a has no group for its unit")
	}
	if got := strings.TrimSpace(run(t, b, groups)); got != "0" {
		t.Errorf("b has %s groups for a unit of a's", got)
	}
}

func TestAMachineThatIsClosedLeavesNothingBehind(t *testing.T) {
	if err := machinelab.Available(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	m := boot(t, machinelab.Config{})
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("a machine has %v (%v), want one directory", entries, err)
	}
	run(t, m, "systemd-run --quiet sleep infinity")
	m.Close()
	if _, err := os.Stat(filepath.Join(dir, entries[0].Name())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its directory: %v, want that there is none", err)
	}
	err = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == entries[0].Name() {
			t.Errorf("it left %s", path)
		}
		return nil // groups of others come and go
	})
	if err != nil {
		t.Error(err)
	}
}

func TestABootThatIsGivenUpLeavesNothingBehind(t *testing.T) {
	if err := machinelab.Available(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := machinelab.Boot(ctx, machinelab.Config{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got error %v, want that of the context", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("it left %v (%v)", entries, err)
	}
}

func TestAMachineThatShutsDownEndsItsPrograms(t *testing.T) {
	t.Parallel()
	m := boot(t, machinelab.Config{})
	go func() { _, _ = m.Run(t.Context(), "", "systemctl", "poweroff", "--force", "--force") }()
	if _, err := m.Run(t.Context(), "", "sleep", "infinity"); err == nil {
		t.Error("a program went on without its machine")
	}
	m.Close()
	m.Close()
}
