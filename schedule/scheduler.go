package schedule

import (
	"fmt"
	"slices"
	"strings"
)

// Scheduler keeps a cluster indexed, so that a change costs in proportion to
// what it touches. Whatever the calls that led there, Plan returns what Compute
// returns for the same cluster with the same placements.
//
// It starts no goroutine, reads no clock and does no I/O. It is not safe for
// concurrent use. It keeps what it is given, the slice of units given to Reset
// included; do not change that afterwards.
//
//	          Cluster                            indexes
//	SetMachine --> machines, by slot --> masks: slots by metadata asked for
//	SetUnit    --> units, by name    --> patterns: slots by glob, both ways
//	Bind       --> unit.bound        --> counts: slots by number of units
//	                                     ledger: resources by slot
//	                                     grid: slots by shares of resources
//	                                     pending, stray, dirty: what Plan looks at
//
// A slot is the position of a machine in the order of IDs, so that the lowest
// bit of a mask is the least ID.
type Scheduler struct {
	opts Options

	units   roll    // by every name that is set or bound
	names   names   // these, by what they begin with
	globals []*unit // active global units, by name
	housed  int     // units that have a place

	slots     map[string]int // by machine ID
	machines  []*machine     // by slot, in order of ID
	alive     bitset         // slots of machines that are in the cluster
	open      bitset         // those of them that take units
	draining  bitset         // those that units are to leave
	dedicated bitset         // those that do not take just any unit
	counts    counts         // of units, on the machines alive
	ledger    ledger         // of resources
	grid      grid           // machines by shares
	scoring   Strategy       // which the search goes by

	masks         map[string]*mask
	needy         *unit            // the last that was given one, as the next may need the same
	conflicts     patterns         // of Unit.Conflicts
	replaces      patterns         // of Unit.Replaces
	softConflicts patterns         // of Unit.SoftConflicts
	ports         map[Port]*tally  // slots where a port is held
	ranges        bitset           // slots with units that have dynamic ports
	teams         map[string]*team // by name of the spread group
	topologies    map[string]*topology

	// Plan looks at these alone.
	dirty   bitset   // slots where a unit may have become invalid
	stray   unitList // bound, yet holding no place
	pending unitList // to be placed
	relink  bool     // units that replace each other must be found anew
	linked  []*unit  // units that have any such link

	// What units that are not known, plain, or at rest have in common; never
	// changed. And memory for those to come.
	nobody  *Unit
	loose   *ties
	home    *trip
	fresh   *trip // of units that come from nowhere
	blanks  []unit
	spare   []machine
	amounts []int64

	// touched are the units that the plan being made has moved, or tried to.
	touched []*unit
	order   []*unit // what was pending last, by name
	placed  []*unit // by the attempt that stands
	parts   int32   // numbers what is placed together within a plan
	// attempts numbers the ways tried.
	attempts int
	stands   int      // the number of the one whose places units have
	victims  int      // of pre-emption, in the plan being made
	bouncer  *bouncer // of the plan being made, nil if none is needed
	// settled: nothing happened since the plan that left these unplaced.
	settled  bool
	unplaced []Explanation
	blocked  []Explanation
	garbage  int // patterns and machines that nothing refers to any more
	// rebuilding: patterns are being collected, names come later.
	rebuilding bool
	shortlist  shortlist
	tiers      []tier // scratch
	scratch    bitset
	shares     []uint64 // scratch
	parcel     parcel   // scratch
	chosen     []int32  // scratch
}

// machine is a machine's slot. It stays when the machine is lost, for its
// return.
type machine struct {
	Machine
	residents []*unit // placed here, in no order; unit.pos is the index
	globals   []*unit // admitted here, by name
	ranged    int     // ports of the range that units there take
	dynamic   int     // units there that have dynamic ports
	stamp     int     // counts the comings and goings
}

// New returns an empty Scheduler. Options that Compute would refuse count as
// the zero Options.
func New(o Options) *Scheduler {
	if o.validate() != nil {
		o = Options{}
	}
	s := &Scheduler{opts: o}
	s.empty()
	return s
}

