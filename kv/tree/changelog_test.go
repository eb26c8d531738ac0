package tree_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/raftstore"
)

// TestHistoryIsReadFromAnyIndexWhateverTheBatching writes in entries of many
// commands, some of which are big, and reads what the ring no longer has.
func TestHistoryIsReadFromAnyIndexWhateverTheBatching(t *testing.T) {
	for _, events := range []uint64{80, 10_000} { // in segments of 5 and of 625
		rng := rand.New(rand.NewPCG(events, 0))
		tr, _ := open(t, tree.Config{InMemory: true}.WithLimits(tree.Limits{Events: events, Bytes: 1 << 30, RingEvents: 1}), "")
		defer tr.Close()
		var truth []kv.Event // truth[i] has the index i+1
		var pos raftstore.Position
		for range 12 {
			var b batch
			var cmds []tree.Command
			for range 1 + rng.IntN(3) { // entries at once
				pos.Index++
				for seq := range 1 + rng.IntN(30) {
					c := tree.Command{
						Op: tree.OpSet, Key: fmt.Sprintf("/d%d/%d", rng.IntN(3), rng.IntN(9)),
						Value: strings.Repeat("v", rng.IntN(1+rng.IntN(6000))),
					}
					cmds = append(cmds, c)
					b.cmds = append(b.cmds, raftstore.Command{
						Index: pos.Index, Seq: seq, Stamp: int64(len(truth)+len(cmds)) * 1e9, Data: c.Encode(),
					})
				}
			}
			b.pos = pos
			for i, res := range apply(t, tr, b) {
				r, err := cmds[i].DecodeResult(res)
				if err != nil || r.Err != nil {
					t.Fatal(err, r.Err)
				}
				truth = append(truth, r.Event)
			}
		}
		if events < uint64(len(truth)) != (tr.Floor() > 1) {
			t.Fatalf("of %d events, history goes back to %d", len(truth), tr.Floor())
		}
		for from := tr.Floor(); from <= tr.Index(); from++ {
			checkHistory(t, tr, from, truth[from-1:])
		}
	}
}

// checkHistory compares what a watch of everything yields with what happened.
func checkHistory(t *testing.T, tr *tree.Tree, from uint64, want []kv.Event) {
	t.Helper()
	w, err := tr.Watch(t.Context(), "/", kv.WatchOptions{Recursive: true, From: from})
	if err != nil {
		t.Fatalf("watch from %d: %v", from, err)
	}
	for ev, err := range w.Events {
		if err != nil {
			t.Fatalf("watch from %d, at %d: %v", from, want[0].Index, err)
		}
		if !reflect.DeepEqual(ev, want[0]) {
			t.Fatalf("watch from %d: got %+v, want %+v", from, ev, want[0])
		}
		if want = want[1:]; len(want) == 0 {
			return
		}
	}
}

// TestForgottenEventsLeaveTheDisk writes much more than history may keep, and looks
// at the files.
func TestForgottenEventsLeaveTheDisk(t *testing.T) {
	const kept, values, bytes = 1 << 20, 400, 20_000
	dir := t.TempDir()
	cfg := tree.Config{}.WithMemTable(512 << 10).WithLimits(tree.Limits{Events: 64, Bytes: kept})
	tr, _ := open(t, cfg, dir)
	noise := rand.NewChaCha8([32]byte{})
	value := make([]byte, bytes)
	var apart int
	for i := range values {
		_, _ = noise.Read(value)
		c := tree.Command{Op: tree.OpSet, Key: "/a", Value: string(value)}
		pos := raftstore.Position{Index: uint64(i + 1), Term: 1}
		apply(t, tr, batch{cmds: []raftstore.Command{{Index: pos.Index, Stamp: int64(i) * 1e9, Data: c.Encode()}}, pos: pos})
		if i == values/2 {
			if err := tr.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, apart = diskUse(t, dir)
		}
	}
	if apart < 10*bytes {
		t.Errorf("%d bytes of events are kept apart from their keys", apart)
	}
	if err := tr.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if all, apart := diskUse(t, dir); all > 2*kept || apart == 0 {
		t.Errorf("after events of %d bytes: %d bytes on disk, %d of them apart; history keeps %d", 2*values*bytes, all, apart, kept)
	}
}

// diskUse adds up the files in dir, and those that hold what is kept apart.
func diskUse(t *testing.T, dir string) (all, apart int) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		all += int(info.Size())
		if filepath.Ext(f.Name()) == ".blob" {
			apart += int(info.Size())
		}
	}
	return all, apart
}
