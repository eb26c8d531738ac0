package raftsim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/strakeproject/strake/raftstore"
)

// LogRecorder is a LogStore that passes everything on to another one, and
// remembers it, so that what a crash has left can be compared.
type LogRecorder struct {
	raftstore.LogStore

	mu     sync.Mutex
	first  logImage
	groups []raftstore.LogGroup
	synced int // that many groups have been made durable
}

// RecordLog returns a recorder of a store that was just opened.
func RecordLog(store raftstore.LogStore) (*LogRecorder, error) {
	im, err := readImage(store)
	return &LogRecorder{LogStore: store, first: im}, err
}

// Append remembers the group before it passes it on, and that it is durable
// afterwards.
func (r *LogRecorder) Append(g raftstore.LogGroup, sync bool) error {
	r.mu.Lock()
	r.groups = append(r.groups, g)
	n := len(r.groups)
	r.mu.Unlock()
	err := r.LogStore.Append(g, sync)
	if err == nil && sync {
		r.mu.Lock()
		r.synced = n
		r.mu.Unlock()
	}
	return err
}

// LogMark is a moment in the life of a LogRecorder.
type LogMark struct{ synced, begun int }

// Mark returns the present moment.
func (r *LogRecorder) Mark() LogMark {
	r.mu.Lock()
	defer r.mu.Unlock()
	return LogMark{r.synced, len(r.groups)}
}

// CheckSurvivor checks that store, opened on what a crash has left, holds what
// it has to: all groups that were durable at mark before, and of the others that
// were begun at mark after any that came first. The crash was between the two.
func (r *LogRecorder) CheckSurvivor(store raftstore.LogStore, before, after LogMark) error {
	got, err := readImage(store)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	im := r.first.clone()
	for i := range after.begun + 1 {
		if i > 0 {
			im.apply(r.groups[i-1])
		}
		if i >= before.synced && im.equal(got) {
			return nil
		}
	}
	return fmt.Errorf("log has %v, which is none of what %d to %d groups of %d make: the last makes %v",
		got, before.synced, after.begun, len(r.groups), im)
}

// logImage is the content of a log.
type logImage struct {
	hard    raftstore.HardState
	base    raftstore.LogPosition
	entries []raftstore.LogEntry
}

func readImage(store raftstore.LogStore) (logImage, error) {
	st, err := store.State()
	if err != nil {
		return logImage{}, err
	}
	im := logImage{hard: st.Hard, base: st.Base}
	for next := st.Base.Index + 1; next <= st.Last; {
		es, err := store.Entries(next, st.Last+1, 1<<10)
		if err != nil {
			return logImage{}, err
		}
		for _, e := range es {
			if e.Index != next {
				return logImage{}, fmt.Errorf("entry %d where %d belongs", e.Index, next)
			}
			im.entries = append(im.entries, e)
			next++
		}
	}
	return im, nil
}

func (im *logImage) clone() logImage {
	c := *im
	c.entries = slices.Clone(im.entries)
	return c
}

func (im *logImage) last() uint64 { return im.base.Index + uint64(len(im.entries)) }

// apply does to the image what Append does to a log.
func (im *logImage) apply(g raftstore.LogGroup) {
	if g.Base != nil {
		im.base, im.entries = *g.Base, nil
	}
	if g.Trim != nil {
		im.entries = slices.Clone(im.entries[g.Trim.Index-im.base.Index:])
		im.base = *g.Trim
	}
	if len(g.Entries) > 0 {
		keep := g.Entries[0].Index - im.base.Index - 1
		im.entries = append(im.entries[:keep:keep], g.Entries...)
	}
	if g.Hard != nil {
		im.hard = *g.Hard
	}
}

func (im *logImage) equal(other logImage) bool {
	return im.hard == other.hard && im.base == other.base &&
		slices.EqualFunc(im.entries, other.entries, func(a, b raftstore.LogEntry) bool {
			return a.Index == b.Index && a.Term == b.Term && a.Kind == b.Kind && bytes.Equal(a.Data, b.Data)
		})
}

func (im logImage) String() string {
	return fmt.Sprintf("{%+v, base %v, last %d}", im.hard, im.base, im.last())
}

// TestLogStore checks a LogStore of whatever make: it gives it random groups,
// crashes the disk under it right before or after one of its operations, opens
// it again, and compares. The store that open returns keeps to the disk.
func TestLogStore(t *testing.T, seed uint64, open func(*Disk) (raftstore.LogStore, error)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	d := NewDisk()
	for life := range 20 {
		store, err := open(d)
		if err != nil {
			t.Fatalf("seed %d, life %d: open: %v", seed, life, err)
		}
		rec, err := RecordLog(store)
		if err != nil {
			t.Fatalf("seed %d, life %d: read: %v", seed, life, err)
		}
		if err := liveLog(d, rec, rng); err != nil {
			t.Fatalf("seed %d, life %d: %v", seed, life, err)
		}
		before := rec.Mark()
		d.Crash(rng.IntN(101), rng)
		_ = store.Close() // of a program that is no more
		if store, err = open(d); err != nil {
			t.Fatalf("seed %d, life %d: open after a crash: %v", seed, life, err)
		}
		if err := rec.CheckSurvivor(store, before, before); err != nil {
			t.Fatalf("seed %d, life %d: %v", seed, life, err)
		}
		if err := store.Close(); err != nil {
			t.Fatalf("seed %d, life %d: close: %v", seed, life, err)
		}
	}
}

// liveLog appends groups to a store until its disk is about to crash, and
// compares what can be read meanwhile.
func liveLog(d *Disk, rec *LogRecorder, rng *rand.Rand) error {
	// The crash hits one of the next operations, whichever that is.
	d.Inject(Fault{After: rng.IntN(60), Err: ErrPowerLoss})
	im := rec.first.clone()
	for range 40 {
		g := randomGroup(&im, rng)
		im.apply(g)
		if err := rec.Append(g, rng.IntN(2) == 0); err != nil {
			return nil //nolint:nilerr // the fault; nothing more can be said here
		}
		got, err := readImage(rec)
		if err != nil {
			return err
		}
		if !im.equal(got) {
			return fmt.Errorf("log has %v, want %v", got, im)
		}
	}
	return nil
}

// randomGroup makes a group that may follow on im.
func randomGroup(im *logImage, rng *rand.Rand) raftstore.LogGroup {
	var g raftstore.LogGroup
	term := im.hard.Term + uint64(rng.IntN(2))
	base, last := im.base.Index, im.last()
	switch n := rng.IntN(20); {
	case n == 0:
		base += uint64(rng.IntN(10))
		last = base
		g.Base = &raftstore.LogPosition{Index: base, Term: term}
	case n < 4 && last > base:
		e := im.entries[rng.IntN(len(im.entries))]
		base = e.Index
		g.Trim = &raftstore.LogPosition{Index: e.Index, Term: e.Term}
	}
	next := last + 1
	if rng.IntN(4) == 0 {
		next -= rng.Uint64N(last - base + 1)
	}
	for range rng.IntN(4) {
		data := make([]byte, rng.IntN(64)<<rng.IntN(10))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		g.Entries = append(g.Entries, raftstore.LogEntry{Index: next, Term: term, Kind: raftstore.EntryKind(rng.IntN(2)), Data: data})
		next++
	}
	if rng.IntN(2) == 0 || term != im.hard.Term {
		g.Hard = &raftstore.HardState{Term: term, Vote: rng.Uint64N(4), Commit: rng.Uint64N(1000)}
	}
	return g
}
