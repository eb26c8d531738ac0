//go:build linux

package process_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/strakeproject/strake/unit"
	"github.com/strakeproject/strake/unit/process"
)

// TestMain lets the test binary be a program with a runner, for the test that
// kills it.
func TestMain(m *testing.M) {
	if dir := os.Getenv("RUN_A_RUNNER_IN"); dir != "" {
		runForEver(dir)
	}
	os.Exit(m.Run())
}

// family is a unit with a child in its group and one in a session of its own. It
// writes three process ids to pipe a.
const family = `[Service]
ExecStart=/bin/sh -c "sleep 1000 & one=$!; setsid sleep 1000 & echo $$$$ $one $! >$T/a; wait"
`

// members reads the process ids.
func (b *bench) members(t *testing.T) []int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, f := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(f)
		if err != nil || !alive(pid) {
			t.Fatalf("%q are not the ids of processes that run: %v", text, err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// alive reports whether a process exists and is no zombie, which an orphan stays
// where nobody reaps.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

func TestKillEndsGrandchildrenAtOnce(t *testing.T) {
	b := newBench(t)
	b.up(t, "a.service", family+"ExecStop=/bin/sh -c 'echo never >$T/stopped'\nExecStopPost=/bin/sh -c 'echo never >$T/stopped'\nRestart=always\n")
	pids := b.members(t)
	b.r.Kill()
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d of %v outlives Kill", pid, pids)
		}
	}
	if _, err := os.Stat(filepath.Join(b.dir, "stopped")); err == nil {
		t.Error("ExecStop or ExecStopPost ran")
	}
	if err := b.r.Start(b.ctx, "a.service"); !errors.Is(err, process.ErrClosed) {
		t.Errorf("Start after Kill: %v, want ErrClosed", err)
	}
}

func TestCloseStopsUnitsProperlyAndLeavesNothing(t *testing.T) {
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	b := newBench(t)
	b.up(t, "a.service", family+"ExecStop=/bin/sh -c 'echo stopped >$T/stopped'\n")
	pids := b.members(t)
	b.up(t, "left.service", "[Service]\nKillMode=none\nExecStart=/bin/sleep 1000\n")
	b.up(t, "other.service", "[Service]\nExecStart=/bin/sleep 1000\nKillMode=process\n")
	if err := b.r.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d of %v outlives Close", pid, pids)
		}
	}
	if _, err := os.Stat(filepath.Join(b.dir, "stopped")); err != nil {
		t.Errorf("ExecStop did not run: %v", err)
	}
	if children := children(t); children != "" {
		t.Errorf("Close left child processes %s", children)
	}
	if got := openFiles(t); got > files {
		t.Errorf("%d files are open, %d were before", got, files)
	}
	for runtime.NumGoroutine() > goroutines {
		if b.ctx.Err() != nil {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines run, %d did before:\n%s", runtime.NumGoroutine(), goroutines, buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched() // a goroutine that was waited for may need a moment to vanish
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// children lists the child processes, zombies included.
func children(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		text, _ := os.ReadFile(f) // the thread may have ended
		all.Write(text)
	}
	return all.String()
}

func TestCloseKillsWhatItsContextDoesNotAllowToEnd(t *testing.T) {
	b := newBench(t)
	st := b.up(t, "a.service", "[Service]\nExecStart=/bin/sleep 1000\nExecStop=/bin/sh -c 'read x <$T/b'\nTimeoutStopSec=infinity\n")
	ctx, cancel := context.WithCancel(b.ctx)
	go func() {
		b.wait(t, "a.service", "deactivating/stop")
		cancel()
	}()
	if err := b.r.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close = %v, want the context's error", err)
	}
	if alive(st.MainPID) {
		t.Error("the main process outlives Close")
	}
}

func TestUnitsDieWithTheProgram(t *testing.T) {
	b := newBench(t)
	dir := filepath.Join(b.dir, "state")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "RUN_A_RUNNER_IN="+dir, "T="+b.dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pids := b.members(t)
	if _, err := process.New(process.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "belongs to a running process runner") {
		t.Errorf("a second runner got the directory: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	for alive(pids[0]) {
		if b.ctx.Err() != nil {
			t.Fatal("the main process outlives its program")
		}
		runtime.Gosched()
	}
	r, err := process.New(process.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Kill()
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d of %v outlives the next New", pid, pids)
		}
	}
}