func (s *Scheduler) empty() {
	*s = Scheduler{
		opts:          s.opts,
		scoring:       s.opts.Strategy,
		ledger:        newLedger(),
		slots:         map[string]int{},
		masks:         map[string]*mask{},
		conflicts:     newPatterns(),
		replaces:      newPatterns(),
		softConflicts: newPatterns(),
		ports:         map[Port]*tally{},
		teams:         map[string]*team{},
		topologies:    map[string]*topology{},
		nobody:        &Unit{},
		loose:         &ties{rareTies: &rareTies{}},
		home:          &trip{},
		fresh:         &trip{touched: true, cause: CodeNew},
	}
}

// Reset replaces all the Scheduler knows with a cluster. On an error, for
// malformed input as in Compute, it stays as it is.
func (s *Scheduler) Reset(c Cluster) error {
	if err := s.load(c); err != nil {
		return err
	}
	s.units.index() // as changes are to come, which name units
	return nil
}

// load is Reset for one plan.
func (s *Scheduler) load(c Cluster) error {
	if err := c.validate(); err != nil {
		return err
	}
	fresh := &Scheduler{opts: s.opts}
	if err := fresh.rebuild(c); err != nil {
		return err
	}
	*s = *fresh
	return nil
}

// rebuildWith makes the indexes anew, with more machines.
func (s *Scheduler) rebuildWith(more ...Machine) {
	c := s.cluster()
	c.Machines = append(c.Machines, more...)
	if err := s.rebuild(c); err != nil {
		panic(err) // of what has been accepted
	}
}

// rebuild makes the indexes of a cluster. It refuses units that are malformed or
// given twice.
func (s *Scheduler) rebuild(c Cluster) error {
	s.empty()
	s.slots = make(map[string]int, len(c.Machines))
	s.spare = make([]machine, len(c.Machines))
	s.furnish(len(c.Units))
	s.ledger.reserve(len(c.Machines))
	machines := slices.Clone(c.Machines)
	slices.SortFunc(machines, func(a, b Machine) int { return strings.Compare(a.ID, b.ID) })
	for _, m := range machines {
		s.addMachine(m)
	}
	// All patterns come before any name, so that no new pattern has to look
	// through the names.
	s.rebuilding = true
	s.units.inOrder = make([]*unit, 0, len(c.Units))
	s.blanks = make([]unit, len(c.Units))
	units, bound := s.blanks, 0
	s.pending.units = make([]*unit, 0, max(0, len(c.Units)-len(c.Placed)))
	for i := range c.Units {
		v := &c.Units[i]
		if err := s.checkUnit(v); err != nil {
			return err
		}
		u := s.newUnit(v.Name)
		if len(c.Placed) > 0 {
			u.bound = c.Placed[v.Name]
		}
		if u.bound != "" {
			bound++
		}
		s.setSpec(u, v)
		if !s.units.add(u) {
			return fmt.Errorf("unit %q is given twice", v.Name)
		}
		s.usePatterns(u)
		if v.Active && !v.Global && v.asksCompany() {
			s.formTeam(v.group())
		}
	}
	s.rebuilding = false
	for i := range units {
		s.findPatterns(&units[i])
		s.arrive(&units[i])
	}
	if bound < len(c.Placed) { // there are some that are not known
		s.arriveUnknown(c.Placed)
	}
	s.garbage = 0
	return nil
}

// arriveUnknown enters the units that are placed but not known.
func (s *Scheduler) arriveUnknown(placed map[string]string) {
	for name, id := range placed {
		if u := s.entry(name); !u.known {
			u.bound = id
			s.arrive(u)
		}
	}
}

// furnish gives each of the spare machines room for its part of so many units,
// and half as many more.
func (s *Scheduler) furnish(units int) {
	if len(s.spare) == 0 {
		return
	}
	room := (units + units/2) / len(s.spare)
	all := make([]*unit, room*len(s.spare))
	for i := range s.spare {
		s.spare[i].residents = all[i*room : i*room : (i+1)*room]
	}
}

// cluster is the inverse of rebuild.
func (s *Scheduler) cluster() Cluster {
	c := Cluster{Placed: map[string]string{}}
	for slot := range s.alive.all {
		c.Machines = append(c.Machines, s.machines[slot].Machine)
	}
	for u := range s.units.all {
		if u.known {
			c.Units = append(c.Units, *u.spec)
		}
		if u.bound != "" {
			c.Placed[u.name] = u.bound
		}
	}
	return c
}

