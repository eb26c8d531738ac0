package raftstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// FS is what a Node does to its data directory by itself; state machine and log
// have their own ways. Each method has either happened, durably, or not when the
// power fails in the middle of it. The default is the operating system's file
// system; a simulator gives another one.
type FS interface {
	// MkdirAll makes a directory and its parents, unless they are there.
	MkdirAll(dir string) error
	// ReadFile returns a file's content; fs.ErrNotExist if there is none.
	ReadFile(path string) ([]byte, error)
	// WriteFile replaces a file.
	WriteFile(path string, data []byte) error
	// Rename moves a directory, over an empty one or none.
	Rename(from, to string) error
	// RemoveAll removes a file or a directory with all below it, if it is there.
	// After a crash some of it may still be there.
	RemoveAll(path string) error
	// List returns the names in a directory.
	List(dir string) ([]string, error)
}

// osFS is the operating system's file system.
type osFS struct{}

func (osFS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

func (osFS) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// WriteFile writes a temporary file, syncs it, renames it and syncs the
// directory: after a crash the file is either the old or the new one, whole.
func (f osFS) WriteFile(path string, data []byte) error {
	tmp := path + ".tmp"
	if err := writeSync(tmp, data); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return f.Rename(tmp, path)
}

func writeSync(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (osFS) Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (osFS) RemoveAll(path string) error { return os.RemoveAll(path) }

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// HasMember reports whether a directory holds a member, so that Open would
// restart it.
func HasMember(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
