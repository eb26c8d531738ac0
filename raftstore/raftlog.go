package raftstore

import (
	"fmt"
	"sync"

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

	mu   sync.Mutex
	base LogPosition
	last uint64
	// tail holds the entries last-len(tail)+1 .. last. Entries are immutable.
	tail    []*raftpb.Entry
	tailMem int64
}

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

// Snapshot is asked for only when a member needs entries that the log has lost,
// and the log keeps all of them.
func (l *raftLog) Snapshot() (*raftpb.Snapshot, error) {
	return nil, raft.ErrSnapshotTemporarilyUnavailable
}

// append stores a group and then shows it to raft.
func (l *raftLog) append(entries []*raftpb.Entry, hard *HardState, sync bool) error {
	g := LogGroup{Hard: hard, Entries: make([]LogEntry, len(entries))}
	for i, e := range entries {
		g.Entries[i] = LogEntry{Index: e.GetIndex(), Term: e.GetTerm(), Kind: entryKind(e.GetType()), Data: e.GetData()}
	}
	if err := l.store.Append(g, sync); err != nil {
		return fmt.Errorf("append to log: %w", err)
	}
	if len(entries) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.extendTail(entries)
	return nil
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
