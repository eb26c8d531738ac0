package seglog_test

import (
	"context"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/pebblelog"
	"github.com/strakeproject/strake/raftstore/raftsim"
	"github.com/strakeproject/strake/raftstore/seglog"
)

func openPebble(d *raftsim.Disk) (raftstore.LogStore, error) {
	return pebblelog.Open("log", pebblelog.Options{FS: d.PebbleFS()})
}

// model is a log in memory.
type model struct {
	hard    raftstore.HardState
	base    raftstore.LogPosition
	entries []raftstore.LogEntry
}

func (m *model) last() uint64 { return m.base.Index + uint64(len(m.entries)) }

func (m *model) append(g raftstore.LogGroup) {
	if g.Base != nil {
		m.base, m.entries = *g.Base, nil
	}
	if g.Trim != nil {
		m.entries = slices.Clone(m.entries[g.Trim.Index-m.base.Index:])
		m.base = *g.Trim
	}
	if len(g.Entries) > 0 {
		m.entries = append(m.entries[:g.Entries[0].Index-m.base.Index-1], g.Entries...)
	}
	if g.Hard != nil {
		m.hard = *g.Hard
	}
}

// drawGroup draws a group that may follow.
func (m *model) drawGroup(t *rapid.T) raftstore.LogGroup {
	var g raftstore.LogGroup
	base, last := m.base.Index, m.last()
	switch rapid.IntRange(0, 9).Draw(t, "move") {
	case 0:
		base = rapid.Uint64Range(0, 100).Draw(t, "base")
		last = base
		g.Base = &raftstore.LogPosition{Index: base, Term: 1}
	case 1, 2:
		base = rapid.Uint64Range(base, last).Draw(t, "trim")
		g.Trim = &raftstore.LogPosition{Index: base, Term: 1}
	}
	next := last + 1
	if rapid.Bool().Draw(t, "overlap") {
		next = rapid.Uint64Range(base+1, last+1).Draw(t, "next")
	}
	for _, size := range rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 100, 3000, 30000}), 0, 5).Draw(t, "sizes") {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(next)
		}
		g.Entries = append(g.Entries, raftstore.LogEntry{Index: next, Term: next % 3, Kind: raftstore.EntryKind(next % 2), Data: data})
		next++
	}
	if rapid.Bool().Draw(t, "hard") {
		g.Hard = &raftstore.HardState{Term: next, Vote: 2, Commit: base}
	}
	return g
}

// compare reads the whole log, and some part of it.
func (m *model) compare(t *rapid.T, log raftstore.LogStore) {
	st, err := log.State()
	if want := (raftstore.LogState{Hard: m.hard, Base: m.base, Last: m.last()}); err != nil || st != want {
		t.Fatalf("log has %+v (%v), want %+v", st, err, want)
	}
	if len(m.entries) == 0 {
		return
	}
	lo := rapid.Uint64Range(m.base.Index+1, st.Last).Draw(t, "lo")
	hi := rapid.Uint64Range(lo+1, st.Last+1).Draw(t, "hi")
	limit := rapid.Uint64Range(0, 100000).Draw(t, "limit")
	m.compareEntries(t, log, lo, hi, limit)
	m.compareEntries(t, log, m.base.Index+1, st.Last+1, 1<<40)
}

func (m *model) compareEntries(t *rapid.T, log raftstore.LogStore, lo, hi, limit uint64) {
	want := m.entries[lo-m.base.Index-1 : hi-m.base.Index-1]
	size := uint64(0)
	for n, e := range want {
		if size += uint64(len(e.Data)); n > 0 && size > limit {
			want = want[:n]
			break
		}
	}
	got, err := log.Entries(lo, hi, limit)
	if err != nil || !slices.EqualFunc(got, want, sameEntry) {
		t.Fatalf("entries %d to %d within %d bytes: %d of them (%v), want %d", lo, hi-1, limit, len(got), err, len(want))
	}
}

func sameEntry(a, b raftstore.LogEntry) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Kind == b.Kind && slices.Equal(a.Data, b.Data)
}

// TestALogIsLikeOneInMemory does the same to both.
func TestALogIsLikeOneInMemory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := raftsim.NewDisk()
		open := kind(rapid.SampledFrom([]int64{8 << 10, 100 << 10, 0}).Draw(t, "segment")).Open
		log, err := open(d)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { log.Close() }()
		var m model
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				g := m.drawGroup(t)
				if err := log.Append(g, rapid.Bool().Draw(t, "sync")); err != nil {
					t.Fatal(err)
				}
				m.append(g)
			},
			"reopen": func(t *rapid.T) {
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
				if log, err = open(d); err != nil {
					t.Fatal(err)
				}
			},
			"crash": func(t *rapid.T) {
				if err := log.Append(raftstore.LogGroup{}, true); err != nil {
					t.Fatal(err)
				}
				d.Crash(0, nil)
				log.Close()
				if log, err = open(d); err != nil {
					t.Fatal(err)
				}
			},
			"copy": func(t *rapid.T) {
				fs := d.PebbleFS()
				if err := seglog.Copy(context.Background(), "log", "copy", seglog.Options{FS: fs}); err != nil {
					t.Fatal(err)
				}
				copied, err := seglog.Open("copy", seglog.Options{FS: fs})
				if err != nil {
					t.Fatal(err)
				}
				m.compare(t, copied)
				if err := copied.Close(); err != nil {
					t.Fatal(err)
				}
				if err := fs.RemoveAll("copy"); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) { m.compare(t, log) },
		})
	})
}

func TestGroupsThatMakeNoSenseChangeNothing(t *testing.T) {
	log, err := kind(0).Open(raftsim.NewDisk())
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	first := raftstore.LogGroup{
		Base:    &raftstore.LogPosition{Index: 10, Term: 1},
		Entries: []raftstore.LogEntry{{Index: 11, Term: 1}, {Index: 12, Term: 1}},
	}
	if err := log.Append(first, true); err != nil {
		t.Fatal(err)
	}
	for name, g := range map[string]raftstore.LogGroup{
		"an entry at the base":      {Entries: []raftstore.LogEntry{{Index: 10, Term: 2}}},
		"an entry after a gap":      {Entries: []raftstore.LogEntry{{Index: 14, Term: 2}}},
		"entries with a gap":        {Entries: []raftstore.LogEntry{{Index: 12, Term: 2}, {Index: 14, Term: 2}}},
		"a trim before the base":    {Trim: &raftstore.LogPosition{Index: 9, Term: 1}},
		"a trim behind the end":     {Trim: &raftstore.LogPosition{Index: 13, Term: 1}},
		"a trim outside a new base": {Base: &raftstore.LogPosition{Index: 20, Term: 1}, Trim: &raftstore.LogPosition{Index: 12, Term: 1}},
	} {
		if err := log.Append(g, true); err == nil {
			t.Errorf("%s was taken", name)
		}
		if st, err := log.State(); err != nil || st.Base.Index != 10 || st.Last != 12 {
			t.Errorf("after %s: log is from %d to %d (%v), want 10 to 12", name, st.Base.Index, st.Last, err)
		}
	}
	if err := log.Append(raftstore.LogGroup{Entries: []raftstore.LogEntry{{Index: 13, Term: 2}}}, true); err != nil {
		t.Errorf("append afterwards: %v", err)
	}
}
