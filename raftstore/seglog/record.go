package seglog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/strakeproject/strake/raftstore"
)

// A segment, all numbers little-endian:
//
//	header   100 bytes, see segmentHeader
//	record   starts at a multiple of 8, and is zero up to the next one
//	...
//	         anything: zeros, or what was there when the file was another segment
//
// A record:
//
//	4 sum      CRC-32C of the rest of these 32 bytes, on from the segment's
//	4 prev     sum of the record before, or of the segment's header
//	4 body     CRC-32C of the payload
//	4 length   of the payload
//	4 offset   of this record in its segment
//	4 synced   the segment up to here was on disk when this record was written
//	4 size     so long, at least, was the file on disk then
//	1 kind     3 zero
//	  payload
//
// The sum of a segment's header is unlike that of all others, by its random
// nonce, and so are the sums of its records: what a recycled file still holds
// never verifies. Any record of the segment does, wherever it is found; but it
// belongs to the log only where prev leads.
const (
	alignment    = 8
	headerLength = 100
	recordHeader = 32
	firstRecord  = (headerLength + alignment - 1) / alignment * alignment

	// maxPayload keeps offsets well within 32 bits.
	maxPayload = 1 << 30
)

// The kinds of records.
const (
	// kindGroup is a raftstore.LogGroup:
	//
	//	4 flags  base, trim, hard
	//	4 count  of the entries
	//	  base: index, term; trim: index, term; hard: term, vote, commit; 8 each
	//	  entries:
	//	    4 sum     CRC-32C of the rest, on from the segment's
	//	    4 length  of the data
	//	    8 index, 8 term, 1 kind
	//	      data
	kindGroup = 1
	// kindState says what the log holds here: a state. Whoever opens a segment
	// that exists begins with one, durably: what stood behind a place where it was
	// cut cannot follow on that.
	kindState = 2
	// kindSeal ends a segment: 4 number and 4 sum of the next one's header.
	kindSeal = 3
)

const (
	flagBase = 1 << iota
	flagTrim
	flagHard
)

const (
	groupHeader = 8
	entryHeader = 25
	stateLength = 6 * 8
	sealRecord  = recordHeader + 8
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	le         = binary.LittleEndian
)

// errMalformed is how decoding fails of what verifies and yet makes no sense.
var errMalformed = errors.New("malformed record")

// state is what a log holds, but for the entries.
type state struct {
	hard raftstore.HardState
	base raftstore.LogPosition
	last uint64
}

func (s state) append(b []byte) []byte {
	for _, v := range [...]uint64{s.hard.Term, s.hard.Vote, s.hard.Commit, s.base.Index, s.base.Term, s.last} {
		b = le.AppendUint64(b, v)
	}
	return b
}

// decodeState reads the first stateLength bytes.
func decodeState(b []byte) state {
	return state{
		hard: raftstore.HardState{Term: le.Uint64(b), Vote: le.Uint64(b[8:]), Commit: le.Uint64(b[16:])},
		base: raftstore.LogPosition{Index: le.Uint64(b[24:]), Term: le.Uint64(b[32:])},
		last: le.Uint64(b[40:]),
	}
}

// segmentHeader is how a segment begins. It is on disk before the file gets the
// name of a segment.
//
//	16 magic, version
//	 8 nonce, random
//	 4 number
//	 4 size of the file on disk, at least
//	48 state of the log before the segment
//	16 zero
//	 4 sum of all that
type segmentHeader struct {
	nonce  uint64
	number uint32
	size   uint32
	state  state
}

const (
	magic        = "strake seglog 1\n"
	headerSumAt  = headerLength - 4
	headerPadded = 16
)

func (h segmentHeader) append(b []byte) []byte {
	from := len(b)
	b = append(b, magic...)
	b = le.AppendUint64(b, h.nonce)
	b = le.AppendUint32(b, h.number)
	b = le.AppendUint32(b, h.size)
	b = h.state.append(b)
	b = append(b, make([]byte, headerPadded)...)
	return le.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
}

