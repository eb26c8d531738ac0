package tree

import (
	"encoding/binary"
	"math/bits"
)

// A decoder takes values off the front of a byte slice. After a failure it
// returns zero values, and failed stays set, so that one check at the end
// serves a whole message.
type decoder struct {
	b      []byte
	all    string // ends in b and is what strings are cut from; if empty they are copied
	failed bool
}

func (d *decoder) fail() {
	d.b, d.failed = nil, true
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int64() int64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := int64(binary.BigEndian.Uint64(d.b))
	d.b = d.b[8:]
	return v
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return ""
	}
	var s string
	if at := len(d.all) - len(d.b); at >= 0 {
		s = d.all[at:][:n]
	} else {
		s = string(d.b[:n])
	}
	d.b = d.b[n:]
	return s
}

// done reports whether all was well and nothing is left.
func (d *decoder) done() bool { return !d.failed && len(d.b) == 0 }

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// stringLen returns how many bytes appendString adds.
func stringLen(s string) int { return uvarintLen(uint64(len(s))) + len(s) }

// uvarintLen returns how many bytes binary.AppendUvarint adds: one for seven bits.
func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }
