package raftstore

// LogStore keeps the raft log of one member on disk. seglog is the one for
// real disks. The runtime calls Append from one goroutine, and the reading
// methods from others at the same time; Close comes last, and once.
type LogStore interface {
	// State returns what the store held when it was opened; the zero LogState
	// for a new store.
	State() (LogState, error)
	// Append writes a group atomically. With sync it returns only when the group
	// and all before it would survive a loss of power. Any error is final: the
	// node stops and nothing in doubt is retried.
	Append(g LogGroup, sync bool) error
	// Entries returns entries lo..hi-1, or a prefix of them of at least one
	// entry once their data exceeds maxBytes.
	Entries(lo, hi, maxBytes uint64) ([]LogEntry, error)
	// Close releases the store.
	Close() error
}

// LogState is the state of a log store.
type LogState struct {
	Hard HardState
	// Base is the position just before the first entry. A new log is based at
	// the zero LogPosition.
	Base LogPosition
	// Last is the index of the last entry; Base.Index when there is none.
	Last uint64
}

// LogPosition names an entry.
type LogPosition struct{ Index, Term uint64 }

// HardState is what a raft member must never forget.
type HardState struct {
	Term   uint64 // the latest term seen
	Vote   uint64 // the member voted for in Term; 0 for none
	Commit uint64 // a lower bound of what is committed
}

// LogGroup is what one Append writes.
type LogGroup struct {
	// Base, if not nil, empties the log and bases it here before all else.
	Base *LogPosition
	// Trim, if not nil, names a stored entry that becomes the base: it and all
	// before it go, those after it stay.
	Trim *LogPosition
	// Entries follow each other without gaps. Entries already stored at or
	// after the first one's index are replaced.
	Entries []LogEntry
	// Hard, if not nil, replaces the hard state.
	Hard *HardState
}

// LogEntry is one entry of the log.
type LogEntry struct {
	Index, Term uint64
	Kind        EntryKind
	Data        []byte
}

// EntryKind tells what the data of a log entry is. The values are stored.
type EntryKind uint8

// The kinds of log entries.
const (
	EntryFrame      EntryKind = 0 // a frame of commands; empty at the start of a term
	EntryConfChange EntryKind = 1 // a change of membership
)