// A child has all files of the program that forks it until it executes its own.
func TestADirectoryIsFreeAfterKillThoughAChildHasItsLock(t *testing.T) {
	dir := t.TempDir()
	r, err := process.New(process.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Kill()
	had, err := syscall.Dup(openAs(t, filepath.Join(dir, "lock"))) // as the child has it
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(had)
	r.Kill()
	next, err := process.New(process.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	next.Kill()
}

// openAs returns the descriptor of an open file.
func openAs(t *testing.T, path string) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || to != path {
			continue
		}
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	t.Fatalf("%s is not open", path)
	return -1
}

// runForEver is the program of TestUnitsDieWithTheProgram.
func runForEver(dir string) {
	r, err := process.New(process.Config{Dir: dir, Env: []string{"PATH=/usr/bin:/bin", "T=" + os.Getenv("T")}})
	if err != nil {
		panic(err)
	}
	f, err := unit.Parse([]byte(family))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := errors.Join(r.Load(ctx, unit.Unit{Name: "a.service", File: f}), r.Start(ctx, "a.service")); err != nil {
		panic(err)
	}
	select {}
}

func TestJournalFollowsAUnitOverUnloadAndLoad(t *testing.T) {
	b := newBench(t)
	// A read may find nothing: who opens the pipe again before the last writer has
	// closed it gets no more than that end.
	const text = "[Service]\nExecStart=/bin/sh -c 'while :; do read x <$T/a && echo $x; done'\n"
	b.up(t, "a.service", text)
	next, stop := iter.Pull2(b.r.Journal(b.ctx, "a.service", unit.JournalOptions{Lines: 1, Follow: true}))
	defer stop()
	expect := func(want string) unit.JournalEntry {
		t.Helper()
		e, err, ok := next()
		if !ok || err != nil || e.Message != want {
			t.Fatalf("journal goes on with %+v, %v, %v, want %q", e, err, ok, want)
		}
		return e
	}
	send := func(line string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(b.dir, "a"), []byte(line+"\n"), 0); err != nil {
			t.Fatal(err)
		}
	}
	expect("Started.")
	send("one")
	if e := expect("one"); e.Unit != "a.service" || e.Identifier != "sh" || e.PID != b.wait(t, "a.service", "active/running").MainPID || e.Time.IsZero() {
		t.Errorf("entry %+v does not say who wrote it", e)
	}
	if err := b.r.Unload(b.ctx, "a.service"); err != nil {
		t.Fatal(err)
	}
	b.wait(t, "a.service", "not-found")
	b.up(t, "a.service", text)
	for _, line := range []string{"Stopping.", "Stopped.", "Started."} {
		expect(line)
	}
	send("two")
	expect("two")
	if err := b.r.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	for e, err, ok := next(); ok; e, err, ok = next() {
		if err != nil || !strings.HasPrefix(e.Message, "Stop") {
			t.Errorf("journal ends with %+v, %v", e, err)
		}
	}
}

