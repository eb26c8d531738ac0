package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
)

// suppose changes a cluster as a supposition says, or returns why it cannot:
//
//	MACHINE open, cordoned or draining   what the machine is open for
//	MACHINE lost                         the machine is gone
//	MACHINE KEY=VALUE                    its metadata; an empty VALUE takes KEY away
//	MACHINE like MACHINE                 one more machine, empty
//	UNIT active or inactive              the unit is wanted, or is not
//
// It does not change the maps of the cluster's machines and units.
func suppose(c *schedule.Cluster, supposition string) error {
	words := strings.Fields(supposition)
	if len(words) == 3 && words[1] == "like" {
		return addMachine(c, words[0], words[2])
	}
	if len(words) != 2 {
		return fmt.Errorf("supposition %q is not of a machine or unit and a change of it", supposition)
	}
	subject, change := words[0], words[1]
	if i := slices.IndexFunc(c.Machines, func(m schedule.Machine) bool { return m.ID == subject }); i >= 0 {
		return changeMachine(c, i, change)
	}
	i := slices.IndexFunc(c.Units, func(u schedule.Unit) bool { return u.Name == subject })
	switch {
	case i < 0:
		return fmt.Errorf("supposition %q: there is no machine and no unit %s", supposition, subject)
	case change == "active":
		c.Units[i].Active = true
	case change == "inactive":
		c.Units[i].Active = false
	default:
		return fmt.Errorf("supposition %q: a unit is active or inactive", supposition)
	}
	return nil
}

func changeMachine(c *schedule.Cluster, i int, change string) error {
	m := &c.Machines[i]
	if key, value, ok := strings.Cut(change, "="); ok && key != "" {
		m.Metadata = maps.Clone(m.Metadata)
		if m.Metadata == nil {
			m.Metadata = make(map[string]string)
		}
		if m.Metadata[key] = value; value == "" {
			delete(m.Metadata, key)
		}
		return nil
	}
	if change == "lost" {
		c.Machines = slices.Delete(c.Machines, i, i+1)
		return nil
	}
	var err error
	m.State, err = registry.ParseMachineState(change)
	if err != nil {
		return fmt.Errorf("supposition %q of machine %s: expect open, cordoned, draining, lost or KEY=VALUE", change, m.ID)
	}
	return nil
}

func addMachine(c *schedule.Cluster, id, like string) error {
	i := slices.IndexFunc(c.Machines, func(m schedule.Machine) bool { return m.ID == like })
	if i < 0 {
		return fmt.Errorf("supposition of a machine %s: there is no machine %s to be like", id, like)
	}
	if slices.ContainsFunc(c.Machines, func(m schedule.Machine) bool { return m.ID == id }) {
		return fmt.Errorf("supposition of a machine %s: it is there already", id)
	}
	m := c.Machines[i]
	m.ID, m.State = id, schedule.Open
	c.Machines = append(c.Machines, m)
	return nil
}
