package seglog

import (
	"bytes"
	"testing"

	"github.com/strakeproject/strake/raftstore"
)

// FuzzGroup decodes what verified and may yet be anything. What decodes is what
// its encoding is.
func FuzzGroup(f *testing.F) {
	for _, g := range []raftstore.LogGroup{
		{},
		{Hard: &raftstore.HardState{Term: 1, Vote: 2, Commit: 3}},
		{Base: &raftstore.LogPosition{Index: 4, Term: 5}, Entries: []raftstore.LogEntry{{Index: 5, Term: 6, Data: []byte("a")}, {Index: 6, Term: 6}}},
		{Trim: &raftstore.LogPosition{Index: 4, Term: 5}, Entries: []raftstore.LogEntry{{Index: 9, Term: 6, Kind: 1, Data: []byte("b")}}},
	} {
		f.Add(appendGroup(nil, &g, 1))
	}
	f.Add([]byte{0, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, payload []byte) {
		var g group
		if err := g.decode(payload, 0, 1); err != nil {
			return
		}
		back := raftstore.LogGroup{}
		if g.flags&flagBase != 0 {
			back.Base = &g.base
		}
		if g.flags&flagTrim != 0 {
			back.Trim = &g.trim
		}
		if g.flags&flagHard != 0 {
			back.Hard = &g.hard
		}
		for i, p := range g.entryPlaces {
			e, err := decodeEntry(payload[p.offset:p.end()], 1, g.first+uint64(i))
			if err != nil {
				return // of an entry with a wrong sum
			}
			back.Entries = append(back.Entries, e)
		}
		if got := appendGroup(nil, &back, 1); !bytes.Equal(got, payload) {
			t.Errorf("payload %x decodes to %+v, which encodes to %x", payload, back, got)
		}
		if n := groupLength(&back); n != len(payload) {
			t.Errorf("payload of %d bytes is said to have %d", len(payload), n)
		}
		c := newContent(state{})
		_ = c.apply(&g) // anything but a panic
	})
}

func FuzzSegmentHeader(f *testing.F) {
	h := segmentHeader{nonce: 1, number: 2, size: 3, state: state{last: 9}}
	f.Add(append(h.append(nil), 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, sum, err := decodeSegmentHeader(b)
		if err != nil {
			return
		}
		got := h.append(nil)
		if _, again, err := decodeSegmentHeader(append(got, 0, 0, 0, 0)); err != nil || len(got) != headerLength {
			t.Errorf("header %+v (sum %x) encodes to one of %d bytes that decodes with %v (sum %x)", h, sum, len(got), err, again)
		}
	})
}
