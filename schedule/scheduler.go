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
// concurrent use. It keeps the maps and slices of the machines and units given
// to it; do not change them afterwards.
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

	units   map[string]*unit // every name that is set or bound
	globals []*unit          // active global units, by name

	slots     map[string]int     // by machine ID
	machines  []*machine         // by slot, in order of ID
	alive     bitset             // slots of machines that are in the cluster
	open      bitset             // those of them that take units
	draining  bitset             // those that units are to leave
	dedicated bitset             // those that do not take just any unit
	short     map[string]*bitset // slots by shortened ID
	counts    counts             // of units, on the machines alive
	ledger    ledger             // of resources
	grid      grid               // machines by shares
	scoring   Strategy           // which the search goes by

	masks         map[string]*mask
	conflicts     patterns         // of Unit.Conflicts
	replaces      patterns         // of Unit.Replaces
	softConflicts patterns         // of Unit.SoftConflicts
	ports         map[Port]*tally  // slots where a port is held
	ranges        bitset           // slots with units that have dynamic ports
	teams         map[string]*team // by name of the spread group
	topologies    map[string]*topology

	// Plan looks at these alone.
	dirty   bitset             // slots where a unit may have become invalid
	stray   map[*unit]struct{} // bound, yet holding no place
	pending map[*unit]struct{} // to be placed
	relink  bool               // units that replace each other must be found anew
	linked  []*unit            // units that have any such link

	// touched are the units that the plan being made has moved, or tried to.
	touched []*unit
	placed  []*unit // by the attempt that stands
	parts   int     // numbers what is placed together within a plan
	// attempts numbers the ways tried.
	attempts int
	victims  int      // of pre-emption, in the plan being made
	bouncer  *bouncer // of the plan being made, nil if none is needed
	// settled: nothing happened since the plan that left these unplaced.
	settled  bool
	unplaced []Explanation
	blocked  []Explanation
	garbage  int // patterns and machines that nothing refers to any more
	// rebuilding: patterns are being collected, names come later.
	rebuilding bool
	scratch    bitset
	shares     []int32 // scratch
	parcel     parcel  // scratch
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

// unit is all there is to a name.
type unit struct {
	name  string
	known bool // spec is set
	spec  Unit
	bound string // the machine the unit is placed on, in the cluster or not

	// at is the slot where the unit holds a place, -1 for none: it is bound
	// there, active, not global, and the machine is alive.
	at, pos int
	aside   bool   // not counted at the moment though it has a place
	on      bitset // slots that admit it, if global

	need      *mask    // nil: any metadata
	prefers   []*mask  // as Unit.Prefer
	peers     []string // MachineOf
	conflicts []*pattern
	replaces  []*pattern
	soft      []*pattern // SoftConflicts
	// Patterns, of whatever unit, that match the name.
	conflictHits, replaceHits, softHits []*pattern
	team                                *team     // nil if where others of its group are matters to none
	spreads                             []*spread // as Unit.Spread.Keys, the widest domains first

	// The units that leave a machine when this one comes, and the reverse.
	// Valid unless Scheduler.relink.
	ousts, oustedBy []*unit

	// Of the plan being made.
	touched bool
	from    string // where it was bound before
	cause   Code
	by      string
	part    int
	had     []uint16 // the ports it was given there
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
		units:         map[string]*unit{},
		slots:         map[string]int{},
		short:         map[string]*bitset{},
		masks:         map[string]*mask{},
		conflicts:     newPatterns(),
		replaces:      newPatterns(),
		softConflicts: newPatterns(),
		ports:         map[Port]*tally{},
		teams:         map[string]*team{},
		topologies:    map[string]*topology{},
		stray:         map[*unit]struct{}{},
		pending:       map[*unit]struct{}{},
	}
}

// Reset replaces all the Scheduler knows with a cluster. On an error, for
// malformed input as in Compute, it stays as it is.
func (s *Scheduler) Reset(c Cluster) error {
	if err := c.validate(); err != nil {
		return err
	}
	s.rebuild(c)
	return nil
}

// rebuild makes the indexes of a valid cluster.
func (s *Scheduler) rebuild(c Cluster) {
	s.empty()
	for _, m := range slices.SortedFunc(slices.Values(c.Machines), func(a, b Machine) int { return strings.Compare(a.ID, b.ID) }) {
		s.addMachine(m)
	}
	// All patterns come before any name, so that no new pattern has to look
	// through the names.
	s.rebuilding = true
	for _, v := range c.Units {
		u := &unit{name: v.Name, known: true, spec: v, at: -1}
		s.units[v.Name] = u
		s.usePatterns(u)
		if v.Active && !v.Global && v.asksCompany() {
			s.formTeam(v.group())
		}
	}
	s.rebuilding = false
	for _, u := range s.units {
		s.findPatterns(u)
	}
	for name, id := range c.Placed {
		s.entry(name).bound = id
	}
	for _, u := range s.units {
		if u.bound == "" {
			u.spec.Given = nil
		}
		s.arrive(u)
	}
}

// cluster is the inverse of rebuild.
func (s *Scheduler) cluster() Cluster {
	c := Cluster{Placed: map[string]string{}}
	for slot := range s.alive.all {
		c.Machines = append(c.Machines, s.machines[slot].Machine)
	}
	for name, u := range s.units {
		if u.known {
			c.Units = append(c.Units, u.spec)
		}
		if u.bound != "" {
			c.Placed[name] = u.bound
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
		c := s.cluster()
		c.Machines = append(c.Machines, m)
		s.rebuild(c)
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
	for u := range s.stray {
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
	s.shortSlots(id).clear(slot)
}

// SetUnit adds a unit or replaces what is known of it. It refuses a unit
// without a name.
func (s *Scheduler) SetUnit(v Unit) error {
	if err := checkUnit(v); err != nil {
		return err
	}
	u := s.entry(v.Name)
	if u.known && sameUnit(u.spec, v) {
		return nil
	}
	s.forget(u)
	u.known, u.spec = true, v
	if u.bound == "" {
		u.spec.Given = nil
	}
	s.usePatterns(u)
	s.arrive(u)
	return nil
}

// RemoveUnit tells that a unit is gone. If it is placed it stays so until Plan,
// or Unbind.
func (s *Scheduler) RemoveUnit(name string) {
	u := s.units[name]
	if u == nil || !u.known {
		return
	}
	s.forget(u)
	u.known, u.spec = false, Unit{}
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
	if u := s.units[unit]; u != nil && u.bound != "" {
		s.rebind(u, "", nil)
	}
}

// rebind makes a unit placed on another machine, or on none.
func (s *Scheduler) rebind(u *unit, machine string, ports []uint16) {
	s.detach(u)
	u.bound, u.spec.Given = machine, ports
	s.settle(u)
}
