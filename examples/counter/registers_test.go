package main

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/strakeproject/strake/raftstore"
)

// openRegisters opens the state in dir, as a start after a crash would.
func openRegisters(t testing.TB, dir string) (*registers, raftstore.Position) {
	t.Helper()
	r := &registers{}
	pos, err := r.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return r, pos
}

func TestCommandsDoWhatTheySay(t *testing.T) {
	for _, tc := range []struct {
		cmd  string
		want result
	}{
		{`{"Op":"add","Name":"x","Value":3}`, result{Old: 2, Value: 5, Changed: true}},
		{`{"Op":"add","Name":"new","Value":-1}`, result{Old: 0, Value: -1, Changed: true}},
		{`{"Op":"set","Name":"x","Value":9}`, result{Old: 2, Value: 9, Changed: true}},
		{`{"Op":"cas","Name":"x","Value":9,"Old":2}`, result{Old: 2, Value: 9, Changed: true}},
		{`{"Op":"cas","Name":"x","Value":9,"Old":3}`, result{Old: 2, Value: 2}},
		{`{"Op":"cas","Name":"new","Value":9}`, result{Old: 0, Value: 9, Changed: true}},
		{`{"Op":"drop","Name":"x"}`, result{Old: 2, Value: 2, Refused: "no such operation"}},
		{`nonsense`, result{Refused: "not a command"}},
	} {
		r, _ := openRegisters(t, t.TempDir())
		results, err := r.Apply([]raftstore.Command{
			{Data: []byte(`{"Op":"set","Name":"x","Value":2}`)}, {Data: []byte(tc.cmd)},
		}, raftstore.Position{Index: 7, Term: 2})
		if err != nil {
			t.Fatalf("%s: %v", tc.cmd, err)
		}
		var got result
		if err := json.Unmarshal(results[1], &got); err != nil || got != tc.want {
			t.Errorf("%s: got %+v (%v), want %+v", tc.cmd, got, err, tc.want)
		}
	}
}

// A crash loses what was applied since the last flush, and nothing else: what
// comes back is the state as of the position that comes back with it.
func TestAfterACrashTheStateIsThatOfItsPosition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		r, _ := openRegisters(t, dir)
		history := map[uint64]map[string]int64{0: {}}
		index, flushed := uint64(0), uint64(0)
		rt.Repeat(map[string]func(*rapid.T){
			"apply": func(rt *rapid.T) {
				index++
				cmd, _ := json.Marshal(command{
					Op:    rapid.SampledFrom([]string{"add", "set", "cas"}).Draw(rt, "op"),
					Name:  rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "name"),
					Value: rapid.Int64Range(-9, 9).Draw(rt, "value"),
				})
				if _, err := r.Apply([]raftstore.Command{{Data: cmd}}, raftstore.Position{Index: index, Term: 1}); err != nil {
					rt.Fatal(err)
				}
				history[index] = r.all().Values
			},
			"flush": func(rt *rapid.T) {
				if err := r.Flush(context.Background()); err != nil {
					rt.Fatal(err)
				}
				flushed = index
			},
			"crash": func(rt *rapid.T) {
				var pos raftstore.Position
				r, pos = openRegisters(t, dir)
				if pos.Index != flushed || r.Durable() != flushed {
					rt.Fatalf("came back at index %d, durable up to %d, flushed at %d", pos.Index, r.Durable(), flushed)
				}
				if got := r.all().Values; !maps.Equal(got, history[pos.Index]) {
					rt.Fatalf("came back with %v, at index %d it was %v", got, pos.Index, history[pos.Index])
				}
				index = pos.Index
			},
			"replace": func(rt *rapid.T) { // by a copy of itself
				if index == 0 {
					return // the runtime copies no empty state
				}
				copied := filepath.Join(dir, "copy")
				if err := os.RemoveAll(copied); err != nil {
					rt.Fatal(err)
				}
				taken, err := r.Checkpoint(context.Background(), copied)
				if err != nil {
					rt.Fatal(err)
				}
				installed, err := r.Install(context.Background(), copied)
				if err != nil || installed.Index != taken.Index || r.Durable() != taken.Index {
					rt.Fatalf("copied at index %d, installed at %d, durable up to %d, %v", taken.Index, installed.Index, r.Durable(), err)
				}
				dir, flushed = copied, taken.Index
			},
		})
	})
}

func TestAFileThatIsNoImageIsRefusedAndKept(t *testing.T) {
	for _, content := range []string{"", "{}", "null", `{"Position":{"Index":3}}`, "\x00\x00\x00"} {
		dir := t.TempDir()
		path := filepath.Join(dir, imageFile)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r := &registers{}
		if pos, err := r.Open(t.Context(), dir); err == nil {
			t.Errorf("%q: opened at %+v", content, pos)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%q: close: %v", content, err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != content {
			t.Errorf("%q: became %q, %v", content, b, err)
		}
	}
}
