package schedule

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Unit is what the scheduler has to know of a unit. The fields mean what the
// options of the same names in the [X-Fleet] section of a unit file mean.
type Unit struct {
	Name string
	// Active: the unit is wanted on a machine. An inactive unit is placed
	// nowhere, holds nothing and conflicts with nothing.
	Active bool
	// Generation orders units by age: of two units that cannot stay together
	// the one with the greater Generation leaves. A store index serves well.
	Generation uint64
	// Priority, -1000 to 1000, orders placement, higher first, and comes before Generation when
	// one of two units has to leave.
	Priority int
	// MachineID restricts the unit to the machine of that ID, or to the
	// machines whose IDs begin with it if it is 8 characters long.
	MachineID string
	// Metadata restricts the unit to machines whose metadata has, for each key,
	// one of the values.
	Metadata map[string][]string
	// MachineOf names units that this one runs beside. Units joined by it are
	// placed in one decision; of a global unit any machine that runs it will do.
	MachineOf []string
	// Conflicts are patterns as of path.Match. The unit shares no machine with
	// another whose name matches, whichever of the two came first. A malformed
	// pattern matches nothing.
	Conflicts []string
	// Replaces are patterns as of path.Match. The unit may be placed beside a
	// unit whose name matches, and that one then moves away. Units that replace
	// each other, directly or in a ring, do not; nor is a global unit replaced.
	Replaces []string
	// Global: the unit runs on every machine that admits it (AdmitsGlobal) and
	// is never in Cluster.Placed. MachineOf and Replaces do not apply to it.
	Global bool
	// Request is what the unit must have: no machine takes units that request
	// more in sum than there is. Estimate is what it is likely to use besides,
	// and only says which machine is best.
	Request, Estimate Resources
	// Require restricts the unit to machines whose metadata meet a condition.
	Require *Expr
	// Prefer are conditions that a machine had better meet, or not.
	Prefer []Preference
	// SoftConflicts are patterns like Conflicts; the unit shares a machine with
	// as few units as can be that match, or that have a pattern it matches.
	SoftConflicts []string
	// Ports are held on the machine: no two units there have the same. Of
	// DynamicPorts, so many more are chosen from the machine's PortRange. Step
	// tells which, and Given is to tell them as long as the unit is placed.
	Ports        []Port
	DynamicPorts int
	Given        []uint16
	// Spread tells how units that belong together keep apart.
	Spread Spread
	// MaxPerMachine is how many units of the spread group share a machine, at
	// most; 0 for no limit. The least that any active unit of the group says
	// holds for all.
	MaxPerMachine int
	// NotPreemptible units are never moved for another or to rebalance, and
	// NotMovable ones only by being preempted. Neither makes room for a global
	// unit. A draining machine keeps units that are not movable.
	NotPreemptible, NotMovable bool
	// Hold keeps the unit from being moved to rebalance: it was moved or
	// started not long ago.
	Hold bool
}

// Preference is a condition with a weight, -100 to 100. The machine where the
// weights of the conditions met have the largest sum is preferred.
type Preference struct {
	Weight int
	Expr   *Expr
}

// Port is a port of a machine, of TCP or UDP.
type Port struct {
	Number uint16
	UDP    bool
}

// String is "80" or "53/udp".
func (p Port) String() string {
	if p.UDP {
		return fmt.Sprintf("%d/udp", p.Number)
	}
	return fmt.Sprint(p.Number)
}

// Spread says over which values of metadata the active units of a group are
// placed evenly. Machines without the key are in no domain.
type Spread struct {
	// Keys are the metadata keys, the widest domain first: zone, then rack in
	// the zone. None: no matter.
	Keys []string
	// MaxSkew, if not 0, is how many more units a domain may have than the one
	// with fewest, of those where the unit could be; 0 is as even as can be,
	// but anywhere rather than nowhere.
	MaxSkew int
	// Group names the units that count together; empty for those of the same
	// template, or the unit alone if it has none.
	Group string
}

const leastPriority = -1000

// checkUnit refuses a unit that is malformed.
func (s *Scheduler) checkUnit(u *Unit) error {
	if u.Name == "" {
		return errors.New("unit without a name")
	}
	if u.Priority < leastPriority || u.Priority > -leastPriority {
		return fmt.Errorf("unit %q: priority is %d, want %d to %d", u.Name, u.Priority, leastPriority, -leastPriority)
	}
	for _, p := range u.Prefer {
		if p.Weight < -100 || p.Weight > 100 {
			return fmt.Errorf("unit %q: weight of preference %q is %d, want -100 to 100", u.Name, p.Expr, p.Weight)
		}
	}
	for i, n := range [...]int{u.DynamicPorts, u.MaxPerMachine, u.Spread.MaxSkew} {
		if n < 0 || n > math.MaxUint16 {
			name := [...]string{"dynamic ports", "max per machine", "max skew"}[i]
			return fmt.Errorf("unit %q: %s is %d, want 0 to %d", u.Name, name, n, math.MaxUint16)
		}
	}
	if u.Global && (len(u.Spread.Keys) > 0 || u.MaxPerMachine > 0 || u.DynamicPorts > 0) {
		return fmt.Errorf("unit %q: a global unit has no spread, no limit per machine and no dynamic ports", u.Name)
	}
	if err := s.ledger.check(&u.Request); err != nil {
		return fmt.Errorf("unit %q: request: %w", u.Name, err)
	}
	if err := s.ledger.check(&u.Estimate); err != nil {
		return fmt.Errorf("unit %q: estimate: %w", u.Name, err)
	}
	return nil
}

func sameUnit(a, b Unit) bool {
	return a.Name == b.Name &&
		a.Active == b.Active &&
		a.Generation == b.Generation &&
		a.Priority == b.Priority &&
		a.MachineID == b.MachineID &&
		maps.EqualFunc(a.Metadata, b.Metadata, slices.Equal[[]string]) &&
		slices.Equal(a.MachineOf, b.MachineOf) &&
		slices.Equal(a.Conflicts, b.Conflicts) &&
		slices.Equal(a.Replaces, b.Replaces) &&
		a.Global == b.Global &&
		sameResources(a.Request, b.Request) &&
		sameResources(a.Estimate, b.Estimate) &&
		a.Require.String() == b.Require.String() &&
		slices.EqualFunc(a.Prefer, b.Prefer, func(p, q Preference) bool { return p.Weight == q.Weight && p.Expr.String() == q.Expr.String() }) &&
		slices.Equal(a.SoftConflicts, b.SoftConflicts) &&
		slices.Equal(a.Ports, b.Ports) &&
		a.DynamicPorts == b.DynamicPorts && slices.Equal(a.Given, b.Given) &&
		slices.Equal(a.Spread.Keys, b.Spread.Keys) && a.Spread.MaxSkew == b.Spread.MaxSkew && a.Spread.Group == b.Spread.Group &&
		a.MaxPerMachine == b.MaxPerMachine &&
		a.NotPreemptible == b.NotPreemptible && a.NotMovable == b.NotMovable && a.Hold == b.Hold
}
