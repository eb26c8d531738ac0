package datasource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// File is user-data in a local file. There is no meta-data. A file that is not
// there when it is looked for is not waited for.
func File(path string) Source { return file{path} }

type file struct{ path string }

func (f file) Type() string { return "local-file" }

func (f file) Available(context.Context) error { return f.look() }

func (f file) look() error {
	if _, err := os.Stat(f.path); err != nil {
		return never("%w", err)
	}
	return nil
}

func (f file) UserData(context.Context) ([]byte, error) { return readFile(f.path, maxUserData) }

func (f file) Metadata(context.Context) (*Metadata, error) { return &Metadata{}, nil }

// readFile reads a file up to a limit.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readOpen(f, path, limit)
}

func readOpen(f fs.File, path string, limit int64) ([]byte, error) {
	data, err := readLimited(f, limit)
	if err != nil {
		if _, ok := errors.AsType[*fs.PathError](err); ok {
			return nil, err
		}
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}
