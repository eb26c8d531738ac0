package schedule_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/schedule"
)

// estate is a made-up data centre.
type estate struct {
	rng      splitMix
	machines []schedule.Machine
	units    []schedule.Unit
	services int
	full     bool // with resources, ports and spread
}

// newEstate makes an estate whose units use fleet's options alone.
func newEstate(machineSeed, unitSeed uint64, machines, services int) *estate {
	return (&estate{}).generate(machineSeed, unitSeed, machines, services)
}

// newFullEstate makes the same with what units request, and more options.
func newFullEstate(machineSeed, unitSeed uint64, machines, services int) *estate {
	return (&estate{full: true}).generate(machineSeed, unitSeed, machines, services)
}

// generate makes machines in 5 zones with two kinds of disk and CPU, and
// services of 1 to 40 instances: of each 100, 40 are plain, the others want a
// disk, a zone, a CPU, or conflict with themselves or another; one in four has
// a sidekick beside each instance. Three global units are added.
func (e *estate) generate(machineSeed, unitSeed uint64, machines, services int) *estate {
	e.rng = splitMix(machineSeed)
	for i := range machines {
		capacity := shapes[e.rng.pick(53, 31, 8, 6, 2)]
		zone := e.rng.intn(5)
		rack := e.rng.intn(8)
		e.machines = append(e.machines, schedule.Machine{ID: fmt.Sprintf("m%04d", i), Metadata: map[string]string{
			"zone": fmt.Sprintf("z%d", zone),
			"rack": fmt.Sprintf("z%d-r%d", zone, rack),
			"disk": []string{"hdd", "ssd"}[e.rng.pick(7, 3)],
			"arch": []string{"amd64", "arm64"}[e.rng.pick(9, 1)],
		}})
		if e.full {
			capacity.Counters = nil
			e.machines[i].Capacity = &capacity
		}
	}
	e.rng = splitMix(unitSeed)
	for range services {
		e.addService()
	}
	for name, meta := range map[string]map[string][]string{
		"node-exporter.service": nil,
		"ssd-trim.service":      {"disk": {"ssd"}},
		"zone-agent-z0.service": {"zone": {"z0"}},
	} {
		e.units = append(e.units, schedule.Unit{Name: name, Active: true, Global: true, Metadata: meta, Request: e.small()})
	}
	return e
}

// small is what global units and sidekicks request.
func (e *estate) small() schedule.Resources {
	if !e.full {
		return schedule.Resources{}
	}
	return schedule.Resources{CPU: 50, Memory: 64 << 20}
}

// addService adds the next service and returns its units.
func (e *estate) addService() []schedule.Unit {
	s := e.services
	e.services++
	replicas := 1 + e.rng.intn(40)
	request := schedule.Resources{CPU: 50 * int64(1+e.rng.intn(40)), Memory: int64(1+e.rng.intn(48)) * 64 << 20}
	if !e.full {
		request = schedule.Resources{}
	}
	var meta map[string][]string
	var conflicts []string
	var ports []schedule.Port
	var spread schedule.Spread
	switch e.rng.pick(40, 15, 10, 10, 10, 5, 5, 5) {
	case 1:
		meta = map[string][]string{"disk": {"ssd"}}
	case 2:
		a := e.rng.intn(5)
		b := (a + 1 + e.rng.intn(4)) % 5
		meta = map[string][]string{"zone": {fmt.Sprintf("z%d", a), fmt.Sprintf("z%d", b)}}
	case 3:
		conflicts = []string{fmt.Sprintf("svc%03d@*.service", s)}
	case 4:
		if e.full {
			spread.Keys = []string{"zone"}
		}
	case 5:
		if e.full {
			ports = []schedule.Port{{Number: uint16(8000 + s)}}
		}
	case 6:
		meta = map[string][]string{"arch": {"arm64"}}
	case 7:
		if s > 0 {
			conflicts = []string{fmt.Sprintf("svc%03d@*.service", e.rng.intn(s))}
		}
	}
	sidekick := e.rng.intn(4) == 0
	first := len(e.units)
	for i := range replicas {
		name := fmt.Sprintf("svc%03d@%d.service", s, i)
		e.units = append(e.units, schedule.Unit{Name: name, Active: true, Generation: uint64(s), Metadata: meta, Conflicts: conflicts, Request: request, Ports: ports, Spread: spread})
		if sidekick {
			e.units = append(e.units, schedule.Unit{
				Name: fmt.Sprintf("svc%03d-sk@%d.service", s, i), Active: true, Generation: uint64(s), MachineOf: []string{name}, Request: e.small(),
			})
		}
	}
	return e.units[first:]
}

