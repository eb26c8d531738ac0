//go:build linux

package disklab_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strakeproject/strake/examples/lab/disklab"
)

// asFlusher makes the test binary a process that flushes the named file once
// for each line of its input, and answers with a line.
const asFlusher = "STRAKE_TEST_FLUSHER"

func TestMain(m *testing.M) {
	if path := os.Getenv(asFlusher); path != "" {
		flushLines(path)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func flushLines(path string) {
	f, err := os.Create(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		start := time.Now()
		err := f.Sync()
		fmt.Println(time.Since(start).Nanoseconds(), err)
	}
}

// flusher is such a process.
type flusher struct {
	t    *testing.T
	disk *disklab.Disk
	in   *os.File
	out  *bufio.Scanner
}

func startFlusher(t *testing.T) *flusher {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stdin, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), asFlusher+"="+filepath.Join(t.TempDir(), "file"))
	cmd.Stdin = stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	f := &flusher{t: t, in: in, out: bufio.NewScanner(out)}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // and never unlock: the thread belongs to the process
		var err error
		if f.disk, err = disklab.Attach(); err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is killed in the end
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-ended
		f.disk.Close()
		in.Close()
		stdin.Close()
	})
	return f
}

// begin has the process flush.
func (f *flusher) begin() {
	f.t.Helper()
	if _, err := f.in.WriteString("\n"); err != nil {
		f.t.Fatal(err)
	}
}

// await waits until n flushes have begun.
func (f *flusher) await(n int64) {
	for f.disk.Flushes() < n {
		time.Sleep(time.Millisecond)
	}
}

// end waits for the flush and returns how long it took and what it came to.
func (f *flusher) end() (took time.Duration, result string) {
	f.t.Helper()
	if !f.out.Scan() {
		f.t.Fatalf("the process ended: %v", f.out.Err())
	}
	text, result, _ := strings.Cut(f.out.Text(), " ")
	took, err := time.ParseDuration(text + "ns")
	if err != nil {
		f.t.Fatalf("the process says %q", f.out.Text())
	}
	return took, result
}

func TestFlushesAreSlowStuckAndBrokenAsTold(t *testing.T) {
	f := startFlusher(t)
	f.begin()
	if _, result := f.end(); result != "<nil>" {
		t.Fatalf("flush on a healthy disk: %s", result)
	}

	const delay = 50 * time.Millisecond
	f.disk.Set(disklab.Fault{Delay: delay})
	f.begin()
	if took, result := f.end(); took < delay || result != "<nil>" {
		t.Errorf("flush took %s with result %s, want at least %s and success", took, result, delay)
	}

	f.disk.Set(disklab.Fault{Stuck: true})
	f.begin()
	f.await(3)
	f.disk.Set(disklab.Fault{})
	if took, result := f.end(); result != "<nil>" {
		t.Errorf("flush that was held for a while took %s with result %s, want success", took, result)
	}

	f.disk.Set(disklab.Fault{Err: syscall.EIO})
	f.begin()
	if _, result := f.end(); !strings.Contains(result, "input/output error") {
		t.Errorf("flush on a broken disk: %s", result)
	}
	if got := f.disk.Flushes(); got != 4 {
		t.Errorf("counted %d flushes, want 4", got)
	}
}

func TestAProcessWhoseFlushIsStuckCanBeKilled(t *testing.T) {
	f := startFlusher(t)
	f.disk.Set(disklab.Fault{Stuck: true})
	f.begin()
	f.await(1)
	// The cleanup kills it.
}
