package seglog

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore/internal/durable"
)

// A file is zeroed ahead in growing steps, so that a log of little takes little,
// while a sync has only to commit a new length once for many records. What is
// written is padded with zeros to the end of a page, so that no page is ever
// read to be changed.
const (
	pageLength   = 4 << 10
	firstLength  = 64 << 10
	maxExtension = 1 << 20
)

// zeros is as much as a file is ever extended by, and never written to.
var zeros = make([]byte, maxExtension)

// tail is the segment that records are appended to.
type tail struct {
	file   vfs.File
	number uint32
	sum    uint32 // the header's
	limit  int    // the file is not extended beyond, but for records that are larger

	end    int    // of the last record
	chain  uint32 // its sum
	synced int    // up to here all is on disk
	length int    // of the file
	// lengthSynced is the length that is on disk.
	lengthSynced int
}

// write appends the record whose payload follows room for its header in buf. It
// returns buf for the next one.
func (t *tail) write(buf []byte, kind byte) ([]byte, error) {
	r := record{prev: t.chain, offset: uint32(t.end), synced: uint32(t.synced), size: uint32(t.lengthSynced), kind: kind}
	buf, sum := endRecord(buf, r, t.sum)
	end := t.end + len(buf)
	length := roundUp(end, pageLength)
	if length > t.length {
		grown := min(t.length+min(max(t.length, firstLength), maxExtension), t.limit)
		t.length = max(length, grown)
		length = t.length
	}
	for pad := length - end; pad > 0; pad = length - t.end - len(buf) {
		buf = append(buf, zeros[:min(pad, len(zeros))]...)
	}
	if _, err := t.file.WriteAt(buf, int64(t.end)); err != nil {
		return nil, fmt.Errorf("write %s: %w", segmentName(t.number), err)
	}
	t.end, t.chain = end, sum
	return buf, nil
}

// sync makes all that was written durable.
func (t *tail) sync() error {
	if err := t.file.SyncData(); err != nil {
		return fmt.Errorf("sync %s: %w", segmentName(t.number), err)
	}
	t.synced, t.lengthSynced = t.end, t.length
	return nil
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// rewrite writes what a file holds between two offsets again. What a failed sync
// of an earlier process has lost may still be there to read and yet never get to
// the disk otherwise.
func rewrite(f vfs.File, from, to int) error {
	if from == to {
		return nil
	}
	from -= from % pageLength
	b := make([]byte, to-from)
	if _, err := f.ReadAt(b, int64(from)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err := f.WriteAt(b, int64(from))
	return err
}

// createSegment makes the file of a segment that begins with a state, durably,
// under its name.
func (s *Store) createSegment(number uint32, st state) (*tail, error) {
	spare := fmt.Sprintf("%010d%s", number, spareSuffix)
	if n := len(s.spares); n > 0 {
		// Before it is written over, it must never again come back as what it was.
		if err := s.syncDir(); err != nil {
			return nil, err
		}
		spare = s.spares[n-1]
		s.spares = s.spares[:n-1]
	}
	f, err := s.fs.OpenReadWrite(s.path(spare), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", spare, err)
	}
	t := &tail{file: f, number: number, limit: s.limit}
	if err := s.prepare(t, spare, st); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

func (s *Store) prepare(t *tail, spare string, st state) error {
	info, err := t.file.Stat()
	if err != nil {
		return fmt.Errorf("stat %s: %w", spare, err)
	}
	write := pageLength
	t.length = int(info.Size())
	if least := min(firstLength, s.limit); t.length < least {
		t.length, write = least, least
	}
	h := segmentHeader{nonce: rand.Uint64(), number: t.number, size: uint32(t.length), state: st}
	b := h.append(make([]byte, 0, write))
	t.sum = le.Uint32(b[headerSumAt:])
	if _, err := t.file.WriteAt(b[:write], 0); err != nil {
		return fmt.Errorf("write %s: %w", spare, err)
	}
	if err := t.file.SyncData(); err != nil {
		return fmt.Errorf("sync %s: %w", spare, err)
	}
	t.end, t.chain, t.synced, t.lengthSynced = firstRecord, t.sum, firstRecord, t.length
	return s.rename(spare, segmentName(t.number))
}

// rename renames a file, durably.
func (s *Store) rename(from, to string) error {
	if err := s.fs.Rename(s.path(from), s.path(to)); err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, to, err)
	}
	s.renamed = true
	return s.syncDir()
}

// syncDir makes names durable.
func (s *Store) syncDir() error {
	if !s.renamed {
		return nil
	}
	if err := durable.SyncDir(s.fs, s.dir); err != nil {
		return err
	}
	s.renamed = false
	return nil
}

// maxSpares is how many files wait to become segments. To make one anew costs
// little, thanks to the steps.
const maxSpares = 2

// retire makes a spare file of a segment, or removes it.
func (s *Store) retire(number uint32) error {
	name := segmentName(number)
	s.renamed = true
	info, err := s.fs.Stat(s.path(name))
	if err != nil {
		return fmt.Errorf("retire %s: %w", name, err)
	}
	if len(s.spares) == maxSpares || info.Size() > int64(s.limit) {
		if err := s.fs.Remove(s.path(name)); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
		return nil
	}
	spare := fmt.Sprintf("%010d%s", number, spareSuffix)
	if err := s.fs.Rename(s.path(name), s.path(spare)); err != nil {
		return fmt.Errorf("retire %s: %w", name, err)
	}
	s.spares = append(s.spares, spare)
	return nil
}

// roll ends the segment and begins the next one.
func (s *Store) roll() error {
	old := s.tail
	next, err := s.createSegment(old.number+1, s.content.state())
	if err != nil {
		return err
	}
	b := beginRecord(s.buf)
	b = le.AppendUint32(le.AppendUint32(b, next.number), next.sum)
	s.buf, err = old.write(b, kindSeal)
	if err == nil {
		err = old.sync()
	}
	if err != nil {
		return errors.Join(err, next.file.Close())
	}
	s.mu.Lock()
	s.segments = append(s.segments, segmentUse{number: next.number, sum: next.sum})
	s.mu.Unlock()
	s.tail = next
	return old.file.Close()
}
