package seglog_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
	"github.com/strakeproject/strake/raftstore/seglog"
)

var everything = flag.Bool("seglog.everything", false, "at each operation look at three kinds of crashes, not at one")

// workload returns groups that make a log of several segments, replace ends of
// it, trim and rebase it. All data are alike, so that what is left over from
// before would fit.
func workload(n int) []raftstore.LogGroup {
	var groups []raftstore.LogGroup
	next, base := uint64(1), uint64(0)
	for i := range n {
		g := raftstore.LogGroup{Hard: &raftstore.HardState{Term: 1, Vote: 1, Commit: uint64(i)}}
		switch {
		case i%50 == 49:
			base, next = next+5, next+6
			g.Base = &raftstore.LogPosition{Index: base, Term: 1}
		case i%7 == 6:
			base += (next - base) / 2
			g.Trim = &raftstore.LogPosition{Index: base, Term: 1}
		case i%5 == 4 && next > base+2:
			next -= 2
		}
		for range 1 + i%3 {
			g.Entries = append(g.Entries, raftstore.LogEntry{Index: next, Term: 1, Data: make([]byte, 700)})
			next++
		}
		groups = append(groups, g)
	}
	return groups
}

// moment is what a crash left at some moment of a workload.
type moment struct {
	op            raftsim.Op
	disk          *raftsim.Disk
	keep          int
	before, after raftsim.LogMark
}

func (m moment) String() string {
	when := "before"
	if m.op.Done {
		when = "after"
	}
	return fmt.Sprintf("right %s %s of %s, keeping %d%%", when, m.op.Kind, m.op.Path, m.keep)
}

// TestCrashesAtEveryOperation looks right before and right after each thing that
// a log does to its disk what a loss of power would leave. Each of these
// leftovers is opened, during which the power is lost again, and used.
func TestCrashesAtEveryOperation(t *testing.T) {
	for _, segmentBytes := range []int64{8 << 10, 20 << 10} {
		rng := rand.New(rand.NewPCG(1, uint64(segmentBytes)))
		open := kind(segmentBytes).Open
		d := raftsim.NewDisk()
		log, err := open(d)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := raftsim.RecordLog(log)
		if err != nil {
			t.Fatal(err)
		}
		var moments []moment
		counts := make(map[raftsim.OpKind]int)
		d.Watch(func(op raftsim.Op) {
			counts[op.Kind]++
			keeps := []int{0, rng.IntN(101), 100}
			if !*everything {
				keeps = keeps[rng.IntN(3):][:1]
			}
			for _, keep := range keeps {
				m := moment{op: op, keep: keep, before: rec.Mark()}
				m.disk = raftsim.AfterCrash(keep, rng, d)[0]
				m.after = rec.Mark()
				moments = append(moments, m)
			}
		})
		for i, g := range workload(120) {
			if err := rec.Append(g, i%3 != 0); err != nil {
				t.Fatal(err)
			}
		}
		d.Watch(nil)
		t.Logf("segments of %d: %d leftovers; operations %v", segmentBytes, len(moments), counts)
		for _, m := range moments {
			if err := m.survive(rec, open, rng); err != nil {
				t.Fatalf("segments of %d, %v: %v", segmentBytes, m, err)
			}
		}
		for _, kind := range []raftsim.OpKind{raftsim.OpWrite, raftsim.OpSync, raftsim.OpRename, raftsim.OpSyncDir} {
			if counts[kind] == 0 {
				t.Errorf("the workload has no %s", kind)
			}
		}
	}
}

// survive checks what is left, and what becomes of it.
func (m moment) survive(rec *raftsim.LogRecorder, open func(*raftsim.Disk) (raftstore.LogStore, error), rng *rand.Rand) error {
	// The power is lost once more while the log is opened.
	m.disk.Inject(raftsim.Fault{After: rng.IntN(8), Err: raftsim.ErrPowerLoss})
	if log, err := open(m.disk); err == nil {
		_ = log.Close() // maybe the power is gone meanwhile
	}
	m.disk.Crash(rng.IntN(101), rng)
	log, err := open(m.disk)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := rec.CheckSurvivor(log, m.before, m.after); err != nil {
		return err
	}
	// Nothing of what was lost comes back: what Open has shown is on disk, and
	// what follows now, and is alike, does not lead to it.
	next, err := raftsim.RecordLog(log)
	if err != nil {
		return err
	}
	st, err := log.State()
	if err != nil {
		return err
	}
	for i := range uint64(4) {
		mark := next.Mark()
		m.disk.Crash(rng.IntN(101), rng)
		_ = log.Close() // of a program that is no more
		if log, err = open(m.disk); err != nil {
			return fmt.Errorf("open %d: %w", i, err)
		}
		if err := next.CheckSurvivor(log, mark, mark); err != nil {
			return fmt.Errorf("opened once more: %w", err)
		}
		if next, err = raftsim.RecordLog(log); err != nil {
			return err
		}
		g := raftstore.LogGroup{Entries: []raftstore.LogEntry{{Index: st.Last + 1 + i, Term: 1, Data: make([]byte, 700)}}}
		if err := next.Append(g, true); err != nil {
			return err
		}
	}
	return log.Close()
}

// TestWhatOpenShowsIsOnDisk has a program end after an operation that failed. The
// next one finds in memory what may never have got to the disk.
func TestWhatOpenShowsIsOnDisk(t *testing.T) {
	for _, k := range []raftsim.OpKind{raftsim.OpSync, raftsim.OpSyncDir, raftsim.OpRename, raftsim.OpWrite} {
		failed := 0
		for after := range 40 {
			if openAfterFailure(t, raftsim.Fault{Kind: k, After: after, Times: 1, Err: syscall.EIO}) {
				failed++
			}
		}
		if failed < 10 {
			t.Errorf("%d operations %s failed, want more", failed, k)
		}
	}
}

