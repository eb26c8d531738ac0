package pebblelog_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore/pebblelog"
	"github.com/strakeproject/strake/raftstore/raftsim"
)

func TestWhatAFailingDiskSaysNamesTheFileOnce(t *testing.T) {
	disk := raftsim.NewDisk()
	disk.Inject(raftsim.Fault{Kind: raftsim.OpWrite, Err: syscall.ENOSPC})
	full := filepath.Join(t.TempDir(), "file")
	for _, c := range []struct {
		name string
		fs   vfs.FS
		path string
	}{
		{"the operating system's", vfs.Default, full},
		{"one whose errors name no file", disk.PebbleFS(), "file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.path == full {
				if _, err := os.Stat("/dev/full"); err != nil {
					t.Skip("there is no full disk to write to:", err)
				}
				if err := os.Symlink("/dev/full", full); err != nil {
					t.Fatal(err)
				}
			}
			var said error
			f, err := pebblelog.Guard(c.fs, func(err error) { said = err }).OpenReadWrite(c.path, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte("x")); err != nil {
				t.Error("the database is told:", err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			if !errors.Is(said, syscall.ENOSPC) || strings.Count(said.Error(), c.path) != 1 || !strings.HasPrefix(said.Error(), "write ") {
				t.Errorf("got %v, want that a write to %s found no space", said, c.path)
			}
		})
	}
}
