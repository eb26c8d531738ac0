package schedule

import "slices"

// unit is all there is to a name. There may be a hundred thousand, most of them
// plain: what only some have is behind pointers that lead to a common nothing.
type unit struct {
	name  string
	spec  *Unit  // that of no unit at all if the unit is not known
	bound string // the machine the unit is placed on, in the cluster or not

	need              *mask // nil: any metadata
	request, estimate *bag  // the counters of these
	*ties
	*trip

	// at is the slot where the unit holds a place, -1 for none: it is bound
	// there, active, not global, and the machine is alive.
	at  int
	pos int32 // in machine.residents
	// part numbers what the plan being made places together with it.
	part int32
	// listed is the position in Scheduler.pending or stray, of which a unit is
	// in one at most.
	listed int32

	known     bool // spec is set
	heavy     bool // it requests or is estimated to use anything
	estimated bool // it is estimated to use anything
	modest    bool // spec asks for no machine by ID, no ports, and no limit
	picked    bool // of those to be split by connected
	tied      bool // of those, to another
	listing   bool // of those that movedByName lists
	aside     bool // not counted at the moment though it has a place
}

// ties are what others have to do with where a unit is.
type ties struct {
	peers     []string // MachineOf
	conflicts []*pattern
	// conflictHits are the patterns, of whatever unit, that match the name.
	conflictHits []*pattern
	team         *team     // nil if where others of its group are matters to none
	spreads      []*spread // as Unit.Spread.Keys, the widest domains first
	*rareTies
}

// rareTies are what few units have.
type rareTies struct {
	prefers               []*mask // as Unit.Prefer
	soft, replaces        []*pattern
	softHits, replaceHits []*pattern
	on                    bitset // slots that admit it, if global
	// The units that leave a machine when this one comes, and the reverse.
	// Valid unless Scheduler.relink.
	ousts, oustedBy []*unit
}

// trip is where the plan being made takes a unit from, and why. Units at rest
// have one in common, and so have those that come from nowhere.
type trip struct {
	touched bool
	from    string // where it was bound before
	cause   Code
	by      string
	had     []uint16 // the ports it was given there
}

// newUnit returns a unit that is not known.
func (s *Scheduler) newUnit(name string) *unit {
	if len(s.blanks) == 0 {
		s.blanks = make([]unit, 1)
	}
	u := &s.blanks[0]
	s.blanks = s.blanks[1:]
	*u = unit{name: name, spec: s.nobody, ties: s.loose, trip: s.home, at: -1, listed: -1}
	return u
}

// own returns the ties of a unit, to be changed.
func (s *Scheduler) own(u *unit) *ties {
	if u.ties == s.loose {
		u.ties = &ties{rareTies: s.loose.rareTies}
	}
	return u.ties
}

// ownRare returns the rare ties of a unit, to be changed.
func (s *Scheduler) ownRare(u *unit) *rareTies {
	t := s.own(u)
	if t.rareTies == s.loose.rareTies {
		t.rareTies = &rareTies{}
	}
	return t.rareTies
}

// setOutNew begins the trip of a unit that comes from nowhere.
func (s *Scheduler) setOutNew(u *unit) {
	u.trip = s.fresh
	s.touched = append(s.touched, u)
}

// setOut begins a trip.
func (s *Scheduler) setOut(u *unit) *trip {
	u.trip = &trip{touched: true}
	s.touched = append(s.touched, u)
	return u.trip
}

// setSpec gives a unit its spec, which is the unit's own if ports are given to
// it.
func (s *Scheduler) setSpec(u *unit, v *Unit) {
	if v.DynamicPorts > 0 || len(v.Given) > 0 {
		c := *v
		v = &c
	}
	u.known, u.spec = true, v
	if len(v.Given) > 0 && u.bound == "" {
		v.Given = nil
	}
	u.request, u.estimate = s.bag(v.Request.Counters), s.bag(v.Estimate.Counters)
	u.estimated = u.estimate != nil || v.Estimate.hasCommon()
	u.heavy = u.estimated || u.request != nil || v.Request.hasCommon()
	u.modest = v.MachineID == "" && len(v.Ports) == 0 && v.DynamicPorts == 0 && v.MaxPerMachine == 0
}

// clearSpec makes a unit unknown.
func (s *Scheduler) clearSpec(u *unit) {
	u.known, u.spec, u.request, u.estimate, u.heavy, u.estimated, u.modest = false, s.nobody, nil, nil, false, false, false
}

func (s *Scheduler) bag(m map[string]int64) *bag {
	b, isNew := s.ledger.bag(m)
	if isNew {
		s.garbage++ // sooner or later
	}
	return b
}

// unitList is a set of units that is changed often and read in order rarely.
// Where a unit has left is a gap: to fill it with another would be to look at
// that, and many are not near.
type unitList struct {
	units []*unit // nil for a gap
	n     int     // without the gaps
}

func (l *unitList) has(u *unit) bool {
	return u.listed >= 0 && int(u.listed) < len(l.units) && l.units[u.listed] == u
}

func (l *unitList) add(u *unit) {
	if l.has(u) {
		return
	}
	if len(l.units) == cap(l.units) && l.n < len(l.units)/2 {
		l.close()
	}
	u.listed = int32(len(l.units))
	l.units = append(l.units, u)
	l.n++
}

func (l *unitList) drop(u *unit) {
	if !l.has(u) {
		return
	}
	l.units[u.listed] = nil
	u.listed = -1
	if l.n--; l.n == 0 {
		l.units = l.units[:0]
	}
}

// close closes the gaps.
func (l *unitList) close() {
	n := 0
	for u := range l.all {
		l.units[n] = u
		u.listed = int32(n)
		n++
	}
	clear(l.units[n:])
	l.units = l.units[:n]
}

func (l *unitList) all(yield func(*unit) bool) {
	for _, u := range l.units {
		if u != nil && !yield(u) {
			return
		}
	}
}

// sorted returns the units in order of name.
func (l *unitList) sorted() []*unit {
	units := slices.AppendSeq(make([]*unit, 0, l.n), l.all)
	slices.SortFunc(units, compareUnits)
	return units
}
