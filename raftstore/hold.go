package raftstore

import (
	"sync/atomic"
	"time"
)

// maxHold is how long a command waits at most for an earlier frame to be
// committed.
const maxHold = time.Millisecond

// hold keeps commands back while an earlier frame is not committed. Each frame is a
// sync, a few messages and some wake-ups for every member, which many commands
// may as well share: frames then grow with the latency of a quorum. Where that
// is the latency of long distances they do not wait for it, but for maxHold.
//
// It belongs to the loop, but for on.
type hold struct {
	// on says that commands wait for something that turns the loop anyway, so
	// that whoever brings one more need not.
	on      atomic.Bool
	last    uint64 // index of the last entry given to the log
	timer   *time.Timer
	started bool // the timer runs
	over    bool // it has run out
}

// lets reports whether the next frame may follow, if the log is committed up to
// the given index. If not, the timer sees to it that it may soon.
func (h *hold) lets(commit uint64) bool {
	if commit >= h.last || h.over {
		return true
	}
	if !h.started {
		h.started = true
		h.timer.Reset(maxHold)
	}
	return false
}

// framed notes that a frame has gone.
func (h *hold) framed() {
	if h.started {
		h.timer.Stop()
	}
	h.started, h.over = false, false
}
