package logtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
)

// Kind is a make of log stores.
type Kind struct {
	// Name is what its errors begin with.
	Name string
	// Open opens the log in the directory "log" of a disk.
	Open func(*raftsim.Disk) (raftstore.LogStore, error)
	// Newest returns the name of the file in that directory that was appended to
	// last.
	Newest func(names []string) string
}

func (k Kind) open(t *testing.T, d *raftsim.Disk) raftstore.LogStore {
	t.Helper()
	log, err := k.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// Transcripts replays the transcripts in a directory: what is written, and what
// a reader then finds. "crash" keeps what was synced and loses the rest. In
// errors "log" stands for the store's name.
func Transcripts(t *testing.T, k Kind, dir string) {
	datadriven.Walk(t, dir, func(t *testing.T, path string) {
		disk := raftsim.NewDisk()
		log := k.open(t, disk)
		defer func() { log.Close() }()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "reopen":
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
				log = k.open(t, disk)
				return ""
			case "crash":
				disk.Crash(0, nil)
				_ = log.Close() // of a program that is no more
				log = k.open(t, disk)
				return ""
			}
			return strings.ReplaceAll(run(t, log, d), k.Name+":", "log:")
		})
	})
}

func run(t *testing.T, log raftstore.LogStore, d *datadriven.TestData) string {
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
	}
	d.Fatalf(t, "unknown command %s", d.Cmd)
	return ""
}

// appendGroup reads lines "index/term data" and the arguments sync, hard, trim
// and base.
func appendGroup(t *testing.T, log raftstore.LogStore, d *datadriven.TestData) string {
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
