package raftstore

import (
	"errors"
	"math/bits"
	"sync/atomic"
	"time"
)

// Stats counts what a node has done since it was opened.
type Stats struct {
	// Calls, by how they ended. Lost are those that certainly came to nothing,
	// Unknown those that may yet happen; Refused were too large or too many.
	Applied, Lost, Unknown, Refused uint64
	QueuedBytes                     int64 // commands that wait for the log, now

	Frames, Commands  uint64 // framed here as leader
	Turns             uint64 // of the loop
	LeaderChanges     uint64
	ReadRounds        uint64 // confirmed
	ReadRequests      uint64 // sent for them
	Truncations       uint64
	DiskReads         uint64 // of log entries that had left memory
	SnapshotsSent     uint64 // or tried
	SnapshotsUnsent   uint64 // of these, failed
	SnapshotsReceived uint64 // and installed
	Changes           uint64 // of membership, applied

	Append Histogram // writing one group to the log, with its sync
	Apply  Histogram // applying what is there to apply at a time
	Commit Histogram // from the framing of a command to its result, as leader
}

// Histogram counts durations. Bucket i holds those up to BucketLimit(i), the
// last one all others.
type Histogram struct {
	Buckets [20]uint64
	Count   uint64
	Sum     time.Duration
}

// BucketLimit is the upper limit of a bucket: 50 µs doubled i times, which makes
// 13 s for the last but one. The last has none.
func BucketLimit(i int) time.Duration { return 50 * time.Microsecond << i }

// counters is Stats as it is counted.
type counters struct {
	applied, lost, unknown, refused                     atomic.Uint64
	frames, commands, turns, leaderChanges              atomic.Uint64
	readRounds, readRequests, truncations, diskReads    atomic.Uint64
	snapshotsSent, snapshotsUnsent, snapshotsIn, change atomic.Uint64
	append, apply, commit                               histogram
}

type histogram struct {
	buckets [20]atomic.Uint64
	sum     atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	i := bits.Len64(uint64(max(d-1, 0) / (50 * time.Microsecond)))
	h.buckets[min(i, len(h.buckets)-1)].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) read() (out Histogram) {
	for i := range h.buckets {
		out.Buckets[i] = h.buckets[i].Load()
		out.Count += out.Buckets[i]
	}
	out.Sum = time.Duration(h.sum.Load())
	return out
}

// note counts how a call ended.
func (c *counters) note(err error) {
	switch {
	case err == nil:
		c.applied.Add(1)
	case errors.Is(err, ErrOutcomeUnknown):
		c.unknown.Add(1)
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrOverloaded):
		c.refused.Add(1)
	default:
		c.lost.Add(1)
	}
}

// Stats returns what the node has done. Its numbers are read one after the
// other, not as of one moment.
func (n *Node) Stats() Stats {
	c := &n.counters
	return Stats{
		Applied: c.applied.Load(), Lost: c.lost.Load(), Unknown: c.unknown.Load(), Refused: c.refused.Load(),
		QueuedBytes: n.proposals.size() + n.forwards.queue.size(),
		Frames:      c.frames.Load(), Commands: c.commands.Load(), Turns: c.turns.Load(),
		LeaderChanges: c.leaderChanges.Load(), ReadRounds: c.readRounds.Load(), ReadRequests: c.readRequests.Load(),
		Truncations: c.truncations.Load(), DiskReads: c.diskReads.Load(),
		SnapshotsSent: c.snapshotsSent.Load(), SnapshotsUnsent: c.snapshotsUnsent.Load(), SnapshotsReceived: c.snapshotsIn.Load(),
		Changes: c.change.Load(),
		Append:  c.append.read(), Apply: c.apply.read(), Commit: c.commit.read(),
	}
}
