//go:build linux

package lab_test

import (
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

var (
	long = flag.Duration("lab.long", 0, "let each scenario run this long instead of a few rounds")
	seed = flag.Uint64("lab.seed", 0, "seed of what the scenarios choose; 0 for a new one")
)

// counter and etcd are the paths of the programs.
var counter, etcd string

func TestMain(m *testing.M) {
	flag.Parse()
	if err := sideBySide(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(runTests(m))
}

// sideBySide runs more scenarios at a time than there are processors, since
// they mostly wait for elections.
func sideBySide() error {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return nil
	}
	return flag.Set("test.parallel", fmt.Sprint(max(4, runtime.GOMAXPROCS(0))))
}

func runTests(m *testing.M) int {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	if os.Geteuid() != 0 {
		return m.Run() // all skip
	}
	dir, err := os.MkdirTemp("", "strake-lab-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	counter, etcd = filepath.Join(dir, "counter"), filepath.Join(dir, "etcd")
	args := append([]string{"build", "-o", dir}, buildFlags...)
	const module = "github.com/strakeproject/strake/"
	build := exec.Command("go", append(args, module+"examples/counter", module+"cmd/etcd")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// scenario begins a test that needs root, beside others. It returns the source
// of the test's choices.
func scenario(t *testing.T) *rand.Rand {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	t.Parallel()
	t.Logf("seed %d", *seed)
	return rand.New(rand.NewPCG(*seed, uint64(len(t.Name()))))
}

// rounds counts the rounds of a scenario: some, or as many as -lab.long allows.
func rounds(some int) iter.Seq[int] {
	end := time.Now().Add(*long)
	return func(yield func(int) bool) {
		for n := 0; n < some || time.Now().Before(end); n++ {
			if !yield(n) {
				return
			}
		}
	}
}
