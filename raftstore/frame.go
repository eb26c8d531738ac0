package raftstore

import (
	"encoding/binary"
	"errors"
)

// A frame is the data of one log entry: commands that were proposed together.
//
//	byte    format, 1
//	8 BE    origin: the member that framed it
//	8 BE    incarnation: random per start of that member
//	uvarint sequence number of the frame within the incarnation
//	8 BE    stamp, nanoseconds since 1970
//	uvarint count, then per command: uvarint length, bytes
//
// Origin, incarnation and sequence number are how the member that framed the
// commands finds their callers when the frame is applied.
type frame struct {
	origin, incarnation uint64
	seq                 uint64
	stamp               int64
	cmds                [][]byte
}

const frameFormat = 1

var errBadFrame = errors.New("malformed frame")

func (f *frame) encode() []byte {
	n := 1 + 8 + 8 + binary.MaxVarintLen64 + 8 + binary.MaxVarintLen64
	for _, c := range f.cmds {
		n += binary.MaxVarintLen32 + len(c)
	}
	b := make([]byte, 0, n)
	b = append(b, frameFormat)
	b = binary.BigEndian.AppendUint64(b, f.origin)
	b = binary.BigEndian.AppendUint64(b, f.incarnation)
	b = binary.AppendUvarint(b, f.seq)
	b = binary.BigEndian.AppendUint64(b, uint64(f.stamp))
	return appendChunks(b, f.cmds)
}

// decodeFrame returns a frame whose commands alias b.
func decodeFrame(b []byte) (frame, error) {
	if len(b) < 17 || b[0] != frameFormat {
		return frame{}, errBadFrame
	}
	f := frame{origin: binary.BigEndian.Uint64(b[1:]), incarnation: binary.BigEndian.Uint64(b[9:])}
	b = b[17:]
	seq, n := binary.Uvarint(b)
	if n <= 0 || len(b) < n+8 {
		return frame{}, errBadFrame
	}
	f.seq = seq
	f.stamp = int64(binary.BigEndian.Uint64(b[n:]))
	cmds, err := splitChunks(b[n+8:])
	f.cmds = cmds
	return f, err
}

// appendChunks appends a counted list of byte strings.
func appendChunks(b []byte, chunks [][]byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(chunks)))
	for _, c := range chunks {
		b = binary.AppendUvarint(b, uint64(len(c)))
		b = append(b, c...)
	}
	return b
}

// splitChunks reads what appendChunks wrote, aliasing b, and refuses anything
// after it.
func splitChunks(b []byte) ([][]byte, error) {
	count, n := binary.Uvarint(b)
	// Each chunk takes at least one byte, so a count beyond that is a lie, and
	// must not size an allocation.
	if n <= 0 || count > uint64(len(b)-n) {
		return nil, errBadFrame
	}
	b = b[n:]
	chunks := make([][]byte, count)
	for i := range chunks {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, errBadFrame
		}
		chunks[i] = b[n : n+int(size) : n+int(size)]
		b = b[n+int(size):]
	}
	if len(b) != 0 {
		return nil, errBadFrame
	}
	return chunks, nil
}
