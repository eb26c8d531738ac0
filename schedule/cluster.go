package schedule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Machine is a machine that units can be placed on. A machine that is not in
// the Cluster is lost, whatever units are placed on it.
type Machine struct {
	ID string
	// Metadata is what Unit.Metadata is compared with.
	Metadata map[string]string
	// Capacity is what there is for units, after what the machine keeps for
	// itself. Nil: not reported; CPU, memory and disk are then unlimited.
	Capacity *Resources
}

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
	// Priority orders placement, higher first, and comes before Generation when
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
}

// Cluster is all that a plan depends on.
type Cluster struct {
	// Machines and Units may come in any order.
	Machines []Machine
	Units    []Unit
	// Placed maps names of units to IDs of machines: the truth, which the plan
	// starts from. Names and IDs that are not in the cluster are allowed.
	Placed map[string]string
}

// validate refuses what would make an answer ambiguous.
func (c Cluster) validate() error {
	ids := make(map[string]bool, len(c.Machines))
	for _, m := range c.Machines {
		if err := checkMachine(m); err != nil {
			return err
		}
		if ids[m.ID] {
			return fmt.Errorf("machine %q is given twice", m.ID)
		}
		ids[m.ID] = true
	}
	names := make(map[string]bool, len(c.Units))
	for _, u := range c.Units {
		if err := checkUnit(u); err != nil {
			return err
		}
		if names[u.Name] {
			return fmt.Errorf("unit %q is given twice", u.Name)
		}
		names[u.Name] = true
	}
	for name, id := range c.Placed {
		if name == "" || id == "" {
			return fmt.Errorf("placement of unit %q on machine %q: neither may be empty", name, id)
		}
	}
	return nil
}

func checkMachine(m Machine) error {
	if m.ID == "" {
		return errors.New("machine without an ID")
	}
	if m.Capacity != nil {
		if err := m.Capacity.check(); err != nil {
			return fmt.Errorf("machine %q: capacity: %w", m.ID, err)
		}
	}
	return nil
}

func checkUnit(u Unit) error {
	if u.Name == "" {
		return errors.New("unit without a name")
	}
	if err := u.Request.check(); err != nil {
		return fmt.Errorf("unit %q: request: %w", u.Name, err)
	}
	if err := u.Estimate.check(); err != nil {
		return fmt.Errorf("unit %q: estimate: %w", u.Name, err)
	}
	return nil
}

func sameMachine(a, b Machine) bool {
	return a.ID == b.ID &&
		maps.Equal(a.Metadata, b.Metadata) &&
		(a.Capacity == nil) == (b.Capacity == nil) &&
		(a.Capacity == nil || sameResources(*a.Capacity, *b.Capacity))
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
		sameResources(a.Estimate, b.Estimate)
}
