package engine

import (
	"cmp"
	"maps"
	"math/bits"
	"sync"
	"time"

	"github.com/strakeproject/strake/schedule"
)

// Stats is what an engine has done since it was made, and what it sees while it
// leads.
type Stats struct {
	// LeaderSince is when the engine came to lead. Zero while it does not.
	LeaderSince time.Time
	Elections   uint64 // times that it came to lead
	LeasesLost  uint64 // times that it ceased to, other than by the end of Run
	// Blind counts the times that, leading, it could not read the registry or
	// make sense of it.
	Blind uint64

	PlanTime Histogram // computing a plan
	// Placed are the writes that put a unit on a machine, Evicted those that
	// take one from a machine. A move is both in one.
	Placed, Evicted Writes
	WriteTime       Histogram // of each, done or not
	// Evictions counts those that were done by their cause: CodePreempted,
	// CodeDraining, CodeRebalance, CodeMachineLost and so on.
	Evictions map[schedule.Code]uint64

	// Seen is the cluster as of the last plan. Zero while the engine does not
	// lead.
	Seen Sight
}

// Writes counts writes by how they ended.
type Writes struct {
	Done uint64
	// Overtaken: the unit was placed otherwise meanwhile.
	Overtaken uint64
	Failed    uint64
}

// Sight is a cluster as its leader sees it.
type Sight struct {
	Machines map[schedule.MachineState]int // that are alive
	// Missing are machines that fell silent, and may come back.
	Missing int
	// Placed are the units that have a machine when the plan is carried out,
	// global ones aside.
	Placed int
	// Unplaced are the active units that have none, by the reason why not: what
	// the machines that come closest lack. That is CodeMachineLost where there
	// is no machine.
	Unplaced map[schedule.Code]int
	Blocked  int // units that stay on draining machines
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

func (h *Histogram) observe(d time.Duration) {
	i := bits.Len64(uint64(max(d-1, 0) / BucketLimit(0)))
	h.Buckets[min(i, len(h.Buckets)-1)]++
	h.Count++
	h.Sum += d
}

// Stats returns what the engine has done, as of one moment. It is safe for
// concurrent use, before, during and after Run.
func (e *Engine) Stats() Stats {
	e.counters.mu.Lock()
	defer e.counters.mu.Unlock()
	s := e.counters.s
	s.Evictions = maps.Clone(s.Evictions) // the maps of Seen are never changed
	return s
}

// counters is Stats as it is counted.
type counters struct {
	mu sync.Mutex
	s  Stats // protected by mu
}

func (c *counters) count(f func(s *Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.s)
}

func (c *counters) elected() {
	c.count(func(s *Stats) {
		s.Elections++
		s.LeaderSince = time.Now()
	})
}

// deposed notes that the engine leads no more; lost: not of its own accord.
func (c *counters) deposed(lost bool) {
	c.count(func(s *Stats) {
		s.LeaderSince, s.Seen = time.Time{}, Sight{}
		if lost {
			s.LeasesLost++
		}
	})
}

func (c *counters) blind() { c.count(func(s *Stats) { s.Blind++ }) }

func (c *counters) planned(took time.Duration, seen Sight) {
	c.count(func(s *Stats) {
		s.PlanTime.observe(took)
		s.Seen = seen
	})
}

// wrote notes how the write of a step ended.
func (c *counters) wrote(step schedule.Step, took time.Duration, err error) {
	c.count(func(s *Stats) {
		s.WriteTime.observe(took)
		if step.To != "" {
			s.Placed.add(err)
		}
		if step.From == "" {
			return
		}
		if s.Evicted.add(err); err == nil {
			if s.Evictions == nil {
				s.Evictions = map[schedule.Code]uint64{}
			}
			s.Evictions[step.Cause]++
		}
	})
}

func (w *Writes) add(err error) {
	switch {
	case err == nil:
		w.Done++
	case overtaken(err):
		w.Overtaken++
	default:
		w.Failed++
	}
}

// sight is what a plan tells of the cluster.
func (t *term) sight(p schedule.Plan) Sight {
	seen := Sight{
		Machines: map[schedule.MachineState]int{},
		Missing:  len(t.missing.until),
		Placed:   p.Stats.Kept + p.Stats.New + p.Stats.Moved,
		Unplaced: map[schedule.Code]int{},
		Blocked:  p.Stats.Blocked,
	}
	for _, m := range t.machines {
		seen.Machines[m.State]++
	}
	for _, e := range p.Unplaced {
		seen.Unplaced[closest(e)]++
	}
	return seen
}

// closest is why the machines that pass most of the tests do not take a unit.
func closest(e schedule.Explanation) schedule.Code {
	if e.Never != nil {
		return e.Never.Code
	}
	var last schedule.Code // codes are in the order of the tests
	for _, r := range e.Rejected {
		last = r.Code
	}
	return cmp.Or(last, schedule.CodeMachineLost)
}
