package seglog

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
)

// The files of a log, besides LOCK:
//
//	0000000007.seg    a segment, by its number
//	0000000003.spare  a file for segments to come
//	seglog            says that there is a log; made when the first segment is there
const (
	segmentSuffix = ".seg"
	spareSuffix   = ".spare"
	markerName    = "seglog"
)

func segmentName(number uint32) string { return fmt.Sprintf("%010d%s", number, segmentSuffix) }

// numbers returns those of the files with a suffix, in order.
func numbers(names []string, suffix string) []uint32 {
	var ns []uint32
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, suffix)
		n, err := strconv.ParseUint(digits, 10, 32)
		if ok && err == nil && n > 0 && len(digits) == 10 {
			ns = append(ns, uint32(n))
		}
	}
	slices.Sort(ns)
	return ns
}

// segment is one that was read.
type segment struct {
	segmentHeader
	sum     uint32 // the header's
	content []byte // the whole file, until the records have been read
	length  int    // of the file

	end     int    // of the records
	chain   uint32 // sum of the last one
	records int
	seal    *seal  // its last record, if it is one
	synced  int    // the latest that a record says
	size    uint32 // likewise
}

// seal names the segment that follows.
type seal struct{ number, sum uint32 }

// scanned is what the segments of a log say.
type scanned struct {
	content
	sums     map[uint32]uint32 // of the headers, by the segments' numbers
	numbers  []uint32          // of the segments, in order
	tail     *segment          // the last one; nil if there is none
	before   *segment          // the one before; nil if there is none
	obsolete []uint32          // files of segments that the log is without
}

// scanner reads the segments of a log from a directory.
type scanner struct {
	fs    vfs.FS
	dir   string
	spare []byte // memory of a segment that was read
	group group
}

// scan reads the segments of a log through, of which the directory's list of
// names tells.
func (s *scanner) scan(names []string) (*scanned, error) {
	all := numbers(names, segmentSuffix)
	// Those that are no longer needed go first to last, but a crash may have
	// brought some back.
	from := len(all) - 1
	for ; from > 0 && all[from-1]+1 == all[from]; from-- {
	}
	log := &scanned{sums: make(map[uint32]uint32)}
	if len(all) == 0 {
		return log, nil
	}
	log.obsolete, log.numbers = all[:from:from], all[from:]
	for i, number := range log.numbers {
		seg, err := s.read(number)
		if err != nil {
			return nil, err
		}
		begun, err := log.follow(seg, i == len(log.numbers)-1)
		if err != nil {
			return nil, err
		}
		if !begun {
			log.numbers = log.numbers[:i]
			log.obsolete = append(log.obsolete, number)
			break
		}
		if err := s.records(seg, &log.content); err != nil {
			return nil, err
		}
	}
	return log, log.complete()
}

// read reads a segment's file.
func (s *scanner) read(number uint32) (*segment, error) {
	name := s.fs.PathJoin(s.dir, segmentName(number))
	b, err := readFile(s.fs, name, s.spare)
	if err != nil {
		return nil, err
	}
	s.spare = nil
	seg := &segment{content: b, length: len(b)}
	if seg.segmentHeader, seg.sum, err = decodeSegmentHeader(b); err != nil {
		return nil, corrupt(number, 0, err.Error())
	}
	if seg.number != number {
		return nil, corrupt(number, 0, fmt.Sprintf("it is segment %d", seg.number))
	}
	seg.end, seg.chain, seg.synced = firstRecord, seg.sum, firstRecord
	seg.size = seg.segmentHeader.size
	return seg, nil
}

