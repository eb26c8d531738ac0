package schedule

import (
	"errors"
	"fmt"
	"maps"
	"strings"
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
	State    MachineState
	// Dedicated, "KEY=VALUE", keeps away units that do not ask for that in
	// Metadata or Require.
	Dedicated string
	// PortRange is the first and the last port for units that leave the choice
	// to the scheduler; zero for none.
	PortRange [2]uint16
}

// MachineState says what a machine is open for.
type MachineState int

const (
	// Open machines take units.
	Open MachineState = iota
	// Cordoned machines keep what they have and take nothing new.
	Cordoned
	// Draining machines are Cordoned, and their units move to other machines
	// as far as these can take them. Global units stay.
	Draining
	// Evacuating machines are Draining, and units that are not movable, or may
	// be nowhere else, leave too: those for which there is no other place stop.
	Evacuating
)

// leaving reports whether units are to leave.
func (m Machine) leaving() bool { return m.State == Draining || m.State == Evacuating }

func checkMachine(m Machine) error {
	if m.ID == "" {
		return errors.New("machine without an ID")
	}
	switch m.State {
	case Open, Cordoned, Draining, Evacuating:
	default:
		return fmt.Errorf("machine %q: unknown state %d", m.ID, m.State)
	}
	if key, _, ok := strings.Cut(m.Dedicated, "="); m.Dedicated != "" && (!ok || key == "") {
		return fmt.Errorf("machine %q: dedicated is %q, want KEY=VALUE", m.ID, m.Dedicated)
	}
	if m.PortRange[0] > m.PortRange[1] {
		return fmt.Errorf("machine %q: ports from %d to %d are none", m.ID, m.PortRange[0], m.PortRange[1])
	}
	if m.Capacity != nil {
		if err := m.Capacity.check(); err != nil {
			return fmt.Errorf("machine %q: capacity: %w", m.ID, err)
		}
	}
	return nil
}

func sameMachine(a, b Machine) bool {
	return a.ID == b.ID &&
		a.State == b.State && a.Dedicated == b.Dedicated && a.PortRange == b.PortRange &&
		maps.Equal(a.Metadata, b.Metadata) &&
		(a.Capacity == nil) == (b.Capacity == nil) &&
		(a.Capacity == nil || sameResources(*a.Capacity, *b.Capacity))
}
