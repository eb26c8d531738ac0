package seglog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
	"github.com/strakeproject/strake/raftstore/seglog"
)

// TestADamagedLogIsRefused flips bits in all of the files of a log, cuts them
// short, empties and removes them. The log is refused, or has everything.
func TestADamagedLogIsRefused(t *testing.T) {
	d, rec := closedLog(t)
	end := rec.Mark()
	names, err := d.FS().List("log")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	refused := make(map[string]int)
	for _, name := range names {
		path := "log/" + name
		content, err := d.FS().ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		damages := []func(*raftsim.Disk) (string, error){
			func(d *raftsim.Disk) (string, error) { return "removed", d.PebbleFS().Remove(path) },
			func(d *raftsim.Disk) (string, error) { return "emptied", replace(d, path, nil) },
		}
		for n := 1; n < len(content); n += 1 + n/2 {
			damages = append(damages, func(d *raftsim.Disk) (string, error) {
				return fmt.Sprintf("cut at %d", n), replace(d, path, content[:n])
			})
		}
		for at := 0; at < len(content); at += 1 + rng.IntN(30) {
			damages = append(damages, func(d *raftsim.Disk) (string, error) {
				return fmt.Sprintf("byte %d flipped", at), flip(d, path, content, at)
			})
		}
		for _, damage := range damages {
			forged := raftsim.AfterCrash(0, nil, d)[0]
			what, err := damage(forged)
			if err != nil {
				t.Fatal(err)
			}
			log, err := kind(8 << 10).Open(forged)
			if err != nil {
				refused[strings.TrimLeft(name, "0123456789")]++
				if !errors.Is(err, raftstore.ErrCorrupt) {
					t.Errorf("%s %s: %v, want ErrCorrupt", name, what, err)
				}
				continue
			}
			if err := rec.CheckSurvivor(log, end, end); err != nil {
				t.Errorf("%s %s: %v", name, what, err)
			}
			log.Close()
		}
	}
	t.Log(refused)
	if refused[".seg"] == 0 || refused["seglog"] == 0 {
		t.Errorf("refused: %v, want segments and the marker among them", refused)
	}
}

// closedLog is one with several segments.
func closedLog(t *testing.T) (*raftsim.Disk, *raftsim.LogRecorder) {
	t.Helper()
	d := raftsim.NewDisk()
	log, err := kind(8 << 10).Open(d)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := raftsim.RecordLog(log)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range workload(35) {
		if err := rec.Append(g, i%3 != 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	return raftsim.AfterCrash(0, nil, d)[0], rec
}

func replace(d *raftsim.Disk, path string, content []byte) error {
	f, err := d.PebbleFS().Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

func flip(d *raftsim.Disk, path string, content []byte, at int) error {
	f, err := d.PebbleFS().OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{content[at] ^ 1<<(at%8)}, int64(at))
	return errors.Join(err, f.Close())
}

// TestDamageToAnOpenLogIsNotServed flips bytes after the log was opened.
func TestDamageToAnOpenLogIsNotServed(t *testing.T) {
	d := raftsim.NewDisk()
	log, err := kind(0).Open(d)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	want := raftstore.LogEntry{Index: 1, Term: 7, Data: []byte("a few bytes of data")}
	if err := log.Append(raftstore.LogGroup{Entries: []raftstore.LogEntry{want}}, true); err != nil {
		t.Fatal(err)
	}
	path := "log/0000000001.seg"
	content, err := d.FS().ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	served := 0
	for at := range 300 {
		if err := flip(d, path, content, at); err != nil {
			t.Fatal(err)
		}
		got, err := log.Entries(1, 2, 100)
		switch {
		case err == nil && (len(got) != 1 || !sameEntry(got[0], want)):
			t.Errorf("byte %d flipped: entries %+v, want %+v", at, got, want)
		case err == nil:
			served++
		case !errors.Is(err, raftstore.ErrCorrupt):
			t.Errorf("byte %d flipped: %v, want ErrCorrupt", at, err)
		}
		if err := replace(d, path, content); err != nil {
			t.Fatal(err)
		}
	}
	if served > 300-len(want.Data) {
		t.Errorf("%d of 300 flips went unnoticed", served)
	}
}

// TestAHoleInWhatWasNotSyncedIsCut loses one page in the middle of what was not
// synced, while what follows it is there.
func TestAHoleInWhatWasNotSyncedIsCut(t *testing.T) {
	for hole := range 10 {
		d := raftsim.NewDisk()
		log, err := kind(0).Open(d)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := raftsim.RecordLog(log)
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(40) {
			g := raftstore.LogGroup{Entries: []raftstore.LogEntry{{Index: i + 1, Term: 1, Data: make([]byte, 1000)}}}
			if err := rec.Append(g, i == 0); err != nil {
				t.Fatal(err)
			}
		}
		mark := rec.Mark()
		left := raftsim.AfterCrash(100, rand.New(rand.NewPCG(0, 0)), d)[0]
		f, err := left.PebbleFS().OpenReadWrite("log/0000000001.seg", vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = f.WriteAt(make([]byte, 4096), int64(4096*(hole+1)))
		}
		if err != nil {
			t.Fatal(err)
		}
		again, err := kind(0).Open(left)
		if err != nil {
			t.Fatalf("page %d: %v", hole+1, err)
		}
		st, err := again.State()
		if want := uint64(4*hole + 4); err != nil || st.Last > want || st.Last+1 < want {
			t.Errorf("page %d is lost: log ends at %d (%v), want about %d", hole+1, st.Last, err, want)
		}
		if err := rec.CheckSurvivor(again, mark, mark); err != nil {
			t.Error(err)
		}
		again.Close()
		log.Close()
	}
}

// FuzzSegment opens what may stand where the records of a segment do.
func FuzzSegment(f *testing.F) {
	d := raftsim.NewDisk()
	log, err := kind(8 << 10).Open(d)
	if err != nil {
		f.Fatal(err)
	}
	for _, g := range workload(3) {
		if err := log.Append(g, true); err != nil {
			f.Fatal(err)
		}
	}
	content, err := d.FS().ReadFile("log/0000000001.seg")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content, 0, byte(0))
	f.Add(content, 200, byte(1))
	f.Add(content[:300], 0, byte(0))
	f.Add([]byte{}, 0, byte(0))
	f.Fuzz(func(t *testing.T, content []byte, at int, bits byte) {
		if at >= 0 && at < len(content) {
			content[at] ^= bits
		}
		fs := vfs.NewMem()
		file, err := fs.Create("0000000001.seg", vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = file.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
		log, err := seglog.Open("", seglog.Options{FS: fs, SegmentBytes: 8 << 10})
		if err != nil {
			if !errors.Is(err, raftstore.ErrCorrupt) {
				t.Fatalf("refused with %v, want ErrCorrupt", err)
			}
			return
		}
		defer log.Close()
		st, err := log.State()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Entries(st.Base.Index+1, st.Last+1, 1<<30); err != nil {
			t.Fatalf("read what was found: %v", err)
		}
	})
}