// decodeSegmentHeader also returns the header's sum.
func decodeSegmentHeader(b []byte) (h segmentHeader, sum uint32, err error) {
	if len(b) < firstRecord || !bytes.HasPrefix(b, []byte(magic)) {
		return h, 0, errors.New("no segment of a log")
	}
	sum = le.Uint32(b[headerSumAt:])
	if crc32.Checksum(b[:headerSumAt], castagnoli) != sum {
		return h, 0, errors.New("the header does not verify")
	}
	b = b[len(magic):]
	h.nonce, h.number, h.size = le.Uint64(b), le.Uint32(b[8:]), le.Uint32(b[12:])
	h.state = decodeState(b[16:])
	if h.state.last < h.state.base.Index || h.state.last == math.MaxUint64 {
		return h, 0, errMalformed
	}
	return h, sum, nil
}

// record is the header of a record.
type record struct {
	sum, prev, body, length, offset, synced, size uint32
	kind                                          byte
}

// beginRecord makes room for a record's header in an empty buffer.
func beginRecord(b []byte) []byte { return append(b[:0], make([]byte, recordHeader)...) }

// endRecord fills in the header of the record whose payload follows in b, and
// the padding after. Sum, body and length are not the caller's.
func endRecord(b []byte, r record, segment uint32) ([]byte, uint32) {
	payload := b[recordHeader:]
	le.PutUint32(b[4:], r.prev)
	le.PutUint32(b[8:], crc32.Checksum(payload, castagnoli))
	le.PutUint32(b[12:], uint32(len(payload)))
	le.PutUint32(b[16:], r.offset)
	le.PutUint32(b[20:], r.synced)
	le.PutUint32(b[24:], r.size)
	b[28] = r.kind
	sum := crc32.Update(segment, castagnoli, b[4:recordHeader])
	le.PutUint32(b, sum)
	return append(b, zeros[:-len(b)&(alignment-1)]...), sum
}

// recordAt returns the header of the record of a segment that is said to be at
// an offset, if one is there.
func recordAt(segment []byte, sum uint32, offset int) (r record, ok bool) {
	if offset+recordHeader > len(segment) {
		return r, false
	}
	b := segment[offset : offset+recordHeader]
	// The offset first: it tells most of what is no record.
	if le.Uint32(b[16:]) != uint32(offset) || le.Uint32(b) != crc32.Update(sum, castagnoli, b[4:]) {
		return r, false
	}
	return record{
		sum: le.Uint32(b), prev: le.Uint32(b[4:]), body: le.Uint32(b[8:]), length: le.Uint32(b[12:]),
		offset: le.Uint32(b[16:]), synced: le.Uint32(b[20:]), size: le.Uint32(b[24:]), kind: b[28],
	}, true
}

// payload returns the payload of a record of a segment, if it is whole, and the
// offset of what follows.
func (r record) payload(segment []byte) (p []byte, next int, ok bool) {
	from := int(r.offset) + recordHeader
	if r.length > maxPayload || int(r.length) > len(segment)-from {
		return nil, 0, false
	}
	p = segment[from : from+int(r.length)]
	next = from + int(r.length)
	next += -next & (alignment - 1)
	return p, next, crc32.Checksum(p, castagnoli) == r.body
}

// groupLength returns how long the payload of a group is.
func groupLength(g *raftstore.LogGroup) int {
	n := groupHeader
	if g.Base != nil {
		n += 16
	}
	if g.Trim != nil {
		n += 16
	}
	if g.Hard != nil {
		n += 24
	}
	for i := range g.Entries {
		n += entryHeader + len(g.Entries[i].Data)
	}
	return n
}

