//go:build linux

package process_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/strakeproject/strake/unit"
	"github.com/strakeproject/strake/unit/process"
)

// patience is how long a test waits for what must happen; it never matters
// unless something is broken.
const patience = 60 * time.Second

// TestTranscripts replays testdata. Units hold still at named pipes a to d in
// $T, so that each state lasts until it was seen:
//
//	load NAME            loads the unit file that follows, where "=$T/" is expanded
//	start, stop, unload NAME...
//	wait NAME STATE      waits for active/sub, and with "main" behind it until it has
//	                     a main process, and prints what else the state says
//	open PIPE            lets a process go on that opens the pipe to read
//	read PIPE            waits for a process that opens the pipe to write, prints what it writes
//	journal NAME         prints the journal: who and what
//	put FILE             writes a file in $T
//	kill NAME SIGNAL     signals the main process
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		b := newBench(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return b.run(t, d) })
	})
}

// bench is a runner and a directory with pipes for its units.
type bench struct {
	dir string
	r   *process.Runner
	ctx context.Context
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir()}
	var cancel context.CancelFunc
	b.ctx, cancel = context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	for _, pipe := range []string{"a", "b", "c", "d"} {
		if err := syscall.Mkfifo(filepath.Join(b.dir, pipe), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	b.r, err = process.New(process.Config{
		MachineID: "0123456789abcdef0123456789abcdef", Hostname: "m1.example.com",
		Env: []string{"PATH=/usr/bin:/bin", "T=" + b.dir},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.r.Kill)
	return b
}

func parse(t *testing.T, text string) *unit.File {
	t.Helper()
	f, err := unit.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// up loads and starts a unit and waits until it runs.
func (b *bench) up(t *testing.T, name, text string) unit.State {
	t.Helper()
	if err := b.r.Load(b.ctx, unit.Unit{Name: name, File: parse(t, text)}); err != nil {
		t.Fatal(err)
	}
	if err := b.r.Start(b.ctx, name); err != nil {
		t.Fatal(err)
	}
	return b.wait(t, name, "active/running")
}

// wait waits for a state, "active/sub" or "not-found"; "main" behind it asks for a
// main process besides.
func (b *bench) wait(t *testing.T, name, want string, main ...string) unit.State {
	t.Helper()
	if want == "not-found" {
		return b.gone(t, name)
	}
	var last unit.State
	for st := range b.r.Watch(b.ctx) {
		if st.Name != name {
			continue
		}
		if last = st; len(main) > 0 && st.MainPID == 0 {
			continue
		}
		if st.Active+"/"+st.Sub == want {
			return st
		}
	}
	b.ctx = context.Background() // the other one is over
	t.Fatalf("%s: waited in vain for %s, last seen %+v, journal:\n%s", name, want, last, b.journal(t, name))
	return last
}

// gone waits until a unit is unknown. A watch that begins after that would not
// tell.
func (b *bench) gone(t *testing.T, name string) unit.State {
	t.Helper()
	for b.ctx.Err() == nil {
		states, err := b.r.States(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(states, func(st unit.State) bool { return st.Name == name }) {
			return unit.State{Name: name, Load: "not-found"}
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("%s: waited in vain for it to go", name)
	return unit.State{}
}

var (
	pids = regexp.MustCompile(`([Pp]rocess|\bpid) \d+`)
	ids  = regexp.MustCompile(`[0-9a-f]{32}`)
)

func (b *bench) run(t *testing.T, d *datadriven.TestData) string {
	var args []string
	for _, a := range d.CmdArgs {
		args = append(args, a.String())
	}
	var err error
	switch d.Cmd {
	case "load":
		err = b.r.Load(b.ctx, unit.Unit{Name: args[0], File: parse(t, strings.ReplaceAll(d.Input, "=$T/", "="+b.dir+"/"))})
	case "start":
		err = b.r.Start(b.ctx, args...)
	case "stop":
		err = b.r.Stop(b.ctx, args...)
	case "unload":
		err = b.r.Unload(b.ctx, args...)
	case "wait":
		st := b.wait(t, args[0], args[1], args[2:]...)
		main := "no main process"
		if st.MainPID != 0 {
			main = "main process"
		}
		if st.Load == "not-found" {
			return ""
		}
		return fmt.Sprintf("%s, %s, %s\n", st.Load, st.Result, main)
	case "open":
		err = os.WriteFile(filepath.Join(b.dir, args[0]), []byte("\n"), 0)
	case "read":
		var text []byte
		text, err = os.ReadFile(filepath.Join(b.dir, args[0]))
		if err == nil {
			return string(text)
		}
	case "put":
		err = os.WriteFile(filepath.Join(b.dir, args[0]), []byte(d.Input+"\n"), 0o600)
	case "kill":
		sig := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL, "ABRT": syscall.SIGABRT}[args[1]]
		err = syscall.Kill(b.wait(t, args[0], "active/running").MainPID, sig)
	case "journal":
		return b.journal(t, args[0])
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
	if err != nil {
		return strings.ReplaceAll(err.Error(), b.dir, "$T") + "\n"
	}
	return ""
}

func (b *bench) journal(t *testing.T, name string) string {
	t.Helper()
	var text strings.Builder
	for e, err := range b.r.Journal(b.ctx, name, unit.JournalOptions{Lines: -1}) {
		if err != nil {
			return err.Error() + "\n"
		}
		m := pids.ReplaceAllString(strings.ReplaceAll(e.Message, b.dir, "$T"), "$1 N")
		fmt.Fprintf(&text, "%s: %s\n", e.Identifier, ids.ReplaceAllString(m, "ID"))
	}
	return text.String()
}