func readFile(fsys vfs.FS, name string, buf []byte) (b []byte, err error) {
	f, err := fsys.Open(name, vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b = slices.Grow(buf[:0], int(info.Size()))[:info.Size()]
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// corrupt is the error for what must not be at an offset of a segment.
func corrupt(number uint32, offset int, what string) error {
	return fmt.Errorf("%w: %s, offset %d: %s", raftstore.ErrCorrupt, segmentName(number), offset, what)
}

// follow adds a segment after those that were scanned. It reports false if it is
// one that was made just before a crash, and never used.
func (log *scanned) follow(seg *segment, last bool) (begun bool, err error) {
	prev := log.tail
	switch {
	case prev == nil:
		log.content = newContent(seg.state)
	case prev.seal == nil && last && seg.lastMark(firstRecord) == 0:
		return false, nil
	case prev.seal == nil:
		// Nothing is written to a segment before all of the one before is on disk.
		return false, corrupt(prev.number, prev.end, "a record that was synced does not verify")
	case *prev.seal != seal{seg.number, seg.sum}:
		return false, corrupt(seg.number, 0, "it is not the one that "+segmentName(prev.number)+" names")
	case seg.state != log.state():
		return false, corrupt(seg.number, 0, "its state is not the one that "+segmentName(prev.number)+" ends with")
	}
	log.before, log.tail = prev, seg
	log.sums[seg.number] = seg.sum
	return true, nil
}

// lastMark returns the furthest offset of the segment that any record in it from
// an offset on says to be synced, 0 if there is no record.
func (seg *segment) lastMark(from int) int {
	mark := 0
	for at := from; at < len(seg.content); at += alignment {
		if r, ok := recordAt(seg.content, seg.sum, at); ok {
			mark = max(mark, int(r.synced))
		}
	}
	return mark
}

// records reads a segment's records as far as they follow each other, and does
// to c what they say.
func (s *scanner) records(seg *segment, c *content) error {
	for seg.seal == nil {
		r, ok := recordAt(seg.content, seg.sum, seg.end)
		if !ok || r.prev != seg.chain {
			break
		}
		p, next, ok := r.payload(seg.content)
		if !ok {
			break
		}
		if err := s.apply(r, p, seg, c); err != nil {
			return corrupt(seg.number, seg.end, err.Error())
		}
		seg.end, seg.chain = next, r.sum
		seg.records++
		seg.synced, seg.size = max(seg.synced, int(r.synced)), max(seg.size, r.size)
	}
	if len(seg.content) < int(seg.size) {
		return corrupt(seg.number, len(seg.content), fmt.Sprintf("the file ends, and had %d bytes", seg.size))
	}
	if seg.seal == nil && seg.lastMark(seg.end) > seg.end {
		return corrupt(seg.number, seg.end, "a record that was synced does not verify")
	}
	s.spare, seg.content = seg.content, nil
	return nil
}

func (s *scanner) apply(r record, p []byte, seg *segment, c *content) error {
	switch r.kind {
	case kindGroup:
		if err := s.group.decode(p, int(r.offset)+recordHeader, seg.number); err != nil {
			return err
		}
		return c.apply(&s.group)
	case kindState:
		if len(p) != stateLength {
			return errMalformed
		}
		if decodeState(p) != c.state() {
			return errors.New("the state is not what the records before make")
		}
		return nil
	case kindSeal:
		if len(p) != 8 {
			return errMalformed
		}
		seg.seal = &seal{le.Uint32(p), le.Uint32(p[4:])}
		return nil
	}
	return errMalformed
}

// complete checks that nothing is missing.
func (log *scanned) complete() error {
	if next := log.tail.seal; next != nil {
		return fmt.Errorf("%w: %s is missing", raftstore.ErrCorrupt, segmentName(next.number))
	}
	if log.missing > 0 {
		return fmt.Errorf("%w: entries %d to %d are missing, with what came before %s",
			raftstore.ErrCorrupt, log.base.Index+1, log.base.Index+log.missing, segmentName(log.numbers[0]))
	}
	return nil
}

// foreign returns the name of a file that tells of another kind of log, "" if
// there is none.
func foreign(names []string) string {
	for _, name := range names {
		for _, prefix := range []string{"MANIFEST-", "OPTIONS-", "marker."} {
			if strings.HasPrefix(name, prefix) {
				return name
			}
		}
	}
	return ""
}

// list returns the names of the files in a directory, none if there is none.
func list(fsys vfs.FS, dir string) ([]string, error) {
	names, err := fsys.List(dir)
	if isMissing(err) {
		return nil, nil
	}
	if name := foreign(names); err == nil && name != "" {
		return nil, fmt.Errorf("it holds a Pebble database (%s), not a log of segments; a member of before has to be added anew", name)
	}
	return names, err
}
