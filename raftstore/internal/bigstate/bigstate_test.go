package bigstate

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

// loaderDir tells the test binary to be the loader of a directory.
const loaderDir = "STRAKE_BIGSTATE_LOADER"

// home is where the member listens, always: it is on record as its URL.
const home = "127.83.31.1:23831"

// freeAddr is an address of loopback for another one.
func freeAddr(b *testing.B) string {
	l, err := net.Listen("tcp", "127.83.31.2:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestMain(m *testing.M) {
	flag.Parse()
	if dir := os.Getenv(loaderDir); dir != "" {
		fmt.Fprintln(os.Stderr, "loader:", runLoader(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// runLoader loads what is missing, says so, and goes on to write until it is
// killed.
func runLoader(dir string) error {
	ctx := context.Background()
	m, err := start(ctx, dir, home, nil)
	if err != nil {
		return err
	}
	if has, err := m.state.has(*entries - 1); err != nil {
		return err
	} else if !has {
		if err := m.load(ctx, 0, *entries); err != nil {
			return err
		}
	}
	for {
		// Half of what the log may be ahead of the state by default.
		if err := m.load(ctx, 0, 64<<10); err != nil {
			return err
		}
		fmt.Println("loaded")
	}
}

// killedLoader runs the loader until it has loaded, and kills it.
func killedLoader(b *testing.B, dir string) {
	cmd := exec.Command(os.Args[0], fmt.Sprintf("-bigstate.entries=%d", *entries))
	cmd.Env = append(os.Environ(), loaderDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	ok := lines.Scan()
	err = errors.Join(cmd.Process.Kill(), lines.Err())
	_ = cmd.Wait() // it was killed
	if !ok || err != nil {
		b.Fatalf("the loader has not loaded: %v", err)
	}
}

func BenchmarkGibibyte(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "a")
	killedLoader(b, dir)
	b.Run("reopen", func(b *testing.B) { benchReopen(b, dir) })
	b.Run("checkpoint", func(b *testing.B) { benchCheckpoint(b, dir) })
	b.Run("join", func(b *testing.B) { benchJoin(b, dir) })
}

// benchReopen measures how long a member that was killed in the middle of
// writing takes until it has answered a linearizable read.
func benchReopen(b *testing.B, dir string) {
	ctx := context.Background()
	var took []time.Duration
	for b.Loop() {
		b.StopTimer()
		killedLoader(b, dir)
		b.StartTimer()
		begin := time.Now()
		m, err := start(ctx, dir, home, nil)
		if err != nil {
			b.Fatal(err)
		}
		_, err = m.ReadBarrier(ctx)
		has, errHas := m.state.has(*entries - 1)
		took = append(took, time.Since(begin))
		if err = errors.Join(err, errHas); err != nil || !has {
			b.Fatalf("it has the last entry: %v, %v", has, err)
		}
		b.StopTimer()
		if err := m.stop(ctx); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(milliseconds(median(took)), "reopen-ms")
	b.ReportMetric(0, "ns/op")
}

func median(d []time.Duration) time.Duration { slices.Sort(d); return d[len(d)/2] }

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

const quietTime = 3 * time.Second

// benchCheckpoint measures copies of the state beside clients.
func benchCheckpoint(b *testing.B, dir string) {
	ctx := context.Background()
	m, err := start(ctx, dir, home, nil)
	if err != nil {
		b.Fatal(err)
	}
	c := m.serveClients()
	time.Sleep(quietTime)
	before := c.percentile(b, 0.99)
	var took []time.Duration
	copied := filepath.Join(dir, "copy")
	for b.Loop() {
		begin := time.Now()
		_, err := m.state.Checkpoint(ctx, copied)
		took = append(took, time.Since(begin))
		b.StopTimer()
		if err = errors.Join(err, os.RemoveAll(copied)); err != nil {
			b.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // there is something to flush again
		b.StartTimer()
	}
	during := c.percentile(b, 0.99)
	c.end()
	b.ReportMetric(milliseconds(median(took)), "checkpoint-ms")
	b.ReportMetric(milliseconds(slices.Max(took)), "checkpoint-max-ms")
	reportLatency(b, before, during)
	if err := m.stop(ctx); err != nil {
		b.Fatal(err)
	}
}

func reportLatency(b *testing.B, before, during time.Duration) {
	b.ReportMetric(float64(before.Microseconds()), "p99-us-before")
	b.ReportMetric(float64(during.Microseconds()), "p99-us-during")
	b.ReportMetric(float64(during)/float64(before), "p99-ratio")
	b.ReportMetric(0, "ns/op")
}

// benchJoin measures how the state comes to a new member on the same disk, from
// its start until it has it all, beside clients.
func benchJoin(b *testing.B, dir string) {
	ctx := context.Background()
	m, err := start(ctx, dir, home, nil)
	if err != nil {
		b.Fatal(err)
	}
	var rates, shares []float64
	var before, during []time.Duration
	for b.Loop() {
		b.StopTimer()
		disk := writeRate(b)
		c := m.serveClients()
		time.Sleep(quietTime)
		before = append(before, c.percentile(b, 0.99))
		b.StartTimer()
		took := join(b, m, filepath.Join(b.TempDir(), "b"))
		b.StopTimer()
		during = append(during, c.percentile(b, 0.99))
		c.end()
		rate := float64(*entries*valueSize) / took.Seconds()
		rates = append(rates, rate/1e6)
		shares = append(shares, rate/((disk+writeRate(b))/2))
		b.StartTimer()
	}
	slices.Sort(rates)
	slices.Sort(shares)
	b.ReportMetric(rates[len(rates)/2], "MB/s")
	b.ReportMetric(100*shares[len(shares)/2], "%-of-disk")
	reportLatency(b, median(before), median(during))
	if err := m.stop(ctx); err != nil {
		b.Fatal(err)
	}
}

// join adds a member, starts it and returns how long that took to have the
// state. Then it removes the member.
func join(b *testing.B, m *member, dir string) time.Duration {
	ctx := context.Background()
	addr := freeAddr(b)
	added, err := m.AddLearner(ctx, "b", []string{"http://" + addr})
	if err != nil {
		b.Fatal(err)
	}
	known := m.Cluster()
	begin := time.Now()
	learner, err := start(ctx, dir, addr, &known)
	if err != nil {
		b.Fatal(err)
	}
	for ev := range learner.Events(ctx) {
		if ev.Kind == raftstore.EventSnapshot {
			break
		}
	}
	took := time.Since(begin)
	has, err := learner.state.has(*entries - 1)
	if err != nil || !has {
		b.Fatalf("the new member has the last entry: %v, %v", has, err)
	}
	if err := m.Remove(ctx, added.ID); err != nil {
		b.Fatal(err)
	}
	<-learner.Done() // it was removed
	if err := errors.Join(learner.server.Close(), os.RemoveAll(dir)); err != nil {
		b.Fatal(err)
	}
	return took
}

// writeRate is how many bytes per second the disk takes of one large file.
func writeRate(b *testing.B) float64 {
	f, err := os.Create(filepath.Join(b.TempDir(), "sequential"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	begin := time.Now()
	for range int(*entries) * valueSize / len(buf) {
		if _, err := f.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	took := time.Since(begin)
	if err := os.Remove(f.Name()); err != nil {
		b.Fatal(err)
	}
	return float64(*entries*valueSize) / took.Seconds()
}
