package cloudconfig

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// tree changes files below a root. A path is first followed link by link within
// the root; then every access goes through directories held open, so that a
// link put there meanwhile cannot lead out of the root either.
type tree struct{ root *os.Root }

// dirMode is that of directories made on the way.
const dirMode fs.FileMode = 0o755

// write replaces a file at once: whoever looks sees the old one or the whole new
// one. A link at the path is replaced, not followed. Owners below 0 are left to
// the file system.
func (t tree) write(f File, uid, gid int) error {
	dir, base, err := t.openDir(f.Path)
	if err != nil {
		return err
	}
	defer dir.Close()
	temp := ".cloudinit-temp-" + rand.Text()
	if err := fill(dir, temp, f, uid, gid); err != nil {
		_ = dir.Remove(temp)
		return err
	}
	if err := dir.Rename(temp, base); err != nil {
		_ = dir.Remove(temp)
		return err
	}
	return syncDir(dir)
}

// fill makes a new file and puts it on disk.
func fill(dir *os.Root, name string, f File, uid, gid int) error {
	file, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(f.Content)
	if uid >= 0 || gid >= 0 {
		err = errors.Join(err, file.Chown(uid, gid))
	}
	return errors.Join(err, file.Chmod(f.Mode), file.Sync(), file.Close())
}

// link puts a symbolic link in the place of what is there, at once.
func (t tree) link(name, target string) error {
	dir, base, err := t.openDir(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	temp := ".cloudinit-temp-" + rand.Text()
	if err := dir.Symlink(target, temp); err != nil {
		return err
	}
	if err := dir.Rename(temp, base); err != nil {
		_ = dir.Remove(temp)
		return err
	}
	return syncDir(dir)
}

// remove removes a file or link, and the directory of a unit's drop-ins or links
// with the last of them.
func (t tree) remove(name string) error {
	dir, base, err := t.openDir(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Remove(base); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	parent := path.Dir(name)
	for _, suffix := range []string{".d", ".wants", ".requires", ".upholds"} {
		if strings.HasSuffix(parent, suffix) && isUnitDir(path.Dir(parent)) {
			outer, base, err := t.openDir(parent)
			if err != nil {
				return err
			}
			_ = outer.Remove(base) // which fails while something is in it
			_ = outer.Close()
		}
	}
	return nil
}

// openDir opens the directory of a path, made if it is not there, and returns
// the path's last element.
func (t tree) openDir(name string) (*os.Root, string, error) {
	dir, base := path.Split(path.Clean("/" + name))
	at, err := view{t.root.FS()}.resolve(dir, true)
	if err != nil {
		return nil, "", err
	}
	if err := t.makeDirs(at); err != nil {
		return nil, "", err
	}
	opened, err := t.root.OpenRoot(at)
	if err != nil {
		if isNotDirectory(err) {
			err = fmt.Errorf("%s is not a directory", path.Clean(dir))
		}
		return nil, "", err
	}
	return opened, base, nil
}

// makeDirs makes a directory and those above it, and puts them on disk.
func (t tree) makeDirs(name string) error {
	info, err := t.root.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil || isNotDirectory(err):
		return fmt.Errorf("/%s is not a directory", name)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := path.Dir(name)
	if err := t.makeDirs(parent); err != nil {
		return err
	}
	if err := t.root.Mkdir(name, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Whatever mask the process has.
	if err := t.root.Chmod(name, dirMode); err != nil {
		return err
	}
	dir, err := t.root.OpenRoot(parent)
	if err != nil {
		return err
	}
	defer dir.Close()
	return syncDir(dir)
}

// syncDir puts the names in a directory on disk.
func syncDir(dir *os.Root) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
