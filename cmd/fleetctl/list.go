package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/unit"
)

type listMachinesCmd struct {
	tableFlags
	Fields string `default:"machine,ip,metadata" help:"Columns, of capacity, ip, machine, metadata, state."`
}

// Run lists the machines that are alive.
func (c *listMachinesCmd) Run(ctx context.Context, a *app) error {
	columns := map[string]column[api.Machine]{
		"machine": func(_ context.Context, m api.Machine) string {
			if c.Full {
				return m.ID
			}
			return shortID(m.ID) + "..."
		},
		"ip":       func(_ context.Context, m api.Machine) string { return m.PrimaryIP },
		"metadata": func(_ context.Context, m api.Machine) string { return formatMetadata(m.Metadata) },
		"state":    func(_ context.Context, m api.Machine) string { return m.State },
		"capacity": func(_ context.Context, m api.Machine) string { return formatCapacity(m.Capacity) },
	}
	fields, err := wantedFields(a, c.Fields, columns)
	if err != nil {
		return err
	}
	if err := a.connect(ctx); err != nil {
		return err
	}
	machines, err := a.api.Machines(ctx)
	if err != nil {
		a.note("Error retrieving list of active machines from fleet API (%v)", err)
		a.note("Possible issues:")
		a.note("  etcd is unhealthy and/or lost quorum")
		return a.fail("  connection cannot be established to any etcd servers")
	}
	printTable(ctx, a.out, c.tableFlags, fields, columns, machines)
	return nil
}

// formatCapacity is "cpu=3.5,disk=...,memory=...", in cores and bytes; empty for
// a machine that does not say.
func formatCapacity(c *api.Capacity) string {
	if c == nil {
		return ""
	}
	amounts := map[string]string{
		"cpu":    strconv.FormatFloat(float64(c.MilliCPU)/1000, 'f', -1, 64),
		"memory": strconv.FormatInt(c.Memory, 10),
		"disk":   strconv.FormatInt(c.Disk, 10),
	}
	for name, n := range c.Counters {
		amounts[name] = strconv.FormatInt(n, 10)
	}
	return formatMetadata(amounts)
}

func formatMetadata(m map[string]string) string {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, k+"="+m[k])
	}
	return strings.Join(pairs, ",")
}

type listUnitsCmd struct {
	tableFlags
	Fields string `default:"unit,machine,active,sub" help:"Columns, of active, hash, load, machine, sub, unit."`
}

// Run lists what each machine says of each unit.
func (c *listUnitsCmd) Run(ctx context.Context, a *app) error {
	columns := map[string]column[api.UnitState]{
		"unit":    func(_ context.Context, s api.UnitState) string { return s.Name },
		"load":    func(_ context.Context, s api.UnitState) string { return s.SystemdLoadState },
		"active":  func(_ context.Context, s api.UnitState) string { return s.SystemdActiveState },
		"sub":     func(_ context.Context, s api.UnitState) string { return s.SystemdSubState },
		"hash":    func(_ context.Context, s api.UnitState) string { return formatHash(s.Hash, c.Full) },
		"machine": func(ctx context.Context, s api.UnitState) string { return a.machineName(ctx, s.MachineID, c.Full) },
	}
	fields, err := wantedFields(a, c.Fields, columns)
	if err != nil {
		return err
	}
	if err := a.connect(ctx); err != nil {
		return err
	}
	states, err := a.api.States(ctx, "")
	if err != nil {
		return a.fail("Error retrieving list of units from repository: %v", err)
	}
	slices.SortStableFunc(states, func(x, y api.UnitState) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.MachineID, y.MachineID))
	})
	printTable(ctx, a.out, c.tableFlags, fields, columns, states)
	return nil
}

type listUnitFilesCmd struct {
	tableFlags
	Fields string `default:"unit,hash,dstate,state,target" help:"Columns, of desc, dstate, global, hash, state, target, unit."`
}

// unitRow is a unit with what its options say.
type unitRow struct {
	api.Unit
	file   *unit.File
	global bool
}

// Run lists the units of the cluster.
func (c *listUnitFilesCmd) Run(ctx context.Context, a *app) error {
	columns := c.columns(a)
	fields, err := wantedFields(a, c.Fields, columns)
	if err != nil {
		return err
	}
	if slices.Contains(fields, "tmachine") {
		a.note(`WARNING: The "tmachine" field is deprecated. Use "target" instead`)
	}
	if err := a.connect(ctx); err != nil {
		return err
	}
	units, err := a.api.Units(ctx)
	if err != nil {
		return a.fail("Error retrieving list of units from repository: %v", err)
	}
	rows := make([]unitRow, 0, len(units))
	for _, u := range units {
		row := unitRow{Unit: u, global: isGlobal(u)}
		if row.file, err = u.File(); err != nil {
			a.debugf("unit %s: %v", u.Name, err)
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(x, y unitRow) int { return cmp.Compare(x.Name, y.Name) })
	printTable(ctx, a.out, c.tableFlags, fields, columns, rows)
	return nil
}

func (c *listUnitFilesCmd) columns(a *app) map[string]column[unitRow] {
	target := func(ctx context.Context, u unitRow) string {
		switch {
		case u.global:
			return "global"
		case u.MachineID == "":
			return ""
		}
		return a.machineName(ctx, u.MachineID, c.Full)
	}
	return map[string]column[unitRow]{
		"unit":     func(_ context.Context, u unitRow) string { return u.Name },
		"hash":     func(_ context.Context, u unitRow) string { return formatHash(u.file.Hash().String(), c.Full) },
		"dstate":   func(_ context.Context, u unitRow) string { return string(u.DesiredState) },
		"state":    func(_ context.Context, u unitRow) string { return string(u.CurrentState) },
		"global":   func(_ context.Context, u unitRow) string { return strconv.FormatBool(u.global) },
		"desc":     func(_ context.Context, u unitRow) string { return description(u.file) },
		"target":   target,
		"tmachine": target,
	}
}

// description is the first Description of a unit file.
func description(f *unit.File) string {
	for _, d := range f.Values("Unit", "Description") {
		return d
	}
	return ""
}

func formatHash(hash string, full bool) string {
	if full {
		return hash
	}
	return hash[:min(len(hash), 7)]
}

// isGlobal reports whether a unit runs on every machine. Options that cannot be
// read make it none.
func isGlobal(u api.Unit) bool {
	f, err := u.File()
	if err != nil {
		return false
	}
	o, _, err := unit.ParseOptions(u.Name, f)
	return err == nil && o.Global
}
