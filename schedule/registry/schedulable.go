package registry

import "github.com/strakeproject/strake/schedule"

// Schedulable is the unit as the scheduler takes it. Engine and agents both use
// it, so that they decide on the same grounds.
func (u Unit) Schedulable() schedule.Unit {
	o := u.Options
	return schedule.Unit{
		Name:       u.Name,
		Active:     u.Target != Inactive,
		Generation: u.Created,
		MachineID:  o.MachineID,
		Metadata:   o.MachineMetadata,
		MachineOf:  o.MachineOf,
		Conflicts:  o.Conflicts,
		Replaces:   o.Replaces,
		Global:     o.Global,
	}
}

// Schedulable is the machine as the scheduler takes it.
func (m Machine) Schedulable() schedule.Machine {
	return schedule.Machine{ID: m.ID, Metadata: m.Metadata}
}
