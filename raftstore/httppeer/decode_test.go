package httppeer

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/strakeproject/strake/raftstore"
)

func FuzzDecodeOutcomes(f *testing.F) {
	f.Add(encodeOutcomes(nil, nil))
	f.Add(encodeOutcomes(nil, []raftstore.Outcome{{Index: 9, Result: []byte("r")}, {Err: raftstore.ErrDropped}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		outs, err := (&decoder{b}).outcomes()
		if err != nil {
			return
		}
		again, err := (&decoder{encodeOutcomes(nil, outs)}).outcomes()
		if err != nil || len(again) != len(outs) {
			t.Fatalf("decode(encode(%v)) = %v, %v", outs, again, err)
		}
		for i := range outs {
			if again[i].Index != outs[i].Index || !bytes.Equal(again[i].Result, outs[i].Result) || again[i].Err != outs[i].Err {
				t.Fatalf("outcome %d = %v, want %v", i, again[i], outs[i])
			}
		}
	})
}

func FuzzDecodeCommands(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{2, 1, 'a', 0})
	f.Add(binary.AppendUvarint(nil, 1<<60))
	f.Fuzz(func(t *testing.T, b []byte) {
		cmds, err := (&decoder{b}).commands()
		if err != nil {
			return
		}
		n := 0
		for _, c := range cmds {
			n += len(c)
		}
		if n > len(b) {
			t.Fatalf("%d bytes of commands from %d bytes", n, len(b))
		}
	})
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 1, 1, 2, 3, 4, 'x'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if payload, err := readFrame(bytes.NewReader(b)); err == nil && len(payload) > len(b)-8 {
			t.Fatalf("%d bytes of payload from %d bytes", len(payload), len(b))
		}
	})
}
