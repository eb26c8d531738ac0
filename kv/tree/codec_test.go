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

// results are the seeds of the fuzz test.
var results = []tree.Result{
	{},
	{Err: &kv.Error{Code: kv.CodeCompareFailed, Cause: "[\xff != \x00]", Index: 1 << 63}},
	{Event: kv.Event{
		Action: kv.ActionSet, Index: 9,
		Node:     kv.Node{Key: "/a\xff", Value: "\x00\xff", CreatedIndex: 9, ModifiedIndex: 9, Expiration: time.Unix(1, 2).UTC()},
		PrevNode: &kv.Node{Key: "/a\xff", Value: "old", CreatedIndex: 3, ModifiedIndex: 5},
	}},
	{Event: kv.Event{
		Action: kv.ActionExpire, Index: 9,
		Node:     kv.Node{Key: "/d", Dir: true, CreatedIndex: 2, ModifiedIndex: 9},
		PrevNode: &kv.Node{Key: "/d", Dir: true, CreatedIndex: 2, ModifiedIndex: 2, Expiration: time.Unix(5, 0).UTC()},
	}},
}

func TestResultsComeBackAsTheyWent(t *testing.T) {
	for _, want := range results {
		got, err := tree.DecodeResult(want.Encode())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("decode(encode(%+v)) = %+v, %v", want, got, err)
		}
	}
}

func FuzzDecodeResult(f *testing.F) {
	for _, r := range results {
		f.Add(r.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := tree.DecodeResult(b)
		if err != nil {
			return
		}
		if again, err := tree.DecodeResult(r.Encode()); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%x decodes to %+v, whose encoding decodes to %+v, %v", b, r, again, err)
		}
	})
}
