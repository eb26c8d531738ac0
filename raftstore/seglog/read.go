package seglog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
)

// maxGap is how much of no interest is read between two entries rather than to
// read twice.
const maxGap = 4 << 10

// Entries reads entries lo..hi-1, fewer once they exceed maxBytes. A file is
// open only while it is read.
func (s *Store) Entries(lo, hi, maxBytes uint64) ([]raftstore.LogEntry, error) {
	if lo >= hi {
		return nil, nil
	}
	places, done := s.pin(lo, hi, maxBytes)
	if len(places) == 0 {
		return nil, fmt.Errorf("%w: seglog: entry %d is missing", raftstore.ErrCorrupt, lo)
	}
	defer done()
	r := entryReader{fs: s.fs, dir: s.dir, sum: s.sum}
	entries, err := r.read(lo, places)
	if err != nil {
		return nil, fmt.Errorf("seglog: %w", err)
	}
	return entries, nil
}

// pin returns where entries are, and keeps their segments until done is called.
func (s *Store) pin(lo, hi, maxBytes uint64) (places []place, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.content
	if lo <= c.base.Index || lo > c.last() {
		return nil, nil
	}
	n, size := uint64(0), uint64(0)
	for hi = min(hi, c.last()+1); lo+n < hi; n++ {
		if size += uint64(c.place(lo + n).length); size > maxBytes && n > 0 {
			break
		}
	}
	from := lo - c.base.Index - 1
	places = append(places, c.places[from:from+n]...)
	first, last := places[0].segment, places[n-1].segment
	s.use(first, last, 1)
	return places, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.use(first, last, -1)
	}
}

// use counts readers of segments.
func (s *Store) use(first, last uint32, n int) {
	for number := first; number <= last; number++ {
		s.segments[number-s.segments[0].number].readers += n
	}
}

// sum returns that of a pinned segment's header.
func (s *Store) sum(number uint32) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.segments[number-s.segments[0].number].sum
}

// entryReader reads entries from segments.
type entryReader struct {
	fs  vfs.FS
	dir string
	sum func(number uint32) uint32 // of a segment's header
}

// read reads the entries from an index on that are at the given places.
func (r entryReader) read(index uint64, places []place) ([]raftstore.LogEntry, error) {
	entries := make([]raftstore.LogEntry, 0, len(places))
	for len(places) > 0 {
		n := 1
		for n < len(places) && places[n].segment == places[0].segment {
			n++
		}
		var err error
		if entries, err = r.readSegment(entries, index, places[:n]); err != nil {
			return nil, err
		}
		places = places[n:]
		index += uint64(n)
	}
	return entries, nil
}

// readSegment reads entries of one segment.
func (r entryReader) readSegment(entries []raftstore.LogEntry, index uint64, places []place) (_ []raftstore.LogEntry, err error) {
	number := places[0].segment
	name := segmentName(number)
	f, err := r.fs.Open(r.fs.PathJoin(r.dir, name))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := r.sum(number)
	for len(places) > 0 {
		n, from := 1, places[0].offset
		for n < len(places) && places[n].offset-places[n-1].end() <= maxGap {
			n++
		}
		b := make([]byte, places[n-1].end()-from)
		if _, err := f.ReadAt(b, int64(from)); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		for _, p := range places[:n] {
			e, err := decodeEntry(b[p.offset-from:p.end()-from], sum, index)
			if err != nil {
				return nil, corrupt(number, int(p.offset), err.Error())
			}
			entries = append(entries, e)
			index++
		}
		places = places[n:]
	}
	return entries, nil
}

// end is the offset of what follows an entry.
func (p place) end() uint32 { return p.offset + entryHeader + p.length }

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
