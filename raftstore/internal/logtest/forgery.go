package logtest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
)

// AForgedRecordIsRefused changes each byte of a log's newest file. What was
// synced is then refused, never missing. The one exception is the last group of a
// store that was not closed: nothing tells it from one that a crash tore.
func AForgedRecordIsRefused(t *testing.T, k Kind) {
	for _, closed := range []bool{false, true} {
		d := raftsim.NewDisk()
		rec, last := writeGroups(t, k, d)
		if closed {
			if err := rec.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			d = raftsim.AfterCrash(0, nil, d)[0]
		}
		end := rec.Mark()
		name, content := newest(t, k, d)
		refused, tail := 0, 0
		for at := range content {
			forged := raftsim.AfterCrash(0, nil, d)[0]
			overwrite(t, forged, name, at, content[at]^0x10)
			log, err := k.Open(forged)
			if err != nil {
				if !errors.Is(err, raftstore.ErrCorrupt) {
					t.Errorf("closed %v, byte %d: refused with %v, want ErrCorrupt", closed, at, err)
				}
				refused++
				continue
			}
			if err := rec.CheckSurvivor(log, end, end); err != nil {
				tail++
				if !closed {
					err = rec.CheckSurvivor(log, last, end)
				}
				if err != nil {
					t.Errorf("closed %v, byte %d of %d: %v", closed, at, len(content), err)
				}
			}
			mustClose(t, log)
		}
		t.Logf("closed %v: of %d forgeries %d were refused, %d took the last group", closed, len(content), refused, tail)
		if refused < len(content)/2 {
			t.Errorf("closed %v: of %d forgeries only %d were refused", closed, len(content), refused)
		}
	}
}

// writeGroups also returns the moment before the last group.
func writeGroups(t *testing.T, k Kind, d *raftsim.Disk) (rec *raftsim.LogRecorder, last raftsim.LogMark) {
	t.Helper()
	rec, err := raftsim.RecordLog(k.open(t, d))
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(8) {
		last = rec.Mark()
		err := rec.Append(raftstore.LogGroup{
			Entries: []raftstore.LogEntry{{Index: i + 1, Term: 1, Data: bytes.Repeat([]byte{byte(i) + 1}, 20)}},
			Hard:    &raftstore.HardState{Term: 1, Commit: i},
		}, true)
		if err != nil {
			t.Fatal(err)
		}
	}
	return rec, last
}

// newest returns the newest file of a log, up to the last byte that is not zero.
func newest(t *testing.T, k Kind, d *raftsim.Disk) (name string, content []byte) {
	t.Helper()
	names, err := d.FS().List("log")
	if err != nil {
		t.Fatal(err)
	}
	name = "log/" + k.Newest(names)
	content, err = d.FS().ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return name, bytes.TrimRight(content, "\x00")
}

func overwrite(t *testing.T, d *raftsim.Disk, name string, at int, b byte) {
	t.Helper()
	f, err := d.PebbleFS().OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.WriteAt([]byte{b}, int64(at))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}
