package httpapi

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/strakeproject/strake/kv"
)

func TestStringsAreEscapedAsInTheOriginal(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", `""`},
		{"plain é 世", `"plain é 世"`},
		{`"\/`, `"\"\\/"`},
		{"<a&b>", `"\u003ca\u0026b\u003e"`},
		{"\n\r\t", `"\n\r\t"`},
		{"\x00\x08\x0c\x1f\x7f", `"\u0000\u0008\u000c\u001f` + "\x7f\""},
		{"a\u2028b\u2029c\u2027", `"a\u2028b\u2029c` + "\u2027\""},
		{"\xff\xc3a\xe2\x80", `"\ufffd\ufffda\ufffd\ufffd"`},
		{"kept \ufffd", "\"kept \ufffd\""},
	} {
		if got := string(appendString(nil, c.in)); got != c.want {
			t.Errorf("string %q: got %s, want %s", c.in, got, c.want)
		}
	}
}

func FuzzStringsReadBackAsWithEncodingJSON(f *testing.F) {
	for _, s := range []string{"", "a", "<&>", "\xff\u2028\x00", "日本\xe6"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		enc := appendString(nil, s)
		var got string
		if err := json.Unmarshal(enc, &got); err != nil {
			t.Fatalf("string %q encodes to %s: %v", s, enc, err)
		}
		if want := strings.ToValidUTF8(s, ""); utf8.ValidString(s) && got != want {
			t.Fatalf("string %q reads back as %q", s, got)
		}
		std, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var want string
		if err := json.Unmarshal(std, &want); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Fatalf("string %q reads back as %q, with encoding/json as %q", s, got, want)
		}
	})
}

func TestEventsAreEncodedInTheOriginalsOrder(t *testing.T) {
	now := time.Date(2026, 11, 20, 23, 13, 57, 37496860, time.UTC)
	file := kv.Node{Key: "/f", Value: "v", CreatedIndex: 4, ModifiedIndex: 5}
	for _, c := range []struct {
		name string
		ev   kv.Event
		want string
	}{
		{
			"a file with a TTL",
			kv.Event{Action: kv.ActionSet, Node: kv.Node{
				Key: "/f", CreatedIndex: 4, ModifiedIndex: 5,
				Expiration: now.Add(1500 * time.Millisecond).In(time.FixedZone("", 3600)),
			}},
			`{"action":"set","node":{"key":"/f","value":"","expiration":"2026-11-20T23:13:58.53749686Z","ttl":2,"modifiedIndex":5,"createdIndex":4}}`,
		},
		{
			"a removal",
			kv.Event{Action: kv.ActionDelete, Node: kv.Node{Key: "/f", CreatedIndex: 4, ModifiedIndex: 6}, PrevNode: &file},
			`{"action":"delete","node":{"key":"/f","modifiedIndex":6,"createdIndex":4},"prevNode":{"key":"/f","value":"v","modifiedIndex":5,"createdIndex":4}}`,
		},
		{
			"the empty root",
			kv.Event{Action: kv.ActionGet, Node: kv.Node{Key: "/", Dir: true}},
			`{"action":"get","node":{"dir":true}}`,
		},
		{
			"a directory with children",
			kv.Event{Action: kv.ActionGet, Node: kv.Node{Key: "/", Dir: true, Nodes: []kv.Node{
				file,
				{Key: "/d", Dir: true, CreatedIndex: 7, ModifiedIndex: 7, Nodes: []kv.Node{{Key: "/d/x", CreatedIndex: 7, ModifiedIndex: 7}}},
			}}},
			`{"action":"get","node":{"dir":true,"nodes":[{"key":"/f","value":"v","modifiedIndex":5,"createdIndex":4},` +
				`{"key":"/d","dir":true,"nodes":[{"key":"/d/x","value":"","modifiedIndex":7,"createdIndex":7}],"modifiedIndex":7,"createdIndex":7}]}}`,
		},
	} {
		if got := string(appendEvent(nil, &c.ev, now)); got != c.want+"\n" {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestTTLIsRoundedUpAndMayBeNegative(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		left time.Duration
		want int64
	}{
		{10 * time.Second, 10},
		{10*time.Second - 1, 10},
		{9*time.Second + 2, 10},
		{time.Millisecond, 1},
		{1, 0}, // what is left of ttl=0 when no time has passed
		{0, 0},
		{-time.Millisecond, 0},
		{-3*time.Second - time.Millisecond, -3},
	} {
		if got := ttlLeft(now.Add(c.left), now); got != c.want {
			t.Errorf("with %v left: ttl %d, want %d", c.left, got, c.want)
		}
	}
}
