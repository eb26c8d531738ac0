package pebblelog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Guard returns fsys as a Pebble database should see it that lives on a disk
// which may fail, in a process which must not.
//
// When an operation that changes something fails, failed is called with the
// error, and from there on nothing that is asked for reaches fsys any more. It
// is left as a loss of power would leave it, which is what Pebble knows to
// recover from, and nothing is tried a second time. The database is not told: it
// goes on in memory until it is closed. Pebble would answer such errors by a
// panic, partly in goroutines of its own and partly one that no recover stops.
//
// So who uses Guard has to look, after everything that is meant to be on disk,
// whether failed was called; only if not, it is there. That goes for flushes,
// checkpoints and reads with OnlyReadGuaranteedDurable as for synced commits.
// failed is called once, and must not use the database.
//
// Besides, Guard makes a directory durable before a marker appears in it or goes
// away, so that no crash leaves one that names a missing file, or none: with
// Pebble 2.1 alone that depends on the file system.
//
// A nil fsys is the operating system's file system. Any other must not modify
// what it fails to write.
func Guard(fsys vfs.FS, failed func(error)) vfs.FS {
	if fsys == nil {
		fsys = vfs.Default
	}
	return &guardFS{FS: fsys, failed: failed, scratch: vfs.NewMem()}
}

// guardFS passes on to FS until it is frozen, and then keeps what is written in
// scratch, a flat directory.
type guardFS struct {
	vfs.FS
	failed  func(error)
	once    sync.Once
	frozen  atomic.Bool
	scratch *vfs.MemFS
}

// fails freezes the file system if err is the disk's. Absence or presence of a
// file is not.
func (f *guardFS) fails(op, path string, err error) bool {
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		return false
	}
	// In this order: whoever is told that something was written, which it was
	// not, has to find that the disk failed.
	f.once.Do(func() {
		if !strings.Contains(err.Error(), path) { // the operating system's errors name it
			err = fmt.Errorf("%s %s: %w", op, path, err)
		}
		f.failed(err)
		f.frozen.Store(true)
	})
	return true
}

// change does what changes the disk. It reports false if that did not happen,
// for the caller to do in scratch.
func (f *guardFS) change(op, path string, do func() error) (bool, error) {
	if f.frozen.Load() {
		return false, nil
	}
	err := do()
	if f.fails(op, path, err) {
		return false, nil
	}
	return true, err
}

func flat(path string) string { return strings.ReplaceAll(path, "/", "%") }

func (f *guardFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.beforeMarker(name); err != nil {
		return nil, err
	}
	return f.create("create", name, func() (vfs.File, error) { return f.FS.Create(name, category) })
}

func (f *guardFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.create("reuse", from, func() (vfs.File, error) { return f.FS.ReuseForWrite(from, to, category) })
}

func (f *guardFS) create(op, name string, create func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	done, err := f.change(op, name, func() (err error) {
		file, err = create()
		return err
	})
	if !done {
		return f.scratch.Create(flat(name), vfs.WriteCategoryUnspecified)
	}
	if err != nil {
		return nil, err
	}
	return &guardFile{File: file, fs: f, name: name}, nil
}

// Open prefers what was written to scratch.
func (f *guardFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if f.frozen.Load() {
		if file, err := f.scratch.Open(flat(name)); err == nil {
			return file, nil
		}
	}
	return f.FS.Open(name, opts...)
}

func (f *guardFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.create("open", name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, category, opts...) })
}

func (f *guardFS) OpenDir(name string) (vfs.File, error) {
	dir, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardFile{File: dir, fs: f, name: name}, nil
}

func (f *guardFS) Stat(name string) (vfs.FileInfo, error) {
	if f.frozen.Load() {
		if info, err := f.scratch.Stat(flat(name)); err == nil {
			return info, nil
		}
	}
	return f.FS.Stat(name)
}

func (f *guardFS) Rename(from, to string) error {
	done, err := f.change("rename", from, func() error { return f.FS.Rename(from, to) })
	if !done {
		// What is on the disk stays; what is not there may be in scratch.
		_ = f.scratch.Rename(flat(from), flat(to))
	}
	return err
}

func (f *guardFS) Link(from, to string) error {
	_, err := f.change("link", from, func() error { return f.FS.Link(from, to) })
	return err
}

func (f *guardFS) MkdirAll(dir string, perm fs.FileMode) error {
	_, err := f.change("mkdir", dir, func() error { return f.FS.MkdirAll(dir, perm) })
	return err
}

// beforeMarker makes durable what a marker called name refers to, or what takes
// its place. Other files are none of its business.
func (f *guardFS) beforeMarker(name string) error {
	if !strings.HasPrefix(f.PathBase(name), "marker.") {
		return nil
	}
	dir, err := f.OpenDir(f.PathDir(name))
	if f.fails("open", f.PathDir(name), err) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Remove is not worth stopping for when it fails.
func (f *guardFS) Remove(name string) error {
	if err := f.beforeMarker(name); err != nil {
		return err
	}
	if f.frozen.Load() {
		return nil
	}
	return f.FS.Remove(name)
}

func (f *guardFS) RemoveAll(name string) error {
	if f.frozen.Load() {
		return nil
	}
	return f.FS.RemoveAll(name)
}

func (f *guardFS) Unwrap() vfs.FS { return f.FS }

// guardFile is a file or directory opened before its file system froze.
// Writes come from one goroutine at a time.
type guardFile struct {
	vfs.File
	fs      *guardFS
	name    string
	written int64
	moved   vfs.File // what has taken its place since the freeze
}

func (f *guardFile) Write(p []byte) (n int, err error) {
	done, err := f.fs.change("write", f.name, func() (err error) {
		n, err = f.File.Write(p)
		return err
	})
	if done {
		f.written += int64(n)
		return n, err
	}
	return f.move().Write(p)
}

// move makes a file in scratch of what was written so far.
func (f *guardFile) move() vfs.File {
	if f.moved == nil {
		// A file system in memory does not fail; and what cannot be read back
		// from a failed disk is found missing by the reader.
		f.moved, _ = f.fs.scratch.Create(flat(f.name), vfs.WriteCategoryUnspecified)
		_, _ = io.Copy(f.moved, io.NewSectionReader(f.File, 0, f.written))
	}
	return f.moved
}

func (f *guardFile) WriteAt(p []byte, off int64) (n int, err error) {
	done, err := f.fs.change("write", f.name, func() (err error) {
		n, err = f.File.WriteAt(p, off)
		return err
	})
	if !done {
		return len(p), nil
	}
	return n, err
}

func (f *guardFile) Sync() error {
	_, err := f.fs.change("sync", f.name, f.File.Sync)
	return err
}

func (f *guardFile) SyncData() error {
	_, err := f.fs.change("sync", f.name, f.File.SyncData)
	return err
}

func (f *guardFile) SyncTo(length int64) (full bool, err error) {
	_, err = f.fs.change("sync", f.name, func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

func (f *guardFile) Close() error {
	if f.moved != nil {
		_ = f.moved.Close() // in memory
	}
	err := f.File.Close()
	if f.fs.fails("close", f.name, err) {
		return nil
	}
	return err
}

var (
	_ vfs.FS   = (*guardFS)(nil)
	_ vfs.File = (*guardFile)(nil)
)
