package seglog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
)

const (
	// copyTries is how often a copy is begun again when the log changes in the
	// middle of it, which takes a segment that begins or goes away.
	copyTries = 20
	copyBytes = 1 << 20 // that are copied at a time
)

// Copy copies the log in from, which may be open, here or in another process, to
// the directory to, where there must be none. The copy holds all that was
// appended before Copy was called, synced or not, unless it was trimmed, and
// maybe some of what follows. It is on disk when Copy returns.
//
// On failure what is at to is of no use, and may be removed.
func Copy(ctx context.Context, from, to string, o Options) error {
	fsys := cmp.Or[vfs.FS](o.FS, vfs.Default)
	var err error
	for range copyTries {
		if err = tryCopy(ctx, fsys, from, to, o); err == nil {
			return nil
		}
		// What looks like damage may be the trace of a change. Real damage does not
		// go away.
		if !errors.Is(err, raftstore.ErrCorrupt) && !isMissing(err) || ctx.Err() != nil {
			break
		}
		if errRemove := fsys.RemoveAll(to); errRemove != nil {
			err = errors.Join(err, errRemove)
			break
		}
	}
	return fmt.Errorf("seglog: copy %s: %w", from, err)
}

func tryCopy(ctx context.Context, fsys vfs.FS, from, to string, o Options) (err error) {
	names, err := list(fsys, from)
	if err != nil {
		return err
	}
	found, err := (&scanner{fs: fsys, dir: from}).scan(names)
	if err != nil {
		return err
	}
	if found.tail == nil {
		return fmt.Errorf("no log: %w", os.ErrNotExist)
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
