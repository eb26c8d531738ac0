package raftstore

import (
	"fmt"
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// raftLog gives raft its view of the log: the LogStore, with the recent entries
// in memory. The append goroutine writes it; the loop reads it, and so must not
// have to wait for a disk except for members that lag far behind.
type raftLog struct {
	store  LogStore
	hard   *raftpb.HardState // as of Open
	conf   *raftpb.ConfState // as of Open
	maxMem int64
	markAt int64 // see marks
	// position is what a snapshot would be made of now; nil if there can be none.
	position func() (Position, membership)
	reads    *atomic.Uint64 // counts reads from disk

	// The next three belong to the append goroutine, and while that has nothing to
	// do to the loop.
	lastHard HardState // the latest
	stored   HardState // what the store has of it
	unsynced bool      // the store has been given what it has not synced

	mu   sync.Mutex
	base LogPosition
	last uint64
	// tail holds the entries last-len(tail)+1 .. last. Entries are immutable.
	tail    []*raftpb.Entry
	tailMem int64
	// marks tell how many bytes were appended up to an index, one mark for each
	// markAt bytes or so. What was on disk at Open counts as nothing.
	marks    []byteMark
	appended int64
}

// byteMark says that the log up to index has taken bytes.
type byteMark struct {
	index uint64
	bytes int64
}

const maxMarkBytes = 256 << 10

var _ raft.Storage = (*raftLog)(nil)

func (l *raftLog) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	return l.hard, l.conf, nil
}

func (l *raftLog) FirstIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.base.Index + 1, nil
}

func (l *raftLog) LastIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, nil
}

func (l *raftLog) Term(i uint64) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case i < l.base.Index:
		return 0, raft.ErrCompacted
	case i == l.base.Index:
		return l.base.Term, nil
	case i > l.last:
		return 0, raft.ErrUnavailable
	case i >= l.tailFirst():
		return l.tail[i-l.tailFirst()].GetTerm(), nil
	}
	entries, err := l.read(i, i+1, 0)
	if err != nil {
		return 0, err
	}
	return entries[0].GetTerm(), nil
}

func (l *raftLog) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case lo <= l.base.Index:
		return nil, raft.ErrCompacted
	case hi > l.last+1:
		return nil, raft.ErrUnavailable
	case lo < l.tailFirst():
		return l.read(lo, min(hi, l.tailFirst()), maxSize)
	}
	span := l.tail[lo-l.tailFirst() : hi-l.tailFirst()]
	var size uint64
	for n, e := range span {
		if size += uint64(len(e.GetData())); n > 0 && size > maxSize {
			span = span[:n]
			break
		}
	}
	return append([]*raftpb.Entry(nil), span...), nil
}

