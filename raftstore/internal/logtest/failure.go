package logtest

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
)

// AFailingDiskEndsTheStoreAndNotTheProcess fails one operation and lets all
// later ones succeed, which must not help: what is written after a failure, as
// after a sync that failed, may follow on a gap.
func AFailingDiskEndsTheStoreAndNotTheProcess(t *testing.T, k Kind) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for _, kind := range []raftsim.OpKind{raftsim.OpCreate, raftsim.OpWrite, raftsim.OpSync, raftsim.OpSyncDir, raftsim.OpRename} {
			t.Run(errno.Error()+"/"+string(kind), func(t *testing.T) {
				reached := 0
				for after := 0; failOnce(t, k, raftsim.Fault{Kind: kind, After: after, Times: 1, Err: errno}); after += 1 + after/8 {
					reached++
				}
				t.Logf("failed at %d different operations", reached)
				if reached == 0 {
					t.Errorf("the store has no %s", kind)
				}
			})
		}
	}
}

// failOnce has a store filled until it fails. It reports whether the fault hit.
func failOnce(t *testing.T, k Kind, f raftsim.Fault) (hit bool) {
	t.Helper()
	d := raftsim.NewDisk()
	d.Inject(f)
	store, err := k.Open(d)
	if err != nil {
		if !errors.Is(err, f.Err) {
			t.Fatalf("open with %+v: %v, want its error", f, err)
		}
		d.Crash(0, nil)
		if store, err = k.Open(d); err != nil {
			t.Fatalf("open after a failure in open with %+v: %v", f, err)
		}
		mustClose(t, store)
		return true
	}
	rec, err := raftsim.RecordLog(store)
	if err != nil {
		t.Fatal(err)
	}
	fill(rec, func(e error) bool { err = e; return e == nil })
	before := rec.Mark()
	if err == nil {
		// It may have failed behind the store's back, or not at all.
		err = rec.Append(raftstore.LogGroup{Hard: &raftstore.HardState{Term: 99}}, true)
	}
	if err != nil {
		if !errors.Is(err, f.Err) {
			t.Fatalf("append with %+v: %v, want its error", f, err)
		}
		if again := rec.Append(raftstore.LogGroup{Hard: &raftstore.HardState{Term: 100}}, true); !errors.Is(again, f.Err) {
			t.Fatalf("append after a failure with %+v: %v, want the same", f, again)
		}
	}
	_ = store.Close() // which fails if the disk did
	d.Crash(0, nil)
	survivor, errOpen := k.Open(d)
	if errOpen != nil {
		t.Fatalf("open after %+v: %v", f, errOpen)
	}
	defer survivor.Close()
	if err := rec.CheckSurvivor(survivor, before, rec.Mark()); err != nil {
		t.Fatalf("after %+v: %v", f, err)
	}
	return err != nil
}

func mustClose(t *testing.T, store raftstore.LogStore) {
	t.Helper()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// fill appends and trims until done says false, past several changes of files.
func fill(log raftstore.LogStore, done func(error) bool) {
	for i := range uint64(40) {
		g := raftstore.LogGroup{
			Entries: []raftstore.LogEntry{{Index: i + 1, Term: 1, Data: make([]byte, 64<<10)}},
			Hard:    &raftstore.HardState{Term: i + 1},
		}
		if i%8 == 7 {
			g.Trim = &raftstore.LogPosition{Index: i - 3, Term: 1}
		}
		if !done(log.Append(g, i%3 != 0)) {
			return
		}
	}
}

// NothingIsWrittenAfterAFailedSync is about what its name says.
func NothingIsWrittenAfterAFailedSync(t *testing.T, k Kind) {
	d := raftsim.NewDisk()
	store := k.open(t, d)
	fill(store, func(err error) bool { return err == nil })
	var ops atomic.Int64
	d.Inject(raftsim.Fault{Kind: raftsim.OpSync, Times: 1, Err: syscall.EIO})
	if err := store.Append(raftstore.LogGroup{Hard: &raftstore.HardState{Term: 2}}, true); !errors.Is(err, syscall.EIO) {
		t.Errorf("append on a failing disk: %v, want EIO", err)
	}
	d.Watch(func(op raftsim.Op) {
		ops.Add(1)
		t.Logf("%+v", op)
	})
	fill(store, func(error) bool { return true })
	_ = store.Close() // the error again
	if n := ops.Load(); n != 0 {
		t.Errorf("%d operations changed the disk after its failure, want none", n)
	}
}
