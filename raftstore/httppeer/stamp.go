package httppeer

import (
	"os"
	"slices"
	"time"
)

// stamps show whether any of some files was changed.
type stamps []stamp

// stamp shows whether a file was changed.
type stamp struct {
	info os.FileInfo // nil if there is none
	time time.Time
	size int64
}

// stampsOf returns the stamps of files; an empty path is none. Those who read the
// files take the stamps first: what is written in between then counts as a change.
func stampsOf(paths ...string) stamps {
	var all stamps
	for _, path := range paths {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			all = append(all, stamp{})
			continue
		}
		all = append(all, stamp{info, info.ModTime(), info.Size()})
	}
	return all
}

func (s stamps) same(other stamps) bool { return slices.EqualFunc(s, other, stamp.same) }

func (a stamp) same(b stamp) bool {
	if a.info == nil || b.info == nil {
		return a.info == nil && b.info == nil
	}
	// A file moved into place may be as old and as large as the one before.
	return os.SameFile(a.info, b.info) && a.time.Equal(b.time) && a.size == b.size
}
