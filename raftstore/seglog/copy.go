package seglog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
)

const copyBytes = 1 << 20 // that are copied at a time

// Copy copies the log in from, which may be open, here or in another process, to
// the directory to, where there must be none. The copy holds all that was
// appended before Copy was called, synced or not, unless it was trimmed, and
// maybe some of what follows. It is on disk when Copy returns.
//
// A log that changes in the middle of it, as when a segment begins or goes away,
// looks like a damaged one: Copy fails with raftstore.ErrCorrupt or
// [fs.ErrNotExist], and may be called again. Real damage does not go away.
//
// On failure what is at to is of no use, and has to be removed before a retry.
func Copy(ctx context.Context, from, to string, o Options) error {
	if err := copyLog(ctx, from, to, o); err != nil {
		return fmt.Errorf("seglog: copy %s: %w", from, err)
	}
	return nil
}

func copyLog(ctx context.Context, from, to string, o Options) (err error) {
	fsys := cmp.Or[vfs.FS](o.FS, vfs.Default)
	names, err := list(fsys, from)
	if err != nil {
		return err
	}
	found, err := (&scanner{fs: fsys, dir: from}).scan(names)
	if err != nil {
		return err
	}
	if found.tail == nil {
		return fmt.Errorf("no log: %w", fs.ErrNotExist)
	}
	out, err := Open(to, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := out.Append(raftstore.LogGroup{Base: &found.base, Hard: &found.hard}, false); err != nil {
		return err
	}
	r := entryReader{fs: fsys, dir: from, sum: func(number uint32) uint32 { return found.sums[number] }}
	next := found.base.Index + 1
	for rest := found.places; len(rest) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, size := 1, int(rest[0].length)
		for ; n < len(rest) && size < copyBytes; n++ {
			size += int(rest[n].length)
		}
		entries, err := r.read(next, rest[:n])
		if err != nil {
			return err
		}
		if err := out.Append(raftstore.LogGroup{Entries: entries}, false); err != nil {
			return err
		}
		next += uint64(n)
		rest = rest[n:]
	}
	return out.Append(raftstore.LogGroup{}, true)
}
