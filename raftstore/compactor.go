package raftstore

import (
	"fmt"
	"time"
)

// runCompactor keeps the log short: once a second it looks at what the state has
// made durable, has it made so when too much waits, and lets go of log that
// neither the state nor a lagging member needs.
func (n *Node) runCompactor() {
	defer n.recoverBroken("compactor")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	flushed := time.Now()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
		}
		did, err := n.compact(time.Since(flushed) > n.cfg.FlushInterval)
		if err != nil {
			if n.ctx.Err() == nil {
				n.fail(err)
			}
			return
		}
		if did {
			flushed = time.Now()
		}
	}
}

// compact has the state flushed if too much waits, or if anything waits and a
// flush is due, and the log trimmed. It reports whether it flushed.
func (n *Node) compact(due bool) (flushed bool, err error) {
	durable := n.snapshotter.Durable()
	waiting := n.raftLog.bytesAfter(durable)
	if waiting > n.cfg.FlushBytes || due && waiting > 0 {
		if err := n.snapshotter.Flush(n.ctx); err != nil {
			return false, fmt.Errorf("raftstore: flush state: %w", err)
		}
		flushed = true
		durable = n.snapshotter.Durable()
	}
	if to := n.trimTarget(durable); to > 0 {
		n.trim.Store(to)
		n.appends.signal()
	}
	return flushed, nil
}

// trimTarget returns the index up to which the log can go, 0 for nowhere.
func (n *Node) trimTarget(durable uint64) uint64 {
	// Nobody needs what is durable here, known to raft as applied (it looks
	// through the rest before it campaigns), and old enough.
	st := n.Status()
	target := min(durable, st.Applied, n.raftLog.indexBefore(n.cfg.LogRetainBytes))
	// A leader keeps more for members that it hears of, up to a point.
	if slowest := st.slowestMatch(); slowest < target {
		target = max(slowest, min(target, n.raftLog.indexBefore(n.cfg.LogCapBytes)))
	}
	n.snaps.mu.Lock()
	hold := n.snaps.hold
	n.snaps.mu.Unlock()
	if hold != 0 {
		target = min(target, hold)
	}
	return target
}
