package pebblelog_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/pebblelog"
)

// TestLog replays the transcripts in testdata: what is written, and what a
// reader then finds. "crash" keeps what was synced and loses the rest.
func TestLog(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		fs := vfs.NewCrashableMem()
		log := open(t, fs)
		defer func() { log.Close() }()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "append":
				return appendGroup(t, log, d)
			case "state":
				st, err := log.State()
				if err != nil {
					return err.Error() + "\n"
				}
				return fmt.Sprintf("term %d vote %d commit %d, base %d/%d, last %d\n",
					st.Hard.Term, st.Hard.Vote, st.Hard.Commit, st.Base.Index, st.Base.Term, st.Last)
			case "entries":
				var lo, hi, maxBytes uint64 = 0, 0, 1 << 20
				d.ScanArgs(t, "lo", &lo)
				d.ScanArgs(t, "hi", &hi)
				d.MaybeScanArgs(t, "max", &maxBytes)
				return show(log.Entries(lo, hi, maxBytes))
			case "reopen":
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
				log = open(t, fs)
				return ""
			case "crash":
				crashed := fs.CrashClone(vfs.CrashCloneCfg{})
				log.Close()
				fs = crashed
				log = open(t, fs)
				return ""
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
				return ""
			}
		})
	})
}

func open(t *testing.T, fs vfs.FS) *pebblelog.Store {
	t.Helper()
	log, err := pebblelog.Open("log", pebblelog.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// appendGroup reads lines "index/term data" and the arguments sync, hard and
// base.
func appendGroup(t *testing.T, log *pebblelog.Store, d *datadriven.TestData) string {
	var g raftstore.LogGroup
	if d.HasArg("base") {
		g.Base = new(raftstore.LogPosition)
		d.ScanArgs(t, "base", &g.Base.Index, &g.Base.Term)
	}
	if d.HasArg("trim") {
		g.Trim = new(raftstore.LogPosition)
		d.ScanArgs(t, "trim", &g.Trim.Index, &g.Trim.Term)
	}
	if d.HasArg("hard") {
		g.Hard = new(raftstore.HardState)
		d.ScanArgs(t, "hard", &g.Hard.Term, &g.Hard.Vote, &g.Hard.Commit)
	}
	for line := range strings.Lines(d.Input) {
		var e raftstore.LogEntry
		var data string
		if _, err := fmt.Sscanf(line, "%d/%d %s", &e.Index, &e.Term, &data); err != nil {
			d.Fatalf(t, "line %q: %v", line, err)
		}
		e.Data = []byte(data)
		g.Entries = append(g.Entries, e)
	}
	if err := log.Append(g, d.HasArg("sync")); err != nil {
		return err.Error() + "\n"
	}
	return ""
}

func show(entries []raftstore.LogEntry, err error) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%d/%d %s\n", e.Index, e.Term, e.Data)
	}
	if err != nil {
		fmt.Fprintf(&b, "%v (corrupt: %v)\n", err, errors.Is(err, raftstore.ErrCorrupt))
	}
	return b.String()
}

func BenchmarkAppendSync(b *testing.B) {
	for _, size := range []int{256, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			log, err := pebblelog.Open(b.TempDir(), pebblelog.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer log.Close()
			data := make([]byte, size)
			b.SetBytes(int64(size))
			index := uint64(0)
			for b.Loop() {
				index++
				if err := log.Append(raftstore.LogGroup{Entries: []raftstore.LogEntry{{Index: index, Term: 1, Data: data}}}, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