func TestJournalSurvivesTheRunner(t *testing.T) {
	dir := t.TempDir()
	lines := func(r *process.Runner, n int) []string {
		t.Helper()
		var list []string
		for e, err := range r.Journal(t.Context(), "a.service", unit.JournalOptions{Lines: n}) {
			if err != nil {
				list = append(list, err.Error())
				continue
			}
			list = append(list, e.Message)
		}
		return list
	}
	for run := range 3 {
		r, err := process.New(process.Config{Dir: dir, JournalBytes: 4 << 10})
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{dir: dir, r: r, ctx: t.Context()}
		if got := fmt.Sprint(lines(r, 2)); run == 0 && got != "[read the journal of a.service: unit is not loaded]" || run > 0 && got != "[500 Stopped.]" {
			t.Errorf("run %d: journal of old is %s", run, got)
		}
		if err := r.Load(t.Context(), unit.Unit{Name: "a.service", File: parse(t, "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'seq 1000; printf \"\\\\377\\\\n\"'\nExecStop=/bin/echo 500\n")}); err != nil {
			t.Fatal(err)
		}
		if err := r.Start(t.Context(), "a.service"); err != nil {
			t.Fatal(err)
		}
		b.wait(t, "a.service", "active/exited")
		all := lines(r, -1)
		if len(all) < 20 || len(all) > 64 || all[len(all)-2] != "\uFFFD" || all[len(all)-3] != "1000" {
			t.Errorf("run %d: journal of at most 4 KiB holds %d lines, the last are %q", run, len(all), all[max(0, len(all)-3):])
		}
		if got := lines(r, 0); len(got) != 10 {
			t.Errorf("the default is %d lines, want 10", len(got))
		}
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(dir, "journal", "a.service")); err != nil || info.Size() > 64<<10 {
			t.Errorf("journal file: %v, %v, want at most 64 KiB", info, err)
		}
	}
}

