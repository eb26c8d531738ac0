package tree_test

import (
	"fmt"
	"math/rand/v2"
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
