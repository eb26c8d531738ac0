package schedule

import (
	"fmt"
	"strings"
)

// Plan is what makes a cluster whole: every active unit on a machine that may
// run it, or explained.
type Plan struct {
	// Steps are ordered by Wave, then by Unit. A unit has at most one.
	Steps []Step
	// Unplaced are the active units that have no machine when the steps are
	// made, ordered by name; global units among them that no machine admits.
	Unplaced []Explanation
	// Blocked are the units that stay on draining machines, by name: no other
	// machine takes them as things are, or they are not to be moved.
	Blocked []Explanation
	Stats   Stats
}

// Step places, moves or removes one unit.
type Step struct {
	Unit string
	// From is the machine that the unit is placed on, empty for none. To is the
	// machine it goes to; empty: it only leaves.
	From, To string
	// Cause is CodeNew for a unit that was nowhere; else why it cannot stay.
	Cause Code
	// By is the other unit, where the cause is one: of a conflict, a
	// replacement, a peer that left.
	By string
	// Wave: the steps of one wave can be made together, once all earlier waves
	// are made. Until its wave is made a moving unit counts on From, during it
	// on both machines: no wave brings two units that conflict together.
	Wave int
	// Ports are the dynamic ports that the unit is given on To.
	Ports []uint16
	// StopFirst: units wait for each other to leave in a ring. This one has to
	// leave From before the first wave, and only arrives in its own.
	StopFirst bool
}

// Stats counts what a plan does.
type Stats struct {
	Machines int // in the cluster
	Kept     int // units that stay where they are
	New      int // units placed that were on no machine
	Moved    int // units that go from one machine to another
	Removed  int // units that leave and go nowhere
	Unplaced int // active units without a machine
	Blocked  int // units on draining machines
}

// Compute returns the plan for a cluster. It is a pure function: the same
// cluster, in whatever order its parts are given, has the same plan. It does
// not modify c. Errors are for malformed input (a name or ID that is empty or
// given twice); a unit that cannot be placed is not an error.
func Compute(c Cluster, o Options) (Plan, error) {
	if err := o.validate(); err != nil {
		return Plan{}, err
	}
	s := New(o)
	if err := s.load(c); err != nil {
		return Plan{}, err
	}
	return s.Plan(), nil
}

// String is the canonical text of a plan: a line for each step, then the
// explanation of each unplaced unit. Equal plans have equal texts.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		b.WriteString(s.String())
		b.WriteByte('\n')
	}
	for _, e := range p.Unplaced {
		b.WriteString(e.String())
	}
	for _, e := range p.Blocked {
		b.WriteString("blocked: " + e.String())
	}
	return b.String()
}

// String is one line: "2 web.service m1 -> m2 conflict by db.service".
func (s Step) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s %s -> %s %s", s.Wave, s.Unit, orDash(s.From), orDash(s.To), s.Cause)
	if s.By != "" {
		b.WriteString(" by " + s.By)
	}
	if len(s.Ports) > 0 {
		fmt.Fprintf(&b, " ports %d", s.Ports)
	}
	if s.StopFirst {
		b.WriteString(" stop-first")
	}
	return b.String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
