//go:build linux

package disklab_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/strakeproject/strake/examples/lab/disklab"
)

func newVolume(t *testing.T, bytes int64) *disklab.Volume {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a file system")
	}
	v, err := disklab.NewVolume(bytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func TestAVolumeIsFullUntilItIsFreed(t *testing.T) {
	v := newVolume(t, 1<<20)
	file := filepath.Join(v.Path(), "f")
	block := make([]byte, 64<<10)
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.Fill(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+"2", block, 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write to a full volume: %v, want %v", err, syscall.ENOSPC)
	}
	if got, err := os.ReadFile(file); err != nil || len(got) != len(block) {
		t.Errorf("what was there before reads as %d bytes, %v", len(got), err)
	}
	if err := v.Free(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+"2", block, 0o600); err != nil {
		t.Errorf("a write with room: %v", err)
	}
}

func TestAProcessReachesAVolumeThatIsMountedNowhere(t *testing.T) {
	v := newVolume(t, 1<<20)
	cmd := exec.Command("sh", "-c", "mkdir /proc/self/fd/3/dir && echo written > /proc/self/fd/3/dir/f && mv /proc/self/fd/3/dir/f /proc/self/fd/3/dir/g")
	cmd.ExtraFiles = []*os.File{v.File()}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got, err := os.ReadFile(filepath.Join(v.Path(), "dir", "g")); err != nil || string(got) != "written\n" {
		t.Errorf("its file holds %q, %v", got, err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), "size=1024k") {
		t.Errorf("it is mounted:\n%s", mounts)
	}
}
