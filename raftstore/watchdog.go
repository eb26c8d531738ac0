package raftstore

import (
	"fmt"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
)

// A leader whose disk hangs goes on sending heartbeats, since they need no disk,
// and so would lead for ever without getting anything done. The watchdog looks
// at the age of the oldest write to the log and of the oldest batch in the state
// machine:
//
//	over stallAlarm             an event and a log line
//	over 2 election timeouts    the leader tries to hand over
//	over 4 election timeouts    it falls silent, so that the others elect
//
// and lets the member take part again when it has recovered.
const stallAlarm = time.Second

// gauge tells since when a worker is busy with one piece of work.
type gauge struct{ since atomic.Int64 } // nanoseconds since 1970; 0 when idle

// during runs f as one piece of work and returns how long it took.
func (g *gauge) during(f func()) time.Duration {
	start := time.Now()
	g.since.Store(start.UnixNano())
	defer g.since.Store(0)
	f()
	return time.Since(start)
}

// age returns how long the work has been under way; 0 when idle.
func (g *gauge) age() time.Duration {
	since := g.since.Load()
	if since == 0 {
		return 0
	}
	return max(time.Duration(time.Now().UnixNano()-since), 1)
}

// watchStall runs on the loop at each tick.
func (n *Node) watchStall(st *loopState) {
	age := max(n.appending.age(), n.applying.age())
	timeout := n.electionTimeout()
	if stalled := age > stallAlarm; stalled != st.stalled {
		st.stalled = stalled
		ev := Event{Kind: EventStall, Time: time.Now()}
		if stalled {
			ev.Stalled = age
			n.log.Warn("raftstore: disk or state machine hangs", "member", fmt.Sprintf("%x", n.id),
				"append", n.appending.age(), "apply", n.applying.age())
		} else {
			n.log.Info("raftstore: disk and state machine go on", "member", fmt.Sprintf("%x", n.id))
		}
		n.events.publish(ev)
	}
	if st.role == raft.StateLeader && age > 2*timeout && st.handOver != st.term {
		st.handOver = st.term // once a term: it cannot help to ask again
		n.transfer(0)
	}
	st.silent = age > 4*timeout
}
