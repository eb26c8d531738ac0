package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/strakeproject/strake/raftstore"
)

// image is the whole state as of one position of the log. On disk it is one
// JSON file, so that contents and position cannot part.
type image struct {
	Position raftstore.Position
	Values   map[string]int64
}

const imageFile = "registers.json"

// readImage reads the image in dir; an empty one at the zero position if there
// is none. A file that cannot be read is an error: to begin anew in its place
// would forget what this member has told others.
func readImage(dir string) (image, error) {
	b, err := os.ReadFile(filepath.Join(dir, imageFile))
	if errors.Is(err, fs.ErrNotExist) {
		return image{Values: make(map[string]int64)}, nil
	}
	if err != nil {
		return image{}, err
	}
	var im image
	if err := json.Unmarshal(b, &im); err != nil {
		return image{}, fmt.Errorf("%s: %w", filepath.Join(dir, imageFile), err)
	}
	if im.Values == nil {
		return image{}, fmt.Errorf("%s: not an image", filepath.Join(dir, imageFile))
	}
	return im, nil
}

// write replaces the image in dir. After a crash at any point dir holds the old
// image or the new one: the new one is on disk before its name is, and its name
// before write returns.
func (im image) write(dir string) error {
	b, err := json.Marshal(im)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, imageFile)
	if err := writeSync(path+".tmp", b); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncDir(dir)
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

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
