package cloudconfig_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/cloudconfig"
)

// The transcripts of testdata/apply bring one directory up to date again and
// again. Programs and service manager are doubles that print what they are
// asked; useradd and its like change the files that they should.
//
//	reset              an empty directory
//	file path=P [mode=M]   put a file there
//	link path=P to=T   put a link there
//	remove path=P      remove what is there
//	active UNIT...     these units run
//	fails NAME...      these units' commands and programs fail
//	plan [image] [meta] [keep]    print the plan for a config
//	apply [image] [meta] [keep]   carry it out; print steps, and what was asked of the doubles
//	cat path=P         print a file
//	ls                 print all files
func TestApplyTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/apply", func(t *testing.T, path string) {
		m := &machine{dir: t.TempDir(), active: make(map[string]bool), failing: make(map[string]bool)}
		datadriven.RunTest(t, path, m.run)
	})
}

// machine is a directory with the doubles.
type machine struct {
	dir     string
	out     strings.Builder
	active  map[string]bool
	failing map[string]bool
}

func (m *machine) run(t *testing.T, td *datadriven.TestData) string {
	t.Helper()
	m.out.Reset()
	var path string
	td.MaybeScanArgs(t, "path", &path)
	at := filepath.Join(m.dir, path)
	switch td.Cmd {
	case "reset":
		m.dir = t.TempDir()
		clear(m.active)
		clear(m.failing)
	case "file":
		mode := 0o644
		if td.HasArg("mode") {
			var text string
			td.ScanArgs(t, "mode", &text)
			if _, err := fmt.Sscanf(text, "%o", &mode); err != nil {
				t.Fatal(err)
			}
		}
		putFile(t, at, td.Input+"\n", fs.FileMode(mode))
	case "link":
		var to string
		td.ScanArgs(t, "to", &to)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, at); err != nil {
			t.Fatal(err)
		}
	case "remove":
		if err := os.RemoveAll(at); err != nil {
			t.Fatal(err)
		}
	case "active", "fails":
		set := m.active
		if td.Cmd == "fails" {
			set = m.failing
		}
		clear(set)
		for _, arg := range td.CmdArgs {
			set[arg.Key] = true
		}
	case "plan":
		return orNothing(m.plan(t, td).String())
	case "apply":
		err := cloudconfig.Apply(t.Context(), m.plan(t, td), cloudconfig.Machine{
			Root: m.dir, Units: m, Programs: programs{m},
			Progress: func(r cloudconfig.Result) {
				fmt.Fprintf(&m.out, "%v\n", r.Step)
				if r.Detail != "" {
					fmt.Fprintf(&m.out, "  %s\n", r.Detail)
				}
			},
		})
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				m.out.WriteString("error: " + strings.TrimSpace(line) + "\n")
			}
		}
		return orNothing(m.out.String())
	case "cat":
		text, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	case "ls":
		return m.list(t)
	default:
		td.Fatalf(t, "unknown command %q", td.Cmd)
	}
	return ""
}

func orNothing(text string) string {
	if text == "" {
		return "nothing to do\n"
	}
	return text
}

func putFile(t *testing.T, at, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) plan(t *testing.T, td *datadriven.TestData) *cloudconfig.Plan {
	t.Helper()
	options := cloudconfig.Options{Image: td.HasArg("image"), Keep: td.HasArg("keep")}
	if td.HasArg("meta") {
		options.Addresses.PrivateIPv4 = netip.MustParseAddr("10.0.0.1")
		options.Addresses.PublicIPv4 = netip.MustParseAddr("192.0.2.1")
	}
	data, err := cloudconfig.Read([]byte(td.Input+"\n"), options.Addresses)
	if err != nil {
		t.Fatalf("%s: %v", td.Pos, err)
	}
	options.Scripts = data.Scripts
	root, err := os.OpenRoot(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	plan, err := cloudconfig.NewPlan(data.Config, root.FS(), options)
	if err != nil {
		t.Fatalf("%s: %v", td.Pos, err)
	}
	return plan
}

// list shows all files below the directory.
func (m *machine) list(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == m.dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, m.dir)
		switch d.Type() {
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			fmt.Fprintf(&b, "%s -> %s\n", name, target)
			return err
		case fs.ModeDir:
			if entries, _ := os.ReadDir(path); len(entries) == 0 {
				fmt.Fprintf(&b, "%s/\n", name)
			}
			return nil
		}
		fmt.Fprintf(&b, "%s %04o\n", name, info.Mode().Perm())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The service manager.

func (m *machine) ask(format string, args ...any) {
	fmt.Fprintf(&m.out, "> "+format+"\n", args...)
}

func (m *machine) Reload(context.Context) error {
	m.ask("reload")
	return nil
}

func (m *machine) Active(_ context.Context, unit string) (bool, error) { return m.active[unit], nil }

func (m *machine) Command(_ context.Context, command, unit string) (string, error) {
	m.ask("%s %s", command, unit)
	switch {
	case strings.HasPrefix(unit, "unknown"):
		return "", fmt.Errorf("Unit %s not found.", unit)
	case m.failing[unit]:
		return "failed", nil
	case command == "stop":
		delete(m.active, unit)
	case command != "try-restart":
		m.active[unit] = true
	}
	return "done", nil
}

func (m *machine) Enable(_ context.Context, unit string, runtime bool) error {
	m.ask("enable %s runtime=%v", unit, runtime)
	dir := "/etc/systemd/system/multi-user.target.wants"
	if err := os.MkdirAll(filepath.Join(m.dir, dir), 0o755); err != nil {
		return err
	}
	return os.Symlink("/etc/systemd/system/"+unit, filepath.Join(m.dir, dir, unit))
}

func (m *machine) Disable(_ context.Context, unit string, runtime bool) error {
	m.ask("disable %s runtime=%v", unit, runtime)
	return os.Remove(filepath.Join(m.dir, "/etc/systemd/system/multi-user.target.wants", unit))
}

func (m *machine) Run(_ context.Context, unit, _ string, argv []string) error {
	m.ask("run %s as %s", strings.Join(argv, " "), unit)
	return nil
}

// programs are useradd and the like.
type programs struct{ *machine }

func (m programs) Run(_ context.Context, stdin string, argv ...string) error {
	shown := strings.Join(slices.DeleteFunc(slices.Clone(argv), func(arg string) bool {
		return arg == "--root" || arg == m.dir
	}), " ")
	m.ask("%s %s", shown, strings.ReplaceAll(stdin, "\n", ""))
	name := argv[len(argv)-1]
	if m.failing[argv[0]] {
		return &cloudconfig.ProgramError{Program: argv[0], Output: "no", Err: errors.New("exit status 6")}
	}
	switch argv[0] {
	case "useradd":
		home := filepath.Join(m.dir, "home", name)
		if err := os.MkdirAll(home, 0o755); err != nil {
			return err
		}
		return errors.Join(
			m.appendLine("etc/passwd", fmt.Sprintf("%s:x:%d:%d::/home/%s:/bin/sh", name, os.Getuid(), os.Getgid(), name)),
			m.appendLine("etc/shadow", name+":"+argAfter(argv, "--password")+":1::::::"),
			m.appendGroups(name, argAfter(argv, "--groups")))
	case "groupadd":
		return m.appendLine("etc/group", name+":x:2000:")
	case "chpasswd":
		user, hash, _ := strings.Cut(strings.TrimSpace(stdin), ":")
		return m.appendLine("etc/shadow", user+":"+hash+":1::::::")
	}
	return nil
}

func argAfter(argv []string, flag string) string {
	for _, arg := range argv {
		if flag == "" {
			return arg
		}
		if arg == flag {
			flag = ""
		}
	}
	return ""
}

func (m *machine) appendLine(name, line string) error {
	at := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(at, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// appendGroups adds the user to groups, which have one member each here.
func (m *machine) appendGroups(user, groups string) error {
	text, err := os.ReadFile(filepath.Join(m.dir, "etc/group"))
	if err != nil || groups == "" {
		return nil
	}
	s := string(text)
	for group := range strings.SplitSeq(groups, ",") {
		s = strings.ReplaceAll(s, group+":x:2000:\n", group+":x:2000:"+user+"\n")
	}
	return os.WriteFile(filepath.Join(m.dir, "etc/group"), []byte(s), 0o644)
}
