package schedule

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
)

// Candidate is a machine that may take a unit, with what makes it better or
// worse than others, in the order in which that is compared.
type Candidate struct {
	Machine string `json:"machine"`
	// Uneven counts the units of the spread group in the machine's domains, the
	// widest first, for a unit that is to be spread as evenly as can be; none
	// for a machine without a domain, which comes last.
	Uneven []int `json:"uneven,omitempty"`
	// SoftConflicts counts the units there to be avoided; fewer are better.
	SoftConflicts int `json:"softConflicts,omitempty"`
	// Preference is the weight of the preferences that are met; more is better.
	Preference int `json:"preference,omitempty"`
	// Score is the strategy's, in 1/2048 of capacity, and Units the number of
	// units there, if the strategy looks at that; less is better. For Pack, a
	// machine that is not in use comes after those that are.
	Score int64 `json:"score"`
	Units int   `json:"units"`
}

// String is one line, without what does not matter: "m1: uneven [1 0], score 512,
// 3 units".
func (c Candidate) String() string {
	s := c.Machine + ": "
	if c.Uneven != nil {
		s += fmt.Sprintf("uneven %d, ", c.Uneven)
	}
	if c.SoftConflicts != 0 {
		s += fmt.Sprintf("soft conflicts %d, ", c.SoftConflicts)
	}
	if c.Preference != 0 {
		s += fmt.Sprintf("preference %d, ", c.Preference)
	}
	return s + fmt.Sprintf("score %d, %d units", c.Score, c.Units)
}

// Why returns the machines that may take a unit, the best first, as if it were
// nowhere and all else where it is. Where the unit has a place and another
// machine comes first, things have changed since it was placed. It is nil for a
// unit that is unknown, inactive or global.
func (s *Scheduler) Why(unit string) []Candidate {
	u := s.units.named(unit)
	if u == nil || !u.active() || u.spec.Global {
		return nil
	}
	s.link()
	restore := s.stepAside(u)
	defer restore()
	mask := s.alive.copyTo(nil)
	for _, v := range s.verdictsAside(u) {
		mask.and(v.pass)
	}
	s.ledger.reset(&s.parcel)
	s.ledger.addUnit(&s.parcel, u, 1)
	var out []Candidate
	for slot := range mask.all {
		s.shares = s.ledger.sharesOf(&s.parcel, s.ledger.nominal[slot*s.ledger.width:], s.shares)
		r := s.rank(slot, s.shares)
		out = append(out, Candidate{
			Machine:       s.machines[slot].ID,
			Uneven:        u.unevenAt(slot),
			SoftConflicts: u.softConflictsAt(slot),
			Preference:    u.preferenceAt(slot),
			Score:         r.value,
			Units:         r.count,
		})
	}
	spread := len(u.spreads) > 0 && u.spec.Spread.MaxSkew == 0
	slices.SortStableFunc(out, func(a, b Candidate) int {
		homeless := 0
		if spread {
			homeless = cmp.Compare(len(b.Uneven), len(a.Uneven))
		}
		return cmp.Or(
			homeless, slices.Compare(a.Uneven, b.Uneven),
			cmp.Compare(a.SoftConflicts, b.SoftConflicts), cmp.Compare(b.Preference, a.Preference),
			cmp.Compare(a.Score, b.Score), cmp.Compare(a.Units, b.Units),
		)
	})
	return out
}

// unevenAt counts the unit's team in the domains of a slot, for a soft spread.
func (u *unit) unevenAt(slot int) []int {
	if u.spec.Spread.MaxSkew > 0 {
		return nil
	}
	var counts []int
	for _, sp := range u.spreads {
		d := sp.topology.of[slot]
		if d < 0 {
			return nil
		}
		counts = append(counts, sp.count(d))
	}
	return counts
}

// Explain is the function Explain for the cluster as the Scheduler has it, after
// the last plan.
func (s *Scheduler) Explain(unit string) (Explanation, error) {
	u := s.units.named(unit)
	if u == nil || !u.known {
		return Explanation{}, fmt.Errorf("unit %q is not in the cluster", unit)
	}
	s.link()
	return s.explainFully(u), nil
}

// WhyNot is the function WhyNot for the cluster as the Scheduler has it, after
// the last plan.
func (s *Scheduler) WhyNot(unit, machine string) []Reason {
	u := s.units.named(unit)
	switch slot, ok := s.slots[machine]; {
	case u == nil || !u.known:
		return []Reason{{Code: CodeUnknown}}
	case !u.active():
		return []Reason{{Code: CodeInactive}}
	case !ok || !s.alive.has(slot):
		return []Reason{{CodeMachineLost, machine + " is not in the cluster"}}
	default:
		s.link()
		restore := s.stepAside(u)
		defer restore()
		var out []Reason
		for _, v := range s.verdictsAside(u) {
			if !v.pass.has(slot) {
				out = append(out, s.reason(u, v.code, []int{slot}))
			}
		}
		return out
	}
}

// All yields units and the machines they are placed on, by name of the unit.
func (s *Scheduler) All() iter.Seq2[string, string] {
	return func(yield func(unit, machine string) bool) {
		for _, name := range slices.Sorted(maps.Keys(s.units.index())) {
			if id := s.units.named(name).bound; id != "" && !yield(name, id) {
				return
			}
		}
	}
}

// Clone returns a Scheduler for the same cluster, that goes its own way: to see
// what a change would lead to. It costs as much as Reset.
func (s *Scheduler) Clone() *Scheduler {
	c := &Scheduler{opts: s.opts}
	if err := c.rebuild(s.cluster()); err != nil {
		panic(err) // of what has been accepted
	}
	return c
}
