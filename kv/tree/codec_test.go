package tree_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
)

// commands are the seeds of the fuzz test, one for each shape.
var commands = []tree.Command{
	{Op: tree.OpSet, Key: "/a", Value: "v", TTL: time.Second},
	{Op: tree.OpSet, Key: "/a", TTL: -1, Refresh: true},
	{Op: tree.OpCreate, Key: "/a\x00\xff/;", Value: "\xff\x00", Dir: true},
	{Op: tree.OpCreateInOrder, Key: "/", Value: "x"},
	{Op: tree.OpUpdate, Key: "/a", Value: "v", Refresh: true, TTL: 1 << 62},
	{Op: tree.OpDelete, Key: "/a/b", Dir: true, Recursive: true},
	{Op: tree.OpCompareAndSwap, Key: "/a", Value: "n", PrevValue: "o", PrevIndex: 1 << 63},
	{Op: tree.OpCompareAndDelete, Key: "/a", PrevIndex: 7},
	{Op: tree.OpExpire, Now: time.Unix(12, 34).UTC(), Max: 1000},
	{Op: tree.OpPutMember, Member: tree.Member{ID: 1 << 63, Name: "n\xff", ClientURLs: []string{"http://h:1", ""}}},
	{Op: tree.OpDropMember, Member: tree.Member{ID: 1 << 63}},
}

func TestCommandsComeBackAsTheyWent(t *testing.T) {
	for _, want := range commands {
		got, err := tree.DecodeCommand(want.Encode())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("decode(encode(%+v)) = %+v, %v", want, got, err)
		}
	}
}

func TestEncodeDropsFieldsThatDoNotCount(t *testing.T) {
	all := tree.Command{
		Op: tree.OpDelete, Key: "/a", Value: "v", TTL: 1, Dir: true, Refresh: true, Recursive: true,
		PrevValue: "p", PrevIndex: 1, Now: time.Unix(1, 0), Max: 3, Member: tree.Member{ID: 1},
	}
	want := tree.Command{Op: tree.OpDelete, Key: "/a", Dir: true, Recursive: true}
	if got, err := tree.DecodeCommand(all.Encode()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("decode(encode(%+v)) = %+v, %v, want %+v", all, got, err, want)
	}
}

func TestAnUncleanKeyIsNoCommand(t *testing.T) {
	for _, key := range []string{"", "a", "/a/", "/a//b", "/a/./b", "/.."} {
		c := tree.Command{Op: tree.OpDelete, Key: key}
		if got, err := tree.DecodeCommand(c.Encode()); err == nil {
			t.Errorf("decode of key %q = %+v, want an error", key, got)
		}
	}
}

func FuzzDecodeCommand(f *testing.F) {
	for _, c := range commands {
		f.Add(c.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := tree.DecodeCommand(b)
		if err != nil {
			return
		}
		if again, err := tree.DecodeCommand(c.Encode()); err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%x decodes to %+v, whose encoding decodes to %+v, %v", b, c, again, err)
		}
	})
}

func FuzzIsClean(f *testing.F) {
	for _, key := range []string{"", "/", "//", "/a", "/a/", "/a//b", "/a/.", "/..", "/...", "/a/..b/.c", "a/b", "."} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if got, want := tree.IsClean(key), kv.Clean(key) == key; got != want {
			t.Errorf("IsClean(%q) = %v, want %v", key, got, want)
		}
	})
}

// results are the seeds of the fuzz test, with the commands they answer.
var results = []struct {
	cmd tree.Command
	res tree.Result
}{
	{tree.Command{Op: tree.OpPutMember}, tree.Result{}},
	{
		tree.Command{Op: tree.OpCompareAndSwap, Key: "/a", PrevValue: "\xff"},
		tree.Result{Err: &kv.Error{Code: kv.CodeCompareFailed, Cause: "[\xff != \x00]", Index: 1 << 63}},
	},
	{tree.Command{Op: tree.OpSet, Key: "/a\xff", Value: "\x00\xff"}, tree.Result{Event: kv.Event{
		Action: kv.ActionSet, Index: 9,
		Node:     kv.Node{Key: "/a\xff", Value: "\x00\xff", CreatedIndex: 9, ModifiedIndex: 9, Expiration: time.Unix(1, 2).UTC()},
		PrevNode: &kv.Node{Key: "/a\xff", Value: "old", CreatedIndex: 3, ModifiedIndex: 5},
	}}},
	{tree.Command{Op: tree.OpUpdate, Key: "/a", Refresh: true, TTL: 1}, tree.Result{Event: kv.Event{
		Action: kv.ActionUpdate, Index: 9,
		Node:     kv.Node{Key: "/a", Value: "kept", CreatedIndex: 3, ModifiedIndex: 9, Expiration: time.Unix(1, 2).UTC()},
		PrevNode: &kv.Node{Key: "/a", Value: "kept", CreatedIndex: 3, ModifiedIndex: 5},
	}}},
	{tree.Command{Op: tree.OpCreateInOrder, Key: "/q", Value: "v"}, tree.Result{Event: kv.Event{
		Action: kv.ActionCreate, Index: 12,
		Node: kv.Node{Key: "/q/00000000000000000012", Value: "v", CreatedIndex: 12, ModifiedIndex: 12},
	}}},
	{tree.Command{Op: tree.OpDelete, Key: "/d", Recursive: true}, tree.Result{Event: kv.Event{
		Action: kv.ActionDelete, Index: 9,
		Node:     kv.Node{Key: "/d", Dir: true, CreatedIndex: 2, ModifiedIndex: 9},
		PrevNode: &kv.Node{Key: "/d", Dir: true, CreatedIndex: 2, ModifiedIndex: 2, Expiration: time.Unix(5, 0).UTC()},
	}}},
}

func TestResultsComeBackAsTheyWent(t *testing.T) {
	for _, tt := range results {
		got, err := tt.cmd.DecodeResult(tt.res.Encode())
		if err != nil || !reflect.DeepEqual(got, tt.res) {
			t.Errorf("%+v: decode(encode(%+v)) = %+v, %v", tt.cmd, tt.res, got, err)
		}
	}
}

func FuzzDecodeResult(f *testing.F) {
	for _, tt := range results {
		f.Add(tt.cmd.Encode(), tt.res.Encode())
	}
	f.Fuzz(func(t *testing.T, cmd, b []byte) {
		c, err := tree.DecodeCommand(cmd)
		if err != nil {
			return
		}
		r, err := c.DecodeResult(b)
		if err != nil {
			return
		}
		if again, err := c.DecodeResult(r.Encode()); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v: %x decodes to %+v, whose encoding decodes to %+v, %v", c, b, r, again, err)
		}
	})
}
