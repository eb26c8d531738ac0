package seglog_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/seglog"
)

// entryAt is an entry whose data tell its index.
func entryAt(index uint64) raftstore.LogEntry {
	data := make([]byte, 100+index%900)
	for i := range data {
		data[i] = byte(index + uint64(i))
	}
	return raftstore.LogEntry{Index: index, Term: index / 100, Data: data}
}

// busyLog appends and trims until n entries were written, while use runs, again
// and again, in some goroutines.
func busyLog(t *testing.T, n uint64, use func(log *seglog.Store, dir string) error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "log")
	log, err := seglog.Open(dir, seglog.Options{SegmentBytes: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}()
	var users sync.WaitGroup
	var done atomic.Bool
	for range 3 {
		users.Go(func() {
			for !done.Load() {
				if err := use(log, dir); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range n {
		g := raftstore.LogGroup{Entries: []raftstore.LogEntry{entryAt(i + 1)}}
		if i%100 == 99 {
			g.Trim = &raftstore.LogPosition{Index: i - 60, Term: (i - 60) / 100}
		}
		if err := log.Append(g, i%5 == 0); err != nil {
			t.Error(err)
			break
		}
	}
	done.Store(true)
	users.Wait()
}

func TestReadersFindWhatIsThereWhileFilesComeAndGo(t *testing.T) {
	busyLog(t, 2000, func(log *seglog.Store, _ string) error {
		st, err := log.State()
		if err != nil || st.Last == st.Base.Index {
			return err
		}
		entries, err := log.Entries(st.Base.Index+1, st.Last+1, 1<<20)
		if errors.Is(err, raftstore.ErrCorrupt) {
			// It was trimmed meanwhile, or is damaged.
			if now, _ := log.State(); now.Base.Index > st.Base.Index {
				return nil
			}
		}
		if err != nil {
			return err
		}
		for i, e := range entries {
			if want := entryAt(st.Base.Index + 1 + uint64(i)); !sameEntry(e, want) {
				t.Errorf("entry %d reads as %d of term %d with %d bytes", want.Index, e.Index, e.Term, len(e.Data))
			}
		}
		return nil
	})
}

// TestACopyOfALogInUseHasAllThatWasThere copies while the log goes on.
func TestACopyOfALogInUseHasAllThatWasThere(t *testing.T) {
	var copies, again atomic.Int64
	root := t.TempDir()
	busyLog(t, 2000, func(log *seglog.Store, dir string) error {
		before, err := log.State()
		if err != nil {
			return err
		}
		to := filepath.Join(root, strconv.FormatInt(copies.Add(1), 10))
		for {
			err := seglog.Copy(t.Context(), dir, to, seglog.Options{})
			if err == nil {
				break
			}
			if !errors.Is(err, raftstore.ErrCorrupt) && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			again.Add(1)
			if err := os.RemoveAll(to); err != nil {
				return err
			}
		}
		copied, err := seglog.Open(to, seglog.Options{})
		if err != nil {
			return err
		}
		st, err := copied.State()
		if err == nil && (st.Last < before.Last || st.Base.Index < before.Base.Index) {
			t.Errorf("the copy is from %d to %d, the log was from %d to %d", st.Base.Index, st.Last, before.Base.Index, before.Last)
		}
		if st.Last > st.Base.Index {
			entries, errRead := copied.Entries(st.Base.Index+1, st.Last+1, 1<<20)
			err = errors.Join(err, errRead)
			for _, e := range entries {
				if !sameEntry(e, entryAt(e.Index)) {
					t.Errorf("entry %d is wrong in the copy", e.Index)
				}
			}
		}
		return errors.Join(err, copied.Close())
	})
	t.Logf("%d copies, %d times begun again", copies.Load(), again.Load())
	if copies.Load() == 0 {
		t.Error("no copy was made")
	}
}

func TestACopyEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	log, err := seglog.Open(filepath.Join(dir, "log"), seglog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := log.Append(raftstore.LogGroup{Entries: []raftstore.LogEntry{entryAt(1)}}, true); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := seglog.Copy(ctx, filepath.Join(dir, "log"), filepath.Join(dir, "copy"), seglog.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("copy: %v, want the context's error", err)
	}
}
