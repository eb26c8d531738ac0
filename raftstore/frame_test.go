package raftstore

import (
	"bytes"
	"testing"
)

func TestFrameKeepsItsCommands(t *testing.T) {
	in := frame{origin: 1 << 63, incarnation: 42, seq: 300, stamp: -5, cmds: [][]byte{[]byte("a"), {}, bytes.Repeat([]byte("x"), 1000)}}
	out, err := decodeFrame(in.encode())
	if err != nil {
		t.Fatal(err)
	}
	if out.origin != in.origin || out.incarnation != in.incarnation || out.seq != in.seq || out.stamp != in.stamp || len(out.cmds) != len(in.cmds) {
		t.Fatalf("decoded %+v, want %+v", out, in)
	}
	for i := range in.cmds {
		if !bytes.Equal(out.cmds[i], in.cmds[i]) {
			t.Errorf("command %d = %q, want %q", i, out.cmds[i], in.cmds[i])
		}
	}
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add((&frame{origin: 1, incarnation: 2, seq: 3, stamp: 4, cmds: [][]byte{[]byte("x")}}).encode())
	f.Add((&frame{}).encode())
	f.Add(bytes.Repeat([]byte{1}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := decodeFrame(b)
		if err != nil {
			return
		}
		again, err := decodeFrame(fr.encode())
		if err != nil || len(again.cmds) != len(fr.cmds) || again.seq != fr.seq || again.stamp != fr.stamp {
			t.Fatalf("decode(encode(%+v)) = %+v, %v", fr, again, err)
		}
	})
}
