package httppeer

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/strakeproject/strake/raftstore"
)

// wireErrors are the errors that travel; their place is their status byte.
var wireErrors = []error{
	nil,
	raftstore.ErrOutcomeUnknown,
	raftstore.ErrDropped,
	raftstore.ErrOverloaded,
	raftstore.ErrTooLarge,
}

// encodeOutcomes appends outcomes to b.
func encodeOutcomes(b []byte, outs []raftstore.Outcome) []byte {
	b = binary.AppendUvarint(b, uint64(len(outs)))
	for _, o := range outs {
		b = append(b, statusOf(o.Err))
		b = binary.AppendUvarint(b, o.Index)
		b = binary.AppendUvarint(b, uint64(len(o.Result)))
		b = append(b, o.Result...)
	}
	return b
}

func statusOf(err error) byte {
	if err == nil {
		return 0
	}
	for i, e := range wireErrors[1:] {
		if errors.Is(err, e) {
			return byte(i + 1)
		}
	}
	return 1 // whatever else happened, the outcome is not known
}

var errMalformed = errors.New("httppeer: malformed message")

// outcomes reads what is left as outcomes.
func (d *decoder) outcomes() ([]raftstore.Outcome, error) {
	outs := make([]raftstore.Outcome, d.count(3))
	for i := range outs {
		status := d.byte()
		if int(status) >= len(wireErrors) {
			return nil, errMalformed
		}
		outs[i] = raftstore.Outcome{Err: wireErrors[status], Index: d.uvarint(), Result: d.bytes()}
	}
	return outs, d.end()
}

// appendCommands appends commands to b.
func appendCommands(b []byte, cmds [][]byte) []byte {
	size := binary.MaxVarintLen64
	for _, c := range cmds {
		size += binary.MaxVarintLen64 + len(c)
	}
	b = binary.AppendUvarint(slices.Grow(b, size), uint64(len(cmds)))
	for _, c := range cmds {
		b = binary.AppendUvarint(b, uint64(len(c)))
		b = append(b, c...)
	}
	return b
}

// commands reads what is left as commands.
func (d *decoder) commands() ([][]byte, error) {
	cmds := make([][]byte, d.count(1))
	for i := range cmds {
		cmds[i] = d.bytes()
	}
	return cmds, d.end()
}

// decoder reads fields off b; after a malformed one b is nil for good.
type decoder struct{ b []byte }

func (d *decoder) fail() { d.b = nil }

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

// count reads a count of items of at least size bytes each, so that it cannot
// make anybody allocate more than what was sent.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) end() error {
	if d.b == nil || len(d.b) > 0 {
		return errMalformed
	}
	return nil
}