func TestLinesAreSplitWhereTheyAreTooLong(t *testing.T) {
	b := newBench(t)
	if err := b.r.Load(b.ctx, unit.Unit{Name: "a.service", File: parse(t, "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'head -c 100000 /dev/zero | tr \\\\\\\\0 x; echo; echo; echo end'\n")}); err != nil {
		t.Fatal(err)
	}
	if err := b.r.Start(b.ctx, "a.service"); err != nil {
		t.Fatal(err)
	}
	var lengths []int
	for e, err := range b.r.Journal(b.ctx, "a.service", unit.JournalOptions{Lines: -1, Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if lengths = append(lengths, len(e.Message)); e.Message == "end" {
			break
		}
	}
	if got, want := fmt.Sprint(lengths), fmt.Sprint([]int{48 << 10, 48 << 10, 100000 - 96<<10, 0, 3}); got != want {
		t.Errorf("lines have lengths %s, want %s", got, want)
	}
}

func TestWatchGivesASlowReaderTheLatest(t *testing.T) {
	b := newBench(t)
	b.up(t, "b.service", "[Service]\nExecStart=/bin/sleep 1000\n")
	next, stop := iter.Pull(b.r.Watch(b.ctx))
	defer stop()
	if st, ok := next(); !ok || st.Name != "b.service" || st.Active != "active" || st.Hash != parse(t, "[Service]\nExecStart=/bin/sleep 1000\n").Hash() {
		t.Fatalf("first state is %+v, %v", st, ok)
	}
	for range 5 {
		b.up(t, "a.service", "[Service]\nExecStart=/bin/sleep 1000\n")
		if err := b.r.Stop(b.ctx, "a.service"); err != nil {
			t.Fatal(err)
		}
		b.wait(t, "a.service", "inactive/dead")
	}
	if err := b.r.Unload(b.ctx, "b.service"); err != nil {
		t.Fatal(err)
	}
	b.wait(t, "b.service", "not-found")
	for _, want := range []string{"a.service loaded inactive", "b.service not-found inactive"} {
		st, ok := next()
		if got := fmt.Sprint(st.Name, " ", st.Load, " ", st.Active); !ok || got != want {
			t.Errorf("next is %q, %v, want %q", got, ok, want)
		}
	}
	if err := b.r.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	if st, ok := next(); ok && st.Load != "not-found" {
		t.Errorf("the last is %+v", st)
	}
	if _, ok := next(); ok {
		t.Error("Watch goes on after Close")
	}
}

func TestStatesAreOrderedByName(t *testing.T) {
	b := newBench(t)
	f := parse(t, "[Service]\nExecStart=/bin/true\n")
	err := b.r.Load(b.ctx, unit.Unit{Name: "c.service", File: f}, unit.Unit{Name: "bad.timer", File: f}, unit.Unit{Name: "a.service", File: f})
	if e, ok := errors.AsType[*unit.RunError](err); !ok || e.Unit != "bad.timer" {
		t.Errorf("Load = %v, want an error for bad.timer alone", err)
	}
	if err := b.r.Start(b.ctx, "a.service", "none.service"); !errors.Is(err, unit.ErrNotLoaded) {
		t.Errorf("Start of a unit that is not loaded: %v, want ErrNotLoaded", err)
	}
	b.wait(t, "a.service", "inactive/dead")
	states, err := b.r.States(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, st := range states {
		got = append(got, st.Name+" "+st.Load)
	}
	if want := "[a.service loaded bad.timer error c.service loaded]"; fmt.Sprint(got) != want {
		t.Errorf("states are %v, want %s", got, want)
	}
}

func TestMainProcessHasASessionAndNoInput(t *testing.T) {
	b := newBench(t)
	st := b.up(t, "a.service", "[Service]\nExecStart=/bin/sh -c 'cat; kill -STOP $$$$; exec sleep 1000'\n")
	sid, err := syscall.Getpgid(st.MainPID)
	if err != nil || sid != st.MainPID {
		t.Errorf("process group of main process %d is %d, %v", st.MainPID, sid, err)
	}
	// A stopped process ends all the same when it is asked to.
	if err := b.r.Stop(b.ctx, "a.service"); err != nil {
		t.Fatal(err)
	}
	b.wait(t, "a.service", "inactive/dead")
}

func TestUnitsRunAsTheirUser(t *testing.T) {
	if os.Getuid() != 0 {
		b := newBench(t)
		err := b.r.Load(b.ctx, unit.Unit{Name: "a.service", File: parse(t, "[Service]\nUser=root\nExecStart=/bin/true\n")})
		if err == nil || !strings.Contains(err.Error(), "only root can switch") {
			t.Errorf("Load of a unit of root's = %v, want a refusal", err)
		}
		t.Skip("the rest needs root")
	}
	b := newBench(t)
	if err := b.r.Load(b.ctx, unit.Unit{Name: "a.service", File: parse(t, "[Service]\nType=oneshot\nRemainAfterExit=yes\nUser=nobody\nGroup=daemon\nExecStart=/bin/sh -c 'echo $(id -un) $(id -gn) $USER'\n")}); err != nil {
		t.Fatal(err)
	}
	if err := b.r.Start(b.ctx, "a.service"); err != nil {
		t.Fatal(err)
	}
	b.wait(t, "a.service", "active/exited")
	if got, want := b.journal(t, "a.service"), "sh: nobody daemon nobody\nstrake: Finished.\n"; got != want {
		t.Errorf("journal is %q, want %q", got, want)
	}
}

func BenchmarkOneshot(b *testing.B) {
	r, err := process.New(process.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Kill()
	f, err := unit.Parse([]byte("[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nExecStart=/bin/true\n"))
	if err != nil {
		b.Fatal(err)
	}
	if err := r.Load(b.Context(), unit.Unit{Name: "a.service", File: f}); err != nil {
		b.Fatal(err)
	}
	next, stop := iter.Pull2(r.Journal(b.Context(), "a.service", unit.JournalOptions{Lines: -1, Follow: true}))
	defer stop()
	for b.Loop() {
		if err := r.Start(b.Context(), "a.service"); err != nil {
			b.Fatal(err)
		}
		if e, err, ok := next(); !ok || err != nil {
			b.Fatal(e, err)
		}
		for st := range r.Watch(b.Context()) {
			if st.Active == "inactive" {
				break
			}
		}
	}
}

func TestManyUnitsComeAndGo(t *testing.T) {
	b := newBench(t)
	f := parse(t, "[Service]\nExecStart=/bin/sleep 1000\n")
	var units []unit.Unit
	var names []string
	for i := range 50 {
		name := "u@" + strconv.Itoa(i) + ".service"
		units, names = append(units, unit.Unit{Name: name, File: f}), append(names, name)
	}
	for range 2 {
		if err := errors.Join(b.r.Load(b.ctx, units...), b.r.Start(b.ctx, names...)); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b.wait(t, name, "active/running")
		}
		if err := b.r.Unload(b.ctx, names...); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		b.wait(t, name, "not-found")
	}
}
