package cloudconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// view reads a machine's file system, or that of an image, by absolute paths.
// Links are followed within it: an absolute one counts from its root, and ".."
// cannot leave it.
type view struct{ root fs.FS }

// maxLinks is how many links a path may lead through.
const maxLinks = 40

// resolve returns where a path leads to, as a name in the fs.FS without links,
// the last element's link followed only if last is true. What does not exist
// leads nowhere else.
func (v view) resolve(name string, last bool) (string, error) {
	rest := strings.Split(path.Clean("/" + name)[1:], "/")
	at := "."
	for links := 0; len(rest) > 0; {
		element := rest[0]
		rest = rest[1:]
		switch element {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, element)
		info, err := fs.Lstat(v.root, next)
		if errors.Is(err, fs.ErrNotExist) || isNotDirectory(err) || err == nil && info.Mode()&fs.ModeSymlink == 0 || len(rest) == 0 && !last {
			at = next
			continue
		}
		if err != nil {
			return "", err
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: too many links", name)
		}
		target, err := fs.ReadLink(v.root, next)
		if err != nil {
			return "", err
		}
		if path.IsAbs(target) {
			at = "."
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}

// read returns the contents of a file.
func (v view) read(name string) ([]byte, error) {
	at, err := v.resolve(name, true)
	if err != nil {
		return nil, err
	}
	return fs.ReadFile(v.root, at)
}

// entry is what stands at a path, its last link not followed.
type entry struct {
	kind entryKind
	mode fs.FileMode // permission bits
	uid  int         // -1 where the file system does not tell
	gid  int
	// content of a file that is not larger than any that is written, target of
	// a link.
	content string
	large   bool
}

type entryKind int

const (
	absent entryKind = iota
	regular
	link
	other // a directory, a device
)

// look returns what stands at a path.
func (v view) look(name string) (entry, error) {
	at, err := v.resolve(name, false)
	if err != nil {
		return entry{}, err
	}
	info, err := fs.Lstat(v.root, at)
	if errors.Is(err, fs.ErrNotExist) || isNotDirectory(err) {
		return entry{}, nil
	}
	if err != nil {
		return entry{}, err
	}
	e := entry{mode: info.Mode().Perm()}
	e.uid, e.gid = ownerOf(info)
	switch info.Mode().Type() {
	case 0:
		e.kind = regular
		if e.large = info.Size() > maxDecoded; e.large {
			return e, nil
		}
		content, err := fs.ReadFile(v.root, at)
		e.content = string(content)
		return e, err
	case fs.ModeSymlink:
		e.kind = link
		e.content, err = fs.ReadLink(v.root, at)
		return e, err
	}
	e.kind = other
	return e, nil
}

// readSmall returns the contents of a file that a user may have put there: a pipe
// or a device counts as empty, lest it keeps the reader for good, and so does a
// file that is not there.
func (v view) readSmall(name string) (string, error) {
	at, err := v.resolve(name, true)
	if err != nil {
		return "", err
	}
	e, err := v.look(at)
	if e.large {
		return "", fmt.Errorf("%s is too large", name)
	}
	if err != nil || e.kind != regular {
		return "", err
	}
	return e.content, nil
}
