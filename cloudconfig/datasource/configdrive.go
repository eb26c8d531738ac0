package datasource

import (
	"context"
	"errors"
	"io/fs"
	"os"
)

// ConfigDrive is a config drive of OpenStack that is mounted at a directory. It
// is there once the directory is. What is missing on it says nothing. Its network
// is in FormatDebian.
func ConfigDrive(dir string) Source { return configDrive{dir} }

type configDrive struct{ dir string }

func (configDrive) Type() string { return "cloud-drive" }

func (d configDrive) Available(context.Context) error {
	info, err := os.Stat(d.dir)
	if err == nil && !info.IsDir() {
		return never("%s is no directory", d.dir)
	}
	return err
}

func (d configDrive) UserData(ctx context.Context) ([]byte, error) {
	return d.get(ctx, openStackUserData, maxUserData)
}

func (d configDrive) Metadata(ctx context.Context) (*Metadata, error) {
	return readOpenStack(ctx, d.get)
}

// get is a getter.
func (d configDrive) get(_ context.Context, name string, limit int64) ([]byte, error) {
	return readBelow(d.dir, name, limit)
}

// readBelow reads a file that is below a directory in truth, wherever links lead;
// nothing, if there is no such file.
func readBelow(dir, name string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readOpen(f, name, limit)
}

// listBelow lists a directory that is below a directory in truth; nothing, if
// there is none.
func listBelow(dir, name string) ([]fs.DirEntry, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}
