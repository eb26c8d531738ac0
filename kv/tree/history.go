package tree

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// limits say how much history is kept: what is among the latest events, or
// younger than age, but not beyond bytes. The ring is the part of it that is
// also in memory.
type limits struct {
	events uint64
	age    time.Duration
	bytes  int64

	ringEvents, ringBytes int
}

func (l *limits) setDefaults() {
	if l.events == 0 {
		l.events = 10_000
	}
	if l.age == 0 {
		l.age = 10 * time.Minute
	}
	if l.bytes == 0 {
		l.bytes = 256 << 20
	}
	if l.ringEvents == 0 {
		l.ringEvents = 64 << 10
	}
	if l.ringBytes == 0 {
		l.ringBytes = 16 << 20
	}
}

// history keeps the books of the changelog. It is cut in segments of
// consecutive indexes, which go as a whole, oldest first: one range deletion
// for hundreds of events. When one goes depends on commands and their stamps
// alone, so that all members forget the same things.
type history struct {
	segs  []segment
	bytes int64  // of all segments
	saved uint64 // the last index that the stored books account for
}

// A segment covers the store indexes first..last, without gaps between
// segments. Stored under its first index.
type segment struct {
	first, last uint64
	bytes       int64
	stamp       int64 // clock at last
}

// segmentBytes ends a segment early, so that big events go in small lots too.
const segmentBytes = 4 << 20

// floor returns the oldest index of which history is complete.
func (h *history) floor(index uint64) uint64 {
	if len(h.segs) == 0 {
		return index + 1
	}
	return h.segs[0].first
}

// add accounts for an index that took so many bytes, and returns the first index of
// its segment.
func (h *history) add(lim limits, index uint64, clock, bytes int64) uint64 {
	perSegment := min(max(lim.events/16, 1), 1024)
	n := len(h.segs)
	if n == 0 || h.segs[n-1].last-h.segs[n-1].first+1 >= perSegment || h.segs[n-1].bytes >= segmentBytes {
		h.segs = append(h.segs, segment{first: index})
		n++
	}
	s := &h.segs[n-1]
	s.last, s.stamp = index, clock
	s.bytes += bytes
	h.bytes += bytes
	return s.first
}

// save stores what add has changed.
func (h *history) save(b *pebble.Batch, s *scratch) error {
	for i := len(h.segs) - 1; i >= 0 && h.segs[i].last > h.saved; i-- {
		s.key, s.value = appendSegmentKey(s.key[:0], h.segs[i].first), h.segs[i].append(s.value[:0])
		if err := b.Set(s.key, s.value, nil); err != nil {
			return err
		}
	}
	if n := len(h.segs); n > 0 {
		h.saved = h.segs[n-1].last
	}
	return nil
}

// prune drops the segments that the limits no longer cover, and returns how
// many.
func (h *history) prune(b *pebble.Batch, lim limits, index uint64, clock int64) (dropped int, err error) {
	for ; len(h.segs) > 1; dropped++ {
		s := h.segs[0]
		old := index-s.last >= lim.events && clock-s.stamp > int64(lim.age)
		if !old && h.bytes <= lim.bytes {
			return dropped, nil
		}
		if err := b.DeleteRange(eventKey(s.first), eventKey(s.last+1), nil); err != nil {
			return dropped, err
		}
		if err := b.Delete(segmentKey(s.first), nil); err != nil {
			return dropped, err
		}
		h.bytes -= s.bytes
		h.segs = h.segs[1:]
	}
	return dropped, nil
}

func (s *segment) append(b []byte) []byte {
	b = binary.AppendUvarint(b, s.last)
	b = binary.AppendVarint(b, s.bytes)
	return binary.AppendVarint(b, s.stamp)
}

// load reads the books.
func (h *history) load(r pebble.Reader) error {
	upper := append(metaSegment[:1:1], metaSegment[1]+1)
	return scan(r, metaSegment, upper, func(k, v []byte) (bool, error) {
		if len(k) != len(metaSegment)+8 {
			return false, fmt.Errorf("malformed history segment key %x", k)
		}
		d := decoder{b: v}
		s := segment{first: binary.BigEndian.Uint64(k[len(metaSegment):])}
		s.last, s.bytes, s.stamp = d.uvarint(), d.varint(), d.varint()
		if !d.done() || s.last < s.first {
			return false, fmt.Errorf("malformed history segment %d", s.first)
		}
		h.segs = append(h.segs, s)
		h.bytes += s.bytes
		h.saved = s.last
		return true, nil
	})
}