func (e *estate) cluster() schedule.Cluster {
	return schedule.Cluster{Machines: e.machines, Units: e.units, Placed: map[string]string{}}
}

func digest(p schedule.Plan) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(p.String())))[:16] }

// TestDigests replays testdata/digests: plans of generated clusters, by digest.
// A digest that changes means that clusters in use are placed otherwise than
// before.
func TestDigests(t *testing.T) {
	datadriven.RunTest(t, "testdata/digests", func(t *testing.T, d *datadriven.TestData) string {
		var machines, services, base int
		d.ScanArgs(t, "machines", &machines)
		d.ScanArgs(t, "services", &services)
		d.ScanArgs(t, "base", &base)
		o, err := parseOptions(slices.DeleteFunc(slices.Clone(d.CmdArgs), func(a datadriven.CmdArg) bool { return len(a.Vals) > 0 || a.Key == "full" }))
		must(err)
		e := newEstate(uint64(base), uint64(base+1), machines, services)
		if d.HasArg("full") {
			e = newFullEstate(uint64(base), uint64(base+1), machines, services)
		}
		w := newDrama(e, 1, o).world
		p := w.live.Plan()
		w.apply(p)
		for _, v := range schedule.Check(w.cluster()) {
			t.Errorf("after the first plan: %s", v)
		}
		out := fmt.Sprintf("%d units, new %d, unplaced %d: %s\n", len(e.units), p.Stats.New, p.Stats.Unplaced, digest(p))
		for _, id := range []string{"m0003", "m0007", "m0011"} {
			w.removeMachine(id)
			p := w.live.Plan()
			w.apply(p)
			out += fmt.Sprintf("%s lost, moved %d, unplaced %d: %s\n", id, p.Stats.Moved, p.Stats.Unplaced, digest(p))
		}
		return out
	})
}

// drama is what happens to an estate: machines are lost and come back, change
// their disks, and services are added.
type drama struct {
	estate *estate
	world  *world
	rng    splitMix
	lost   []schedule.Machine
}

func newDrama(e *estate, seed uint64, o schedule.Options) *drama {
	d := &drama{estate: e, world: newWorld(o), rng: splitMix(seed)}
	must(d.world.live.Reset(e.cluster()))
	for _, m := range e.machines {
		d.world.machines[m.ID] = m
	}
	for _, u := range e.units {
		d.world.units[u.Name] = u
	}
	return d
}

// next has something happen, and says what; nothing, if it cannot.
func (d *drama) next() string {
	w := d.world
	switch d.rng.pick(4, 3, 2, 1) {
	case 0:
		m := d.alive()
		d.lost = append(d.lost, m)
		w.removeMachine(m.ID)
		return "lost " + m.ID
	case 1:
		if len(d.lost) == 0 {
			return ""
		}
		i := d.rng.intn(len(d.lost))
		m := d.lost[i]
		d.lost = slices.Delete(d.lost, i, i+1)
		must(w.setMachine(m))
		return "back " + m.ID
	case 2:
		m := d.alive()
		m.Metadata = maps.Clone(m.Metadata)
		m.Metadata["disk"] = map[string]string{"hdd": "ssd", "ssd": "hdd"}[m.Metadata["disk"]]
		must(w.setMachine(m))
		return "flipped " + m.ID
	default:
		for _, u := range d.estate.addService() {
			must(w.setUnit(u))
		}
		return "new service"
	}
}

// alive picks a machine that is not lost.
func (d *drama) alive() schedule.Machine {
	for i := d.rng.intn(len(d.estate.machines)); ; i++ {
		if m, ok := d.world.machines[d.estate.machines[i%len(d.estate.machines)].ID]; ok {
			return m
		}
	}
}
