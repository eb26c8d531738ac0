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
		durable := n.snapshotter.Durable()
		waiting := n.raftLog.bytesAfter(durable)
		if waiting > n.cfg.FlushBytes || waiting > 0 && time.Since(flushed) > n.cfg.FlushInterval {
			if err := n.snapshotter.Flush(n.ctx); err != nil && n.ctx.Err() == nil {
				n.fail(fmt.Errorf("raftstore: flush state: %w", err))
				return
			}
			flushed = time.Now()
			durable = n.snapshotter.Durable()
		}
		if to := n.trimTarget(durable); to > 0 {
			n.trim.Store(to)
			n.appends.signal()
		}
	}
}

// trimTarget returns the index up to which the log can go, 0 for nowhere.
func (n *Node) trimTarget(durable uint64) uint64 {
	// Nobody needs what is durable here and old enough.
	target := min(durable, n.raftLog.indexBefore(n.cfg.LogRetainBytes))
	// A leader keeps more for members that it hears of, up to a point.
	if slowest := n.Status().slowestMatch(); slowest < target {
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
