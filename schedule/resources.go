package schedule

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Resources are amounts of what machines have and units take. The zero value is
// nothing at all.
type Resources struct {
	CPU    int64 // thousandths of a core
	Memory int64 // bytes
	Disk   int64 // bytes
	// Counters are whatever else machines declare, by name: "gpu",
	// "license/foo".
	Counters map[string]int64
}

// MaxAmount is the largest amount of a resource that is accepted, 2 PiB: the
// arithmetic of shares stays inside an int64.
const MaxAmount = 1 << 51

// The resources that every machine has, by the names that reasons use.
const (
	nameCPU    = "cpu"
	nameMemory = "memory"
	nameDisk   = "disk"
)

// hasCommon reports whether there is any of what every machine has.
func (r *Resources) hasCommon() bool { return r.CPU != 0 || r.Memory != 0 || r.Disk != 0 }

func (r Resources) isZero() bool {
	if r.CPU != 0 || r.Memory != 0 || r.Disk != 0 {
		return false
	}
	for _, n := range r.Counters {
		if n != 0 {
			return false
		}
	}
	return true
}

// of returns the amount of the resource with the given name.
func (r Resources) of(name string) int64 {
	switch name {
	case nameCPU:
		return r.CPU
	case nameMemory:
		return r.Memory
	case nameDisk:
		return r.Disk
	}
	return r.Counters[name]
}

// names lists the resources of which there is any, in the order of reasons.
func (r Resources) names() []string {
	var out []string
	for _, name := range []string{nameCPU, nameMemory, nameDisk} {
		if r.of(name) != 0 {
			out = append(out, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Counters)) {
		if r.Counters[name] != 0 {
			out = append(out, name)
		}
	}
	return out
}

// plus adds up resources. It may share the counters of one of them.
func (r Resources) plus(o Resources) Resources {
	sum := Resources{CPU: r.CPU + o.CPU, Memory: r.Memory + o.Memory, Disk: r.Disk + o.Disk, Counters: r.Counters}
	switch {
	case len(o.Counters) == 0:
	case len(r.Counters) == 0:
		sum.Counters = o.Counters
	default:
		sum.Counters = maps.Clone(r.Counters)
		for name, n := range o.Counters {
			sum.Counters[name] += n
		}
	}
	return sum
}

func sameResources(a, b Resources) bool {
	return a.CPU == b.CPU && a.Memory == b.Memory && a.Disk == b.Disk && maps.Equal(a.Counters, b.Counters)
}

// check refuses amounts that cannot be reckoned with.
func (r *Resources) check() error {
	if err := r.checkCommon(); err != nil || r.plainCounters() {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Counters)) {
		switch name {
		case "":
			return fmt.Errorf("a counter has no name")
		case nameCPU, nameMemory, nameDisk:
			return fmt.Errorf("counter %s has the name of a resource", name)
		}
		if err := checkAmount(name, r.Counters[name]); err != nil {
			return err
		}
	}
	return nil
}

// plainCounters reports whether there is nothing wrong with the counters.
func (r *Resources) plainCounters() bool {
	for name, n := range r.Counters {
		if n < 0 || n > MaxAmount || name == "" || name == nameCPU || name == nameMemory || name == nameDisk {
			return false
		}
	}
	return true
}

// checkCommon is check for what every machine has.
func (r *Resources) checkCommon() error {
	return cmp.Or(checkAmount(nameCPU, r.CPU), checkAmount(nameMemory, r.Memory), checkAmount(nameDisk, r.Disk))
}

func checkAmount(name string, n int64) error {
	if n < 0 || n > MaxAmount {
		return fmt.Errorf("%s is %d, want 0 to %d", name, n, int64(MaxAmount))
	}
	return nil
}

// formatAmount writes an amount as people do: cores, sizes to the base 1024
// with one digit after the point, plain numbers.
func formatAmount(name string, n int64) string {
	switch name {
	case nameCPU:
		return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%d.%03d", n/1000, n%1000), "0"), ".")
	case nameMemory, nameDisk:
		return formatSize(n)
	}
	return strconv.FormatInt(n, 10)
}

func formatSize(n int64) string {
	const units = "KMGTP"
	if n < 1024 {
		return strconv.FormatInt(n, 10) + "B"
	}
	i, unit := 0, int64(1024)
	for i < len(units)-1 && n >= unit*1024 {
		unit *= 1024
		i++
	}
	return fmt.Sprintf("%d.%d%c", n/unit, n%unit*10/unit, units[i])
}
