package tree_test

import (
	"reflect"
	"testing"

	"github.com/strakeproject/strake/kv/tree"
)

// TestTheRecordCacheChangesNothing applies the same commands with no cache to
// speak of, so that a batch has to be read while it grows, and with plenty.
func TestTheRecordCacheChangesNothing(t *testing.T) {
	for seed := range uint64(6) {
		batches := randomBatches(seed, 200, 30)
		for _, fewNodes := range []int{0, 2} {
			cfg := tree.Config{InMemory: true}.WithLimits(little).WithFewNodes(fewNodes)
			plenty, _ := open(t, cfg, "")
			cfg.RecordBytes = 1
			none, _ := open(t, cfg, "")
			cfg.RecordBytes = 2000 // what a batch touches, about
			some, _ := open(t, cfg, "")
			for _, b := range batches {
				want := apply(t, plenty, b)
				for name, tr := range map[string]*tree.Tree{"none": none, "some": some} {
					if got := apply(t, tr, b); !reflect.DeepEqual(got, want) {
						t.Fatalf("seed %d, %s: results of entry %d differ", seed, name, b.pos.Index)
					}
				}
			}
			want := digest(t, plenty)
			for name, tr := range map[string]*tree.Tree{"none": none, "some": some} {
				if got := digest(t, tr); got != want {
					t.Errorf("seed %d, %s: digest %s, want %s", seed, name, got, want)
				}
				if got := tr.Cached(); got > max(cfg.RecordBytes, 2000) {
					t.Errorf("seed %d, %s: %d bytes in the cache", seed, name, got)
				}
				tr.Close()
			}
			plenty.Close()
		}
	}
}
