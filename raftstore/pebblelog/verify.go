package pebblelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
)

// Pebble ends the replay of its newest WAL at the first record that it cannot
// read, which is right where a crash tore it, and silently takes up to 32 KiB of
// synced records along where it was forged. So each batch begins with a stamp:
// its number, and that of the last batch known to be synced when it was written.
// Before Pebble opens a WAL it is read through: a stamp found behind the place
// where the replay ends, telling of synced batches that the replay does not
// reach, tells a forged record from a torn one.
//
// Batches are numbered from 1 at each Open, when a new WAL begins, too.
type stamp struct{ number, synced uint64 }

// encode makes the data of a LogData record.
func (s stamp) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, s.number), s.synced)
}

// A chunk of a WAL, as Pebble writes it:
//
//	4 LE  CRC-32C, masked, of all that follows the length
//	2 LE  length of the payload
//	1     format, and position in the record: full, first, middle or last
//	4 LE  number of the WAL; another one's is left over from before it was recycled
//	8 LE  in the newer format only, and not used here
//	      payload: of the record, which is a batch
//
// No chunk crosses a multiple of walBlock. A rest too short for a header is zero.
const (
	walBlock     = 32 << 10
	walHeader    = 11
	walNewHeader = 19

	// The first format; the newer one's values follow it. A new database begins
	// with a WAL in the first.
	chunkFull, chunkFirst, chunkMiddle, chunkLast = 5, 6, 7, 8

	chunkPositions = 4
)

// stampAt is where a batch that begins with a stamp has it: after 12 bytes of
// header, as LogData (3) of 16 bytes.
const stampAt = 14

type chunk struct {
	position byte
	payload  []byte
}

// chunkAt returns the chunk at an offset of a WAL, if there is one.
func chunkAt(wal []byte, at int, number uint32) (c chunk, next int, ok bool) {
	blockEnd := min(at-at%walBlock+walBlock, len(wal))
	if at+walHeader > blockEnd {
		return c, 0, false
	}
	h := wal[at:]
	c.position = h[6]
	header := walHeader
	if c.position > chunkLast {
		c.position -= chunkPositions
		header = walNewHeader
	}
	next = at + header + int(binary.LittleEndian.Uint16(h[4:]))
	if c.position < chunkFull || c.position > chunkLast || binary.LittleEndian.Uint32(h[7:]) != number || next > blockEnd {
		return c, 0, false
	}
	crc := crc32.Checksum(wal[at+6:next], castagnoli)
	if binary.LittleEndian.Uint32(h) != crc>>15|crc<<17+0xa282ead8 {
		return c, 0, false
	}
	c.payload = wal[at+header : next]
	return c, next, true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stampOf returns the stamp of the batch that a chunk begins.
func (c chunk) stampOf() (s stamp, ok bool) {
	p := c.payload
	if c.position != chunkFull && c.position != chunkFirst || len(p) < stampAt+16 || p[12] != 3 || p[13] != 16 {
		return s, false
	}
	return stamp{binary.BigEndian.Uint64(p[stampAt:]), binary.BigEndian.Uint64(p[stampAt+8:])}, true
}

// verifyWAL returns an error if synced batches of a WAL cannot be read.
func verifyWAL(wal []byte, number uint32) error {
	var reached uint64 // number of the last batch that is whole; 0 for none
	var begun stamp
	torn := false
	for at := 0; at < len(wal); {
		c, next, ok := chunkAt(wal, at, number)
		if !ok {
			if next, ok = skipPadding(wal, at); ok {
				at = next
				continue
			}
			torn = true
			at++
			continue
		}
		s, stamped := c.stampOf()
		switch {
		case torn && stamped && (s.synced > reached && reached > 0 || s.synced+1 >= s.number):
			return fmt.Errorf("batches %d to %d were synced and cannot be read", reached+1, s.synced)
		case stamped:
			begun = s
		}
		if !torn && (c.position == chunkFull || c.position == chunkLast) {
			reached = begun.number
		}
		at = next
	}
	return nil
}

// skipPadding returns the offset after the zeros that end a block.
func skipPadding(wal []byte, at int) (next int, ok bool) {
	rest := walBlock - at%walBlock
	if rest >= walNewHeader || at+rest > len(wal) {
		return 0, false
	}
	for _, b := range wal[at : at+rest] {
		if b != 0 {
			return 0, false
		}
	}
	return at + rest, true
}

// verify reads the WALs of the database in dir through, if there is one.
func verify(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		base, ok := strings.CutSuffix(name, ".log")
		number, err := strconv.ParseUint(base, 10, 64)
		if !ok || err != nil {
			continue
		}
		wal, err := readFile(fsys, fsys.PathJoin(dir, name))
		if err != nil {
			return err
		}
		// Pebble keeps the low half of the number.
		if err := verifyWAL(wal, uint32(number)); err != nil {
			return fmt.Errorf("%w: %s: %w", raftstore.ErrCorrupt, name, err)
		}
	}
	return nil
}

func readFile(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}