// SetMachine adds a machine or changes its metadata. It refuses a machine
// without an ID. A machine with an ID never seen before, unless the greatest of
// all, makes the Scheduler build its indexes anew.
func (s *Scheduler) SetMachine(m Machine) error {
	if err := checkMachine(m); err != nil {
		return err
	}
	slot, seen := s.slots[m.ID]
	switch {
	case !seen && len(s.machines) > 0 && s.machines[len(s.machines)-1].ID > m.ID:
		s.rebuildWith(m)
		return nil
	case !seen:
		slot = s.addMachine(m)
	case !s.alive.has(slot):
		s.garbage--
		s.revive(slot, m)
	case sameMachine(s.machines[slot].Machine, m):
		return nil
	default:
		s.change(slot, m)
	}
	s.settled = false
	s.dirty.set(slot)
	for _, u := range slices.Collect(s.stray.all) {
		if u.bound == m.ID {
			s.settle(u)
		}
	}
	return nil
}

// change replaces what is known of a machine. What it holds is taken out
// meanwhile, as what that counts for may change.
func (s *Scheduler) change(slot int, m Machine) {
	old := s.machines[slot]
	held := slices.Concat(old.residents, old.globals)
	for _, u := range held {
		s.hold(u, slot, -1)
	}
	s.ledger.report(old.Machine, -1)
	s.ledger.report(m, 1)
	old.Machine = m
	s.ledger.setCapacity(slot, m)
	s.grid.touch(slot)
	s.describe(slot)
	for _, u := range held {
		s.hold(u, slot, 1)
	}
}

// RemoveMachine tells that a machine is lost. What is placed on it stays bound
// to it until Plan.
func (s *Scheduler) RemoveMachine(id string) {
	slot, seen := s.slots[id]
	if !seen || !s.alive.has(slot) {
		return
	}
	s.settled = false
	s.garbage++
	m := s.machines[slot]
	s.alive.clear(slot)
	s.open.clear(slot)
	for len(m.residents) > 0 {
		s.settle(m.residents[len(m.residents)-1])
	}
	s.dismissGlobals(slot)
	s.counts.remove(slot)
	s.ledger.report(m.Machine, -1)
	s.grid.touch(slot)
	s.dirty.clear(slot)
	for _, k := range s.masks {
		k.bits.clear(slot)
	}
	s.draining.clear(slot)
}

// SetUnit adds a unit or replaces what is known of it. It refuses a unit
// without a name.
func (s *Scheduler) SetUnit(v Unit) error {
	if err := s.checkUnit(&v); err != nil {
		return err
	}
	u := s.entry(v.Name)
	if u.known && sameUnit(*u.spec, v) {
		return nil
	}
	s.forget(u)
	s.setSpec(u, &v)
	s.usePatterns(u)
	s.arrive(u)
	return nil
}

// RemoveUnit tells that a unit is gone. If it is placed it stays so until Plan,
// or Unbind.
func (s *Scheduler) RemoveUnit(name string) {
	u := s.units.named(name)
	if u == nil || !u.known {
		return
	}
	s.forget(u)
	s.clearSpec(u)
	s.arrive(u)
}

// Bind tells that a unit is placed on a machine; neither need be known. It
// refuses an empty name or ID. If the unit was elsewhere before, SetUnit tells
// what ports it was given.
func (s *Scheduler) Bind(unit, machine string) error {
	if unit == "" || machine == "" {
		return fmt.Errorf("placement of unit %q on machine %q: neither may be empty", unit, machine)
	}
	u := s.entry(unit)
	if u.bound != machine {
		s.rebind(u, machine, nil)
	}
	return nil
}

// Unbind tells that a unit is placed nowhere.
func (s *Scheduler) Unbind(unit string) {
	if u := s.units.named(unit); u != nil && u.bound != "" {
		s.rebind(u, "", nil)
	}
}

// rebind makes a unit placed on another machine, or on none.
func (s *Scheduler) rebind(u *unit, machine string, ports []uint16) {
	s.detach(u)
	u.bound = machine
	if len(ports) > 0 || len(u.spec.Given) > 0 {
		u.spec.Given = ports // of a unit that has a spec of its own
	}
	s.settle(u)
}
