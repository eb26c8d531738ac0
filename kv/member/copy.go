package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/strakeproject/strake/raftstore/seglog"
)

// errMoved says that what was being copied has changed meanwhile.
var errMoved = errors.New("changed while it was copied")

// copyMember copies a member's directory, which may belong to a running
// process, as a crash at some moment would leave it:
//
//	identity.json, current.json   small, replaced by rename
//	state or state-N              a database of which what is flushed counts
//	log                           with all that the state lacks
//
// The state comes first, so that the log continues it. Its tables, which are most
// of it, are copied when nothing can have moved any more.
func copyMember(ctx context.Context, from, to string) error {
	before, err := smallFiles(from)
	if err != nil {
		return err
	}
	tables := make(map[string]*os.File) // by where they are to be
	defer func() {
		for _, f := range tables {
			f.Close()
		}
	}()
	dirs, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		name := d.Name()
		if !d.IsDir() || name != "state" && !strings.HasPrefix(name, "state-") {
			continue
		}
		if err := holdDatabase(filepath.Join(from, name), filepath.Join(to, name), tables); err != nil {
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
	if err != nil {
		return err
	}
	if !maps.Equal(before, after) {
		return errMoved // a snapshot was installed
	}
	for path, f := range tables {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := copyFile(f, path); err != nil {
			return err
		}
	}
	return nil
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

// holdDatabase copies a Pebble database that somebody may be writing to, but for
// its tables, which it opens and adds to those to be copied. Tables never change
// and logs only grow, so that it is enough to have them all open while the
// manifest, which names them, stays as it is: a table that goes away after that
// can still be read.
func holdDatabase(from, to string, tables map[string]*os.File) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	before, err := manifests(from)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
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
			tables[filepath.Join(to, name)] = f
			continue
		}
		err = copyFile(f, filepath.Join(to, name))
		f.Close()
		if err != nil {
			return err
		}
	}
	after, err := manifests(from)
	if err == nil && !maps.Equal(before, after) {
		err = errMoved
	}
	return err
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
