package seglog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/internal/durable"
)

// Store is a raftstore.LogStore of segment files. Append must not be called
// concurrently; reads may run beside it. There are no goroutines.
//
// A disk that fails ends the store, not the process: the operation under way
// and all later ones return the error, and nothing more is written.
type Store struct {
	fs    vfs.FS
	dir   string
	log   *slog.Logger
	limit int // of a segment, in bytes
	lock  io.Closer

	// Those of Append alone.
	tail    *tail
	spares  []string // names of files
	renamed bool     // the directory has changed since it was last synced
	buf     []byte
	failure error // the first

	// mu protects what follows. Append alone changes it, and so may read it
	// without.
	mu       sync.Mutex
	content  content
	segments []segmentUse // of the log; their numbers follow each other
}

// segmentUse is what a reader needs to know of a segment.
type segmentUse struct {
	number  uint32
	sum     uint32 // the header's
	readers int    // while there are any the file keeps its name
}

var _ raftstore.LogStore = (*Store)(nil)

// Options tune a Store. The zero value is the default.
type Options struct {
	// FS is the file system; nil means the operating system's. Tests give a
	// crashable one.
	FS vfs.FS
	// Logger receives why the log has failed, or lost its end in a crash; nil
	// means nobody does.
	Logger *slog.Logger
	// SegmentBytes is how large a file becomes before the next one is begun, but
	// for a group that is larger. Default: 16 MiB. It may differ from one Open to
	// the next.
	SegmentBytes int64
}

const (
	defaultSegment = 16 << 20
	minSegment     = 2 * pageLength
	maxSegment     = 1 << 30
	maxBuffer      = 4 << 20 // that is kept from one Append to the next
)

// Open opens the log in dir, making it if it does not exist. The directory is
// locked until Close.
//
// It fails when the disk has no room for another file, whether one is needed or
// not. A damaged log is refused with raftstore.ErrCorrupt. What was not synced before
// a crash may be gone, but never something before what is there.
func Open(dir string, o Options) (*Store, error) {
	s := &Store{fs: o.FS, dir: dir, log: o.Logger, limit: int(o.SegmentBytes)}
	if s.fs == nil {
		s.fs = vfs.Default
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.limit == 0 {
		s.limit = defaultSegment
	}
	s.limit = roundUp(min(max(s.limit, minSegment), maxSegment), pageLength)
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("seglog: open %s: %w", dir, errors.Join(err, s.release()))
	}
	return s, nil
}

func (s *Store) path(name string) string { return s.fs.PathJoin(s.dir, name) }

func (s *Store) open() error {
	// Before the lock is made: not in a directory that somebody else's files are in.
	if _, err := list(s.fs, s.dir); err != nil {
		return err
	}
	if err := durable.MkdirAll(s.fs, s.dir); err != nil {
		return err
	}
	var err error
	if s.lock, err = s.fs.Lock(s.path("LOCK")); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	names, err := list(s.fs, s.dir)
	if err != nil {
		return err
	}
	marked, err := s.marked(names)
	if err != nil {
		return err
	}
	found, err := (&scanner{fs: s.fs, dir: s.dir}).scan(names)
	if err != nil {
		return err
	}
	if err := s.findRoom(); err != nil {
		return err
	}
	s.renamed = true // by whoever was here before
	if err := s.findSpares(names); err != nil {
		return err
	}
	switch {
	case found.tail != nil:
		err = s.resume(found)
	case marked:
		err = fmt.Errorf("%w: all segments are missing", raftstore.ErrCorrupt)
	default:
		err = s.begin()
	}
	if err != nil || marked {
		return err
	}
	return s.mark()
}

// begin makes the first segment.
func (s *Store) begin() (err error) {
	if s.tail, err = s.createSegment(1, state{}); err != nil {
		return err
	}
	s.segments = []segmentUse{{number: 1, sum: s.tail.sum}}
	return nil
}

// resume goes on where the log ends that was found.
func (s *Store) resume(found *scanned) error {
	for _, number := range found.obsolete {
		if err := s.retire(number); err != nil {
			return err
		}
	}
	s.content = found.content
	for _, number := range found.numbers {
		s.segments = append(s.segments, segmentUse{number: number, sum: found.sums[number]})
	}
	// While a segment has no records, the one before may not be on disk.
	if before := found.before; before != nil && found.tail.records == 0 {
		f, err := s.harden(before)
		if err != nil {
			return err
		}
		if err := errors.Join(f.SyncData(), f.Close()); err != nil {
			return fmt.Errorf("sync %s: %w", segmentName(before.number), err)
		}
	}
	seg := found.tail
	f, err := s.harden(seg)
	if err != nil {
		return err
	}
	s.tail = &tail{
		file: f, number: seg.number, sum: seg.sum, limit: s.limit,
		end: seg.end, chain: seg.chain, synced: seg.synced, length: seg.length, lengthSynced: int(seg.size),
	}
	if err := s.syncDir(); err != nil {
		return err
	}
	if err := s.writeState(); err != nil {
		return err
	}
	return s.tail.sync()
}

