package registry

import (
	"cmp"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/unitfile"
)

// Schedulable is the unit as the scheduler takes it. Engine and agents both use
// it, so that they decide on the same grounds.
func (u Unit) Schedulable() schedule.Unit {
	// What was read from a registry has been converted before, without error.
	s, _ := unitfile.Convert(u.Name, u.Options, u.derive)
	s.Active = u.Target != Inactive
	s.Generation = u.Created
	s.Given = u.Ports
	if u.Options.PinFirst {
		s.MachineID = cmp.Or(u.Pinned, s.MachineID)
	}
	return s
}

// Schedulable is the machine as the scheduler takes it.
func (m Machine) Schedulable() schedule.Machine {
	return schedule.Machine{
		ID:        m.ID,
		Metadata:  m.Metadata,
		Capacity:  m.Capacity,
		State:     m.State,
		Dedicated: m.Dedicated,
		PortRange: m.PortRange,
	}
}
