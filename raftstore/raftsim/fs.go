package raftsim

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/internal/durable"
)

// nodeFS is a Disk as a Node sees it. Its operations are made of those of the
// disk, just as the operating system's are, and a crash can come between any
// two.
type nodeFS struct{ vfs vfs.FS }

var _ raftstore.FS = nodeFS{}

func (f nodeFS) MkdirAll(dir string) error { return durable.MkdirAll(f.vfs, dir) }

func (f nodeFS) ReadFile(path string) ([]byte, error) {
	file, err := f.vfs.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(file)
	return b, errors.Join(err, file.Close())
}

func (f nodeFS) WriteFile(path string, data []byte) error {
	tmp := path + ".tmp"
	if err := writeSync(f.vfs, tmp, data); err != nil {
		return errors.Join(err, f.vfs.Remove(tmp))
	}
	return f.Rename(tmp, path)
}

func writeSync(fsys vfs.FS, path string, data []byte) error {
	file, err := fsys.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func (f nodeFS) Rename(from, to string) error {
	if err := f.vfs.Rename(from, to); err != nil {
		return err
	}
	return durable.SyncDir(f.vfs, f.vfs.PathDir(to))
}

func (f nodeFS) RemoveAll(path string) error { return f.vfs.RemoveAll(path) }

func (f nodeFS) List(dir string) ([]string, error) { return f.vfs.List(dir) }

// copyDir makes the directory to an equal, durable copy of from. It stops
// between files when stop says so.
func copyDir(src vfs.FS, from string, dst vfs.FS, to string, stop func() error) error {
	if err := dst.RemoveAll(to); err != nil {
		return err
	}
	if err := durable.MkdirAll(dst, to); err != nil {
		return err
	}
	names, err := src.List(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := stop(); err != nil {
			return err
		}
		a, b := src.PathJoin(from, name), dst.PathJoin(to, name)
		info, err := src.Stat(a)
		if err != nil {
			return err
		}
		if info.IsDir() {
			err = copyDir(src, a, dst, b, stop)
		} else {
			err = copyFile(src, a, dst, b)
		}
		if err != nil {
			return err
		}
	}
	return durable.SyncDir(dst, to)
}

func copyFile(src vfs.FS, from string, dst vfs.FS, to string) error {
	b, err := nodeFS{src}.ReadFile(from)
	if err != nil {
		return err
	}
	return writeSync(dst, to, b)
}