// harden opens the file of a segment and writes again what may not be on disk.
func (s *Store) harden(seg *segment) (vfs.File, error) {
	name := segmentName(seg.number)
	f, err := s.fs.OpenReadWrite(s.path(name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	if err := rewrite(f, seg.synced, seg.end); err != nil {
		return nil, fmt.Errorf("rewrite %s: %w", name, errors.Join(err, f.Close()))
	}
	return f, nil
}

// writeState appends a record of what the log holds.
func (s *Store) writeState() (err error) {
	s.buf, err = s.tail.write(s.content.state().append(beginRecord(s.buf)), kindState)
	return err
}

// marked reports whether there was a log before.
func (s *Store) marked(names []string) (bool, error) {
	for _, name := range names {
		if name != markerName {
			continue
		}
		b, err := readFile(s.fs, s.path(name), nil)
		if err == nil && string(b) != magic {
			err = fmt.Errorf("%w: %s is not what it should be", raftstore.ErrCorrupt, name)
		}
		return err == nil, err
	}
	return false, nil
}

// mark notes that there is a log.
func (s *Store) mark() error {
	tmp := markerName + ".tmp"
	f, err := s.fs.Create(s.path(tmp), vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write([]byte(magic))
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", tmp, err)
	}
	return s.rename(tmp, markerName)
}

// findRoom fails when the disk is full. The log might go on for a while in the
// room that it has, but whoever else starts on that disk would fail, half way.
func (s *Store) findRoom() error {
	const name = "room.tmp"
	f, err := s.fs.Create(s.path(name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	_, err = f.Write(make([]byte, firstLength))
	if err == nil {
		err = f.Sync() // a file system may not look for room before
	}
	if err = errors.Join(err, f.Close(), s.fs.Remove(s.path(name))); err != nil {
		return fmt.Errorf("find room: %w", err)
	}
	return nil
}

// findSpares takes the spare files that can be of use, and removes others.
func (s *Store) findSpares(names []string) error {
	for _, number := range numbers(names, spareSuffix) {
		name := fmt.Sprintf("%010d%s", number, spareSuffix)
		info, err := s.fs.Stat(s.path(name))
		if err != nil {
			return err
		}
		if len(s.spares) < maxSpares && info.Size() <= int64(s.limit) {
			s.spares = append(s.spares, name)
		} else if err := s.fs.Remove(s.path(name)); err != nil {
			return err
		}
	}
	return nil
}

// State tells what the log holds.
func (s *Store) State() (raftstore.LogState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return raftstore.LogState{Hard: s.content.hard, Base: s.content.base, Last: s.content.last()}, nil
}

// Append writes a group as one record, by one write and, with sync, one sync of
// the file, both in the caller's goroutine. What makes no sense is refused, and
// nothing is changed; any other error is final.
func (s *Store) Append(g raftstore.LogGroup, sync bool) error {
	if s.failure != nil {
		return s.failure
	}
	if err := s.content.check(&g); err != nil {
		return fmt.Errorf("seglog: %w", err)
	}
	length := groupLength(&g)
	if length > maxPayload {
		return fmt.Errorf("seglog: a group of %d bytes is too large", length)
	}
	if err := s.append(&g, length, sync); err != nil {
		return s.fail(err)
	}
	return nil
}

// fail notes why the store is at its end.
func (s *Store) fail(err error) error {
	s.failure = fmt.Errorf("seglog: %w", err)
	s.log.Error("seglog: log failed", "err", err)
	return s.failure
}

func (s *Store) append(g *raftstore.LogGroup, length int, sync bool) error {
	if len(g.Entries) > 0 || g.Base != nil || g.Trim != nil || g.Hard != nil {
		if s.tail.end > firstRecord && s.tail.end+recordHeader+length+alignment+sealRecord > s.limit {
			if err := s.roll(); err != nil {
				return err
			}
		}
		if err := s.write(g); err != nil {
			return err
		}
	}
	if !sync {
		return nil
	}
	if s.tail.synced < s.tail.end {
		if err := s.tail.sync(); err != nil {
			return err
		}
	}
	return s.dropSegments()
}

// write appends a group's record and publishes it.
func (s *Store) write(g *raftstore.LogGroup) (err error) {
	at := s.tail.end + recordHeader
	s.buf, err = s.tail.write(appendGroup(beginRecord(s.buf), g, s.tail.sum), kindGroup)
	if err != nil {
		return err
	}
	if cap(s.buf) > maxBuffer {
		s.buf = nil
	}
	at += groupLength(g)
	for i := range g.Entries {
		at -= entryHeader + len(g.Entries[i].Data)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.content
	if g.Base != nil {
		c.rebase(*g.Base)
	}
	if g.Trim != nil {
		c.trim(*g.Trim)
	}
	if len(g.Entries) > 0 {
		c.cut(g.Entries[0].Index)
	}
	for i := range g.Entries {
		n := len(g.Entries[i].Data)
		c.places = append(c.places, place{s.tail.number, uint32(at), uint32(n)})
		at += entryHeader + n
	}
	if g.Hard != nil {
		c.hard = *g.Hard
	}
	return nil
}

// dropSegments retires the first segments that nobody needs any more. All that
// was written is on disk.
func (s *Store) dropSegments() error {
	for {
		s.mu.Lock()
		first := s.segments[0]
		drop := first.number < s.content.firstNeeded(s.tail.number) && first.readers == 0
		if drop {
			s.segments = s.segments[1:]
		}
		s.mu.Unlock()
		if !drop {
			return nil
		}
		if err := s.retire(first.number); err != nil {
			return err
		}
	}
}

// Close releases the store. It fails if the disk has failed before.
func (s *Store) Close() error {
	if s.failure == nil {
		if err := s.finish(); err != nil {
			_ = s.fail(err)
		}
	}
	if err := errors.Join(s.failure, s.release()); err != nil {
		return fmt.Errorf("seglog: close %s: %w", s.dir, err)
	}
	return nil
}

// finish makes all durable, and then says so, for the next to open the log to
// tell damage from what a crash has torn.
func (s *Store) finish() error {
	if s.tail.synced < s.tail.end {
		if err := s.tail.sync(); err != nil {
			return err
		}
	}
	if err := s.writeState(); err != nil {
		return err
	}
	return s.tail.sync()
}

// release closes what is open.
func (s *Store) release() (err error) {
	if s.tail != nil {
		err = s.tail.file.Close()
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}
