package engine

import (
	"sync"
	"time"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
)

// defaultMachineTTL is how long machines that do not say so outlast their last
// heartbeat: fleet's default.
const defaultMachineTTL = 30 * time.Second

// This file keeps units where they are while nobody can know whether their
// machine is lost. A machine that vanishes while the engine sees the store well
// is lost, and its units move at once. But a store that was out of reach kept
// every machine from sending heartbeats: when it is back their keys are gone,
// and the first machine to return would be given everything. So a machine that
// fell silent is missing, not lost,
//
//   - until its time to live has passed since the store last failed this engine;
//   - until its time to live has passed since this engine was started, if it was
//     gone by then;
//   - until its time to live has passed, if it is one of more than half of all
//     machines that fell silent within an interval.
//
// To the scheduler a missing machine is one that keeps what it has and takes
// nothing. A machine that signs off is never missing.

// doubts is when an engine had reason to doubt what it sees. It is safe for
// concurrent use.
type doubts struct {
	mu      sync.Mutex
	started time.Time // protected by mu
	failed  time.Time // when the store last did; zero for never; protected by mu
}

func (d *doubts) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.started = time.Now()
}

// blind takes down that the store is out of reach.
func (d *doubts) blind() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = time.Now()
}

// last is when the store last failed, and when that or the start of the engine
// was.
func (d *doubts) last() (failed, either time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed.After(d.started) {
		return d.failed, d.failed
	}
	return d.failed, d.started
}

// missing are machines that may come back.
type missing struct {
	until map[string]time.Time // by machine ID
	ttl   time.Duration        // how long a machine outlasts its last heartbeat
	// silent is when machines fell silent, within the last interval.
	silent []time.Time
}

// learn takes down how long machines outlast their last heartbeat: the longest
// time there is.
func (m *missing) learn(machines []registry.Machine) {
	longest := time.Duration(0)
	for _, machine := range machines {
		if machine.TTL == 0 {
			machine.TTL = defaultMachineTTL
		}
		longest = max(longest, machine.TTL)
	}
	if longest > 0 {
		m.ttl = longest
	}
}

// doubt decides about machines that fell silent just now, of so many that are
// left: until when they are missing. The zero time is for lost ones.
func (m *missing) doubt(machines, left int, interval time.Duration, failed time.Time) time.Time {
	now := time.Now()
	kept := m.silent[:0]
	for _, at := range m.silent {
		if now.Sub(at) < interval {
			kept = append(kept, at)
		}
	}
	m.silent = kept
	for range machines {
		m.silent = append(m.silent, now)
	}
	if len(m.silent) > left {
		return now.Add(m.ttl)
	}
	if until := failed.Add(m.ttl); !failed.IsZero() && now.Before(until) {
		return until
	}
	return time.Time{}
}

// next is when a machine is lost for good, if none comes back.
func (m *missing) next() (time.Time, bool) {
	var first time.Time
	for _, until := range m.until {
		if first.IsZero() || until.Before(first) {
			first = until
		}
	}
	return first, !first.IsZero()
}

// stub is a missing machine as the scheduler takes it.
func stub(id string) schedule.Machine {
	return schedule.Machine{ID: id, State: schedule.Cordoned}
}

// frozen is a unit on a missing machine as the scheduler takes it: without what
// depends on the machine, of which nothing is known.
func frozen(u schedule.Unit) schedule.Unit {
	u.MachineID, u.Metadata, u.Require, u.DynamicPorts, u.Ports, u.Given = "", nil, nil, 0, nil, nil
	u.Request, u.Estimate = schedule.Resources{}, schedule.Resources{}
	u.NotMovable, u.Hold = true, true
	return u
}