// appendGroup appends the payload of a group for a segment with that sum.
func appendGroup(b []byte, g *raftstore.LogGroup, segment uint32) []byte {
	from := len(b)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, uint32(len(g.Entries)))
	if g.Base != nil {
		b[from] |= flagBase
		b = le.AppendUint64(le.AppendUint64(b, g.Base.Index), g.Base.Term)
	}
	if g.Trim != nil {
		b[from] |= flagTrim
		b = le.AppendUint64(le.AppendUint64(b, g.Trim.Index), g.Trim.Term)
	}
	if h := g.Hard; h != nil {
		b[from] |= flagHard
		b = le.AppendUint64(le.AppendUint64(le.AppendUint64(b, h.Term), h.Vote), h.Commit)
	}
	for i := range g.Entries {
		e := &g.Entries[i]
		at := len(b)
		b = le.AppendUint32(b, 0)
		b = le.AppendUint32(b, uint32(len(e.Data)))
		b = le.AppendUint64(le.AppendUint64(b, e.Index), e.Term)
		b = append(b, byte(e.Kind))
		b = append(b, e.Data...)
		le.PutUint32(b[at:], crc32.Update(segment, castagnoli, b[at+4:]))
	}
	return b
}

// group is a group as it is found in a segment: entries by where they are.
type group struct {
	base, trim  raftstore.LogPosition
	hard        raftstore.HardState
	flags       uint32
	first       uint64 // index of the first entry
	lastIndex   uint64 // of the last one
	entryCount  int
	entryPlaces []place
}

// decode reads the payload that begins at an offset of the segment with that
// number. It keeps entryPlaces' memory.
func (g *group) decode(p []byte, offset int, number uint32) error {
	*g = group{entryPlaces: g.entryPlaces[:0]}
	if len(p) < groupHeader {
		return errMalformed
	}
	rest := p[groupHeader:]
	g.flags, g.entryCount = le.Uint32(p), int(le.Uint32(p[4:]))
	take := func(flag uint32, n int) []byte {
		if g.flags&flag == 0 || len(rest) < n {
			return nil
		}
		b := rest[:n]
		rest = rest[n:]
		return b
	}
	if g.flags&^(flagBase|flagTrim|flagHard) != 0 {
		return errMalformed
	}
	base, trim, hard := take(flagBase, 16), take(flagTrim, 16), take(flagHard, 24)
	if base != nil {
		g.base = raftstore.LogPosition{Index: le.Uint64(base), Term: le.Uint64(base[8:])}
	}
	if trim != nil {
		g.trim = raftstore.LogPosition{Index: le.Uint64(trim), Term: le.Uint64(trim[8:])}
	}
	if hard != nil {
		g.hard = raftstore.HardState{Term: le.Uint64(hard), Vote: le.Uint64(hard[8:]), Commit: le.Uint64(hard[16:])}
	}
	if (base == nil) != (g.flags&flagBase == 0) || (trim == nil) != (g.flags&flagTrim == 0) || (hard == nil) != (g.flags&flagHard == 0) {
		return errMalformed
	}
	for n := range g.entryCount {
		if len(rest) < entryHeader {
			return errMalformed
		}
		length := int(le.Uint32(rest[4:]))
		index := le.Uint64(rest[8:])
		if length > len(rest)-entryHeader || n > 0 && index != g.lastIndex+1 {
			return errMalformed
		}
		if n == 0 {
			g.first = index
		}
		g.lastIndex = index
		g.entryPlaces = append(g.entryPlaces, place{number, uint32(offset + len(p) - len(rest)), uint32(length)})
		rest = rest[entryHeader+length:]
	}
	if len(rest) > 0 {
		return errMalformed
	}
	return nil
}

// decodeEntry reads an entry of a segment with that sum. The data aliases b.
func decodeEntry(b []byte, segment uint32, index uint64) (raftstore.LogEntry, error) {
	if len(b) < entryHeader || int(le.Uint32(b[4:])) != len(b)-entryHeader || le.Uint64(b[8:]) != index ||
		le.Uint32(b) != crc32.Update(segment, castagnoli, b[4:]) {
		return raftstore.LogEntry{}, fmt.Errorf("entry %d does not verify", index)
	}
	return raftstore.LogEntry{
		Index: index,
		Term:  le.Uint64(b[16:]),
		Kind:  raftstore.EntryKind(b[24]),
		Data:  b[entryHeader:len(b):len(b)],
	}, nil
}
