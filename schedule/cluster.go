package schedule

import "fmt"

// Cluster is all that a plan depends on.
type Cluster struct {
	// Machines and Units may come in any order.
	Machines []Machine
	Units    []Unit
	// Placed maps names of units to IDs of machines: the truth, which the plan
	// starts from. Names and IDs that are not in the cluster are allowed.
	Placed map[string]string
}

// validate refuses what would make an answer ambiguous, but for what is wrong
// with units, which rebuild refuses.
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
	for name, id := range c.Placed {
		if name == "" || id == "" {
			return fmt.Errorf("placement of unit %q on machine %q: neither may be empty", name, id)
		}
	}
	return nil
}
