package tree_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
)

// gather puts the nodes of a listing together again.
func gather(ctx context.Context, l kv.Lister, key string, opts kv.GetOptions) (kv.Event, error) {
	ev := kv.Event{Action: kv.ActionGet}
	first := true
	err := l.List(ctx, key, opts, func(index uint64, n kv.Node) error {
		if first {
			ev.Node, ev.Index, first = n, index, false
			return nil
		}
		at := &ev.Node
		for at.Key != kv.Parent(n.Key) {
			if len(at.Nodes) == 0 {
				return fmt.Errorf("%s comes before its directory", n.Key)
			}
			at = &at.Nodes[len(at.Nodes)-1]
		}
		at.Nodes = append(at.Nodes, n)
		return nil
	})
	if err != nil {
		return kv.Event{}, err
	}
	return ev, nil
}

func TestAListIsWhatAGetTells(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		l, err := tree.NewLocal()
		if err != nil {
			t.Fatal(err)
		}
		names := strings.Fields("a a- a-b a. a0 ab _a b b/ - 0 _ a/b")
		keys := []string{"/", "/a", "/none/x"}
		for range 60 {
			var key string
			for range 1 + rng.IntN(4) {
				key += "/" + names[rng.IntN(len(names))]
			}
			// Some lie below a file: they are refused.
			_, _ = l.Set(t.Context(), key, "v", kv.SetOptions{Dir: rng.IntN(3) == 0})
			keys = append(keys, key, kv.Parent(kv.Clean(key)))
		}
		for _, key := range keys {
			for _, recursive := range []bool{false, true} {
				opts := kv.GetOptions{Recursive: recursive, Sorted: true}
				want, wantErr := l.Get(t.Context(), key, opts)
				got, err := gather(t.Context(), l, key, opts)
				if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(err, wantErr) {
					t.Fatalf("seed %d, list of %s, recursive %v:\n got %+v, %v\nwant %+v, %v", seed, key, recursive, got, err, want, wantErr)
				}
			}
		}
		l.Close()
	}
}

func TestAListIsOfOneStateAndEndsWhenAsked(t *testing.T) {
	l, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 100 {
		if _, err := l.Set(t.Context(), fmt.Sprintf("/d/%03d", i), "old", kv.SetOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	err = l.List(t.Context(), "/d", kv.GetOptions{Recursive: true}, func(index uint64, node kv.Node) error {
		if n++; n == 1 {
			if _, err := l.Delete(t.Context(), "/d", kv.DeleteOptions{Recursive: true}); err != nil {
				t.Error(err)
			}
		} else if node.Value != "old" || index != 100 {
			t.Errorf("node %+v of index %d in a list of index 100", node, index)
		}
		return nil
	})
	if err != nil || n != 101 {
		t.Errorf("a list of a directory that went meanwhile gives %d nodes, %v", n, err)
	}
	enough := errors.New("enough")
	if err := l.List(t.Context(), "/", kv.GetOptions{}, func(uint64, kv.Node) error { return enough }); err != enough {
		t.Errorf("list ended with %v, want %v", err, enough)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.List(ctx, "/", kv.GetOptions{}, func(uint64, kv.Node) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("list ended with %v, want %v", err, context.Canceled)
	}
}
