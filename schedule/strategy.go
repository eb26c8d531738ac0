package schedule

import "fmt"

// Strategy says which of the machines that may take a unit does. Soft wishes of
// the unit come first, the strategy decides among equals, and then the least
// machine ID.
type Strategy int

const (
	// Balance takes the machine whose largest used share of a resource is
	// smallest after the placement, requests and estimates counted, then the
	// one with fewest units. As long as no unit asks for anything that is
	// LeastLoaded.
	Balance Strategy = iota
	// LeastLoaded takes the machine with fewest units, global ones included:
	// fleet's rule.
	LeastLoaded
	// Pack fills machines that are in use, and takes another only when none of
	// those can take the unit. Of the resources that the unit asks for, or
	// that are more than half used, it wants little left and evenly so: it
	// takes the machine with the least sum of the free shares after the
	// placement plus twice the difference of the largest and the smallest.
	// Global units do not make a machine used.
	Pack
)

// Options change how a plan is made. The zero Options are the recommended ones.
type Options struct {
	Strategy Strategy
	Effort   Effort
	// Preempt lets units for which there is no place have that of units of
	// lower priority, of so many in one plan as MaxVictims says; 0 means 100.
	Preempt    bool
	MaxVictims int
}

// Effort says how long to look for a good plan where looking longer helps: when
// Pack places many units at once.
type Effort int

const (
	// Normal tries several ways of placing a fresh batch, of 64 groups or more
	// and not few beside those that are placed, and keeps the one that uses the
	// fewest machines by their size.
	Normal Effort = iota
	// Fast places one group after the other.
	Fast
	// Thorough is Normal with ten times the search for each machine.
	Thorough
)

func (o Options) validate() error {
	switch o.Strategy {
	case Balance, LeastLoaded, Pack:
	default:
		return fmt.Errorf("unknown strategy %d", o.Strategy)
	}
	switch o.Effort {
	case Normal, Fast, Thorough:
	default:
		return fmt.Errorf("unknown effort %d", o.Effort)
	}
	return nil
}

// rank says how well a parcel would do in a slot; less is better.
type rank struct {
	value int64
	count int // of units, where the strategy looks at that
	slot  int // -1 for none at all
}

var nowhere = rank{slot: -1}

// before reports whether a machine ranks before another.
func (a rank) before(b rank) bool {
	switch {
	case b.slot < 0 || a.slot < 0:
		return a.slot >= 0
	case a.value != b.value:
		return a.value < b.value
	}
	return a.sooner(b)
}

// sooner reports whether a machine ranks before another of the same value.
func (a rank) sooner(b rank) bool {
	return a.count < b.count || a.count == b.count && a.slot < b.slot
}

// unusedMachine is more than any sum of shares, so that Pack leaves unused
// machines for last.
const unusedMachine = 1 << 40

// imbalance is the weight of an uneven rest in Pack.
const imbalance = 2

// rank ranks a slot for a parcel that takes the given shares there.
func (s *Scheduler) rank(slot int, coming []uint64) rank {
	taken := s.ledger.sharesIn(slot)[:len(coming)]
	switch s.scoring {
	case Balance:
		return rank{dominantAfter(taken, coming), s.counts.of(slot), slot}
	case Pack:
		value := restAfter(taken, coming)
		if !s.inhabited(slot) {
			value += unusedMachine
		}
		return rank{value, 0, slot}
	default:
		return rank{0, s.counts.of(slot), slot}
	}
}