// Snapshot names the state as it is now. Its files are made when raft has
// decided to send it.
func (l *raftLog) Snapshot() (*raftpb.Snapshot, error) {
	if l.position == nil {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return snapshotAt(l.position()), nil
}

// idle reports whether append would do nothing to the disk. A new commit index
// alone can wait: after a crash the log may know less of it than it did.
func (l *raftLog) idle(entries []*raftpb.Entry, hard *HardState, promised bool) bool {
	return len(entries) == 0 && (!promised || !l.unsynced) &&
		(hard == nil || hard.Term == l.stored.Term && hard.Vote == l.stored.Vote)
}

// append stores a group and then shows it to raft. If others are promised that
// it is stored it is synced, with all before it.
func (l *raftLog) append(entries []*raftpb.Entry, hard *HardState, promised bool) error {
	if hard != nil {
		l.lastHard = *hard
	}
	if l.idle(entries, hard, promised) {
		return nil
	}
	g := LogGroup{Entries: make([]LogEntry, len(entries))}
	if h := l.lastHard; h != l.stored {
		g.Hard = &h
	}
	for i, e := range entries {
		g.Entries[i] = LogEntry{Index: e.GetIndex(), Term: e.GetTerm(), Kind: entryKind(e.GetType()), Data: e.GetData()}
	}
	if err := l.store.Append(g, promised); err != nil {
		return fmt.Errorf("append to log: %w", err)
	}
	l.stored, l.unsynced = l.lastHard, !promised
	if len(entries) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.extendTail(entries)
	l.count(entries)
	return nil
}

// reset empties the log and bases it at a snapshot.
func (l *raftLog) reset(base LogPosition, hard HardState) error {
	if err := l.store.Append(LogGroup{Base: &base, Hard: &hard}, true); err != nil {
		return fmt.Errorf("base log at %d: %w", base.Index, err)
	}
	l.lastHard, l.stored, l.unsynced = hard, hard, false
	l.mu.Lock()
	defer l.mu.Unlock()
	l.base, l.last = base, base.Index
	l.tail, l.tailMem = nil, 0
	l.marks, l.appended = nil, 0
	return nil
}

// trim lets go of the log up to index. It does nothing if that is gone already
// or not yet there.
func (l *raftLog) trim(index uint64) error {
	l.mu.Lock()
	outside := index <= l.base.Index || index > l.last
	l.mu.Unlock()
	if outside {
		return nil
	}
	term, err := l.Term(index)
	if err != nil {
		return fmt.Errorf("trim log to %d: %w", index, err)
	}
	base := LogPosition{Index: index, Term: term}
	// Raft must not be told of entries that go away under it, so it is told first.
	l.mu.Lock()
	l.base = base
	if first := l.tailFirst(); index >= first {
		for _, e := range l.tail[:index+1-first] {
			l.tailMem -= int64(len(e.GetData()))
		}
		clear(l.tail[:index+1-first])
		l.tail = l.tail[index+1-first:]
	}
	n := 0
	for n < len(l.marks) && l.marks[n].index <= index {
		n++
	}
	l.marks = append([]byteMark(nil), l.marks[n:]...)
	l.mu.Unlock()
	if err := l.store.Append(LogGroup{Trim: &base}, false); err != nil {
		return fmt.Errorf("trim log to %d: %w", index, err)
	}
	return nil
}

// count keeps the marks.
func (l *raftLog) count(entries []*raftpb.Entry) {
	first := entries[0].GetIndex()
	for n := len(l.marks); n > 0 && l.marks[n-1].index >= first; n-- {
		l.marks = l.marks[:n-1]
	}
	for _, e := range entries {
		l.appended += int64(len(e.GetData()))
	}
	if n := len(l.marks); n == 0 || l.appended-l.marks[n-1].bytes >= l.markAt {
		l.marks = append(l.marks, byteMark{l.last, l.appended})
	}
}

// bytesAfter estimates how much was appended after index.
func (l *raftLog) bytesAfter(index uint64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if index >= l.last {
		return 0
	}
	var before int64
	for _, m := range l.marks {
		if m.index > index {
			break
		}
		before = m.bytes
	}
	return l.appended - before
}

// indexBefore returns the last marked index with at least the given number of
// bytes after it, 0 if there is none.
func (l *raftLog) indexBefore(bytes int64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var index uint64
	for _, m := range l.marks {
		if l.appended-m.bytes < bytes {
			break
		}
		index = m.index
	}
	return index
}

func (l *raftLog) extendTail(entries []*raftpb.Entry) {
	first := entries[0].GetIndex()
	keep := uint64(0)
	if first > l.tailFirst() {
		keep = first - l.tailFirst()
	}
	for _, e := range l.tail[keep:] {
		l.tailMem -= int64(len(e.GetData()))
	}
	// Readers hold copies of the slice, so replacing elements in place is safe.
	l.tail = append(l.tail[:keep], entries...)
	for _, e := range entries {
		l.tailMem += int64(len(e.GetData()))
	}
	l.last = entries[len(entries)-1].GetIndex()
	drop := 0
	for ; drop < len(l.tail)-1 && l.tailMem > l.maxMem; drop++ {
		l.tailMem -= int64(len(l.tail[drop].GetData()))
	}
	clear(l.tail[:drop])
	l.tail = l.tail[drop:]
}

// tailFirst is the index of the first entry in memory; l.last+1 if there is none.
func (l *raftLog) tailFirst() uint64 { return l.last + 1 - uint64(len(l.tail)) }

func (l *raftLog) read(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	l.reads.Add(1)
	stored, err := l.store.Entries(lo, hi, maxSize)
	if err != nil {
		return nil, fmt.Errorf("read log entries %d to %d: %w", lo, hi-1, err)
	}
	entries := make([]*raftpb.Entry, len(stored))
	for i, e := range stored {
		entries[i] = &raftpb.Entry{Index: new(e.Index), Term: new(e.Term), Type: raftpb.EntryNormal.Enum(), Data: e.Data}
		if e.Kind == EntryConfChange {
			entries[i].Type = raftpb.EntryConfChangeV2.Enum()
		}
	}
	return entries, nil
}

func entryKind(t raftpb.EntryType) EntryKind {
	if t == raftpb.EntryNormal {
		return EntryFrame
	}
	return EntryConfChange
}
