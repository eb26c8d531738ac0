package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/strakeproject/strake/raftstore/seglog"
)

// errMoved says that what was being copied has changed meanwhile.
var errMoved = errors.New("changed while it was copied")

// copyTries is how often a copy is begun again when the original changes, which
// takes a flush in the few milliseconds that its files are being opened.
const copyTries = 20

// copyMember copies a member's directory, which may belong to a running
// process, as a crash at some moment would leave it:
//
//	identity.json, current.json   small, replaced by rename
//	state or state-N              a database of which what is flushed counts
//	log                           with all that the state lacks
//
// The state comes first, so that the log continues it.
func copyMember(ctx context.Context, from, to string) error {
	before, err := smallFiles(from)
	if err != nil {
		return err
	}
	dirs, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		name := d.Name()
		if !d.IsDir() || name != "state" && !strings.HasPrefix(name, "state-") {
			continue
		}
		if err := copyDatabase(ctx, filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return fmt.Errorf("copy %s: %w", filepath.Join(from, name), err)
		}
	}
	if err := seglog.Copy(ctx, filepath.Join(from, logName), filepath.Join(to, logName), seglog.Options{}); err != nil {
		return err
	}
	for name, content := range before {
		if err := os.WriteFile(filepath.Join(to, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	after, err := smallFiles(from)
	if err == nil && !maps.Equal(before, after) {
		err = errMoved // a snapshot was installed
	}
	return err
}

// smallFiles reads the plain files of a member's directory.
func smallFiles(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := make(map[string]string)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		files[e.Name()] = string(b)
	}
	return files, nil
}

// copyDatabase copies a Pebble database that somebody may be writing to. Its
// tables never change and its logs only grow, so that it is enough to have them
// all open while the manifest, which names them, stays as it is: a table that
// goes away after that can still be read.
func copyDatabase(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for range copyTries {
		err := tryCopy(ctx, from, to)
		if err == nil || !errors.Is(err, errMoved) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return errMoved
}

func tryCopy(ctx context.Context, from, to string) (err error) {
	before, err := manifests(from)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	tables := make(map[string]*os.File)
	defer func() {
		for _, f := range tables {
			f.Close()
		}
	}()
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || name == "LOCK" {
			continue
		}
		f, err := os.Open(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if isTable(name) {
			tables[name] = f
			continue
		}
		err = copyFile(f, filepath.Join(to, name))
		f.Close()
		if err != nil {
			return err
		}
	}
	after, err := manifests(from)
	if err != nil {
		return err
	}
	if !maps.Equal(before, after) {
		return errors.Join(errMoved, empty(to))
	}
	for name, f := range tables {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := copyFile(f, filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

func isTable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// manifests tells the state of a database: which files say what it consists of,
// and how long they are.
func manifests(dir string) (map[string]int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64)
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, "MANIFEST-") || strings.HasPrefix(name, "marker.") {
			info, err := e.Info()
			if err != nil {
				return nil, err
			}
			sizes[name] = info.Size()
		}
	}
	return sizes, nil
}

// copyFile copies what a file holds at the moment.
func copyFile(f *os.File, to string) (err error) {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, f); err != nil {
		return err
	}
	return out.Sync()
}

func empty(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o700)
}