// openAfterFailure reports whether there was the failure.
func openAfterFailure(t *testing.T, f raftsim.Fault) bool {
	t.Helper()
	d := raftsim.NewDisk()
	open := kind(8 << 10).Open
	log, err := open(d)
	if err != nil {
		t.Fatal(err)
	}
	d.Inject(f)
	for i, g := range workload(60) {
		if err = log.Append(g, i%3 == 0); err != nil {
			break
		}
	}
	_ = log.Close() // the error again
	if err == nil {
		return false
	}
	if log, err = open(d); err != nil {
		t.Fatalf("open after %+v: %v", f, err)
	}
	rec, err := raftsim.RecordLog(log)
	if err != nil {
		t.Fatal(err)
	}
	d.Crash(0, nil)
	_ = log.Close() // of a program that is no more
	if log, err = open(d); err != nil {
		t.Fatalf("open after %+v and a loss of power: %v", f, err)
	}
	if err := rec.CheckSurvivor(log, rec.Mark(), rec.Mark()); err != nil {
		t.Errorf("after %+v: %v", f, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return true
}

// TestWhatWasCutDoesNotComeBackBehindWhatTakesItsPlace loses the first of two
// groups, and then writes one that ends just where the second one begins.
func TestWhatWasCutDoesNotComeBackBehindWhatTakesItsPlace(t *testing.T) {
	const (
		segmentHeader = 104
		recordHeader  = 32 + 8 + 25 // with those of a group and an entry
		stateRecord   = 32 + 48
		end           = 4 * 4096
	)
	d := raftsim.NewDisk()
	open := kind(0).Open
	log, err := open(d)
	if err != nil {
		t.Fatal(err)
	}
	for i, size := range []int{end - segmentHeader - recordHeader, 10} {
		g := raftstore.LogGroup{Entries: []raftstore.LogEntry{{Index: uint64(i) + 1, Term: 1, Data: make([]byte, size)}}}
		if err := log.Append(g, false); err != nil {
			t.Fatal(err)
		}
	}
	left := raftsim.AfterCrash(100, rand.New(rand.NewPCG(0, 0)), d)[0]
	_ = log.Close()
	f, err := left.PebbleFS().OpenReadWrite("log/0000000001.seg", vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.WriteAt([]byte("lost"), 4096)
	}
	if err != nil {
		t.Fatal(err)
	}
	if log, err = open(left); err != nil {
		t.Fatal(err)
	}
	rec, err := raftsim.RecordLog(log)
	if err != nil {
		t.Fatal(err)
	}
	if st, _ := log.State(); st.Last != 0 {
		t.Fatalf("the log ends at %d, want it empty", st.Last)
	}
	size := end - segmentHeader - stateRecord - recordHeader
	if err := rec.Append(raftstore.LogGroup{Entries: []raftstore.LogEntry{{Index: 1, Term: 1, Data: make([]byte, size)}}}, true); err != nil {
		t.Fatal(err)
	}
	left.Crash(0, nil)
	_ = log.Close() // of a program that is no more
	if log, err = open(left); err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := rec.CheckSurvivor(log, rec.Mark(), rec.Mark()); err != nil {
		t.Error(err)
	}
}

func TestFilesAreUsedAgainAndFew(t *testing.T) {
	d := raftsim.NewDisk()
	log, err := kind(8 << 10).Open(d)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	created := make(map[string]bool)
	d.Watch(func(op raftsim.Op) {
		if op.Kind == raftsim.OpCreate && op.Done {
			created[op.Path] = true
		}
	})
	for i := range uint64(200) {
		g := raftstore.LogGroup{Entries: []raftstore.LogEntry{{Index: i + 1, Term: 1, Data: make([]byte, 1000)}}}
		if i > 10 {
			g.Trim = &raftstore.LogPosition{Index: i - 5, Term: 1}
		}
		if err := log.Append(g, true); err != nil {
			t.Fatal(err)
		}
	}
	names, err := d.FS().List("log")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) > 7 {
		t.Errorf("the directory holds %q, want two files with entries, two spares, LOCK and the marker", names)
	}
	t.Logf("%q", names)
	for name := range created {
		if strings.HasSuffix(name, ".seg") {
			t.Errorf("%s was created under its name", name)
		}
	}
}

func TestTheDirectoryOfAnotherLogIsRefused(t *testing.T) {
	d := raftsim.NewDisk()
	other, err := openPebble(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, closed := range []bool{false, true} {
		if closed {
			if err := other.Close(); err != nil {
				t.Fatal(err)
			}
		}
		log, err := seglog.Open("log", seglog.Options{FS: d.PebbleFS()})
		if err == nil {
			log.Close()
			t.Fatalf("closed %v: a Pebble log was opened", closed)
		}
		if !strings.Contains(err.Error(), "seglog: open log: it holds a Pebble database (") {
			t.Errorf("closed %v: %v", closed, err)
		}
	}
}

func TestALogIsLockedWhileItIsOpen(t *testing.T) {
	dir := t.TempDir()
	log, err := seglog.Open(dir, seglog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seglog.Open(dir, seglog.Options{}); err == nil {
		t.Error("it was opened twice")
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log, err = seglog.Open(dir, seglog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}
