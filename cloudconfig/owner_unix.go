//go:build unix

package cloudconfig

import (
	"errors"
	"io/fs"
	"syscall"
)

// ownerOf returns a file's owner; -1 if the file system does not tell.
func ownerOf(info fs.FileInfo) (uid, gid int) {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid), int(stat.Gid)
	}
	return -1, -1
}

// isNotDirectory reports whether a path led through something that is no
// directory.
func isNotDirectory(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
