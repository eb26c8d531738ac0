//go:build linux

package disklab_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/strakeproject/strake/examples/lab/disklab"
)

// A disk whose flushes take 20 ms, under dd.
func Example() {
	dir, err := os.MkdirTemp("", "disklab")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	took := make(chan time.Duration)
	go func() {
		defer close(took)
		runtime.LockOSThread() // and never unlock: the disk stays under this thread
		disk, err := disklab.Attach()
		if err != nil {
			fmt.Println(err)
			return
		}
		defer disk.Close()
		disk.Set(disklab.Fault{Delay: 20 * time.Millisecond})
		start := time.Now()
		dd := exec.Command("dd", "if=/dev/zero", "of="+filepath.Join(dir, "f"), "bs=1k", "count=1", "conv=fsync", "status=none")
		if err := dd.Run(); err != nil {
			fmt.Println(err)
			return
		}
		took <- time.Since(start)
	}()
	fmt.Println("slow:", <-took >= 20*time.Millisecond)
	// Output: slow: true
}
