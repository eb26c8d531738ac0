package schedule

import (
	"cmp"
	"slices"
)

// steps turns units that moved, sorted by name, into steps with waves.
func (s *Scheduler) steps(moved []*unit) []Step {
	if len(moved) == 0 {
		return nil
	}
	steps := make([]Step, len(moved))
	w := waves{sched: s, steps: steps, units: moved, leaving: map[string][]int{}, coming: map[string][]int{}, parts: map[int32][]int{}}
	for i, u := range moved {
		steps[i] = Step{Unit: u.name, From: u.from, To: u.bound, Cause: u.cause, By: u.by}
		if u.bound != "" && !u.modest {
			steps[i].Ports = u.spec.Given
		}
		if u.from != "" {
			w.leaving[u.from] = append(w.leaving[u.from], i)
		}
	}
	w.assign()
	if byWave := func(a, b Step) int { return cmp.Compare(a.Wave, b.Wave) }; !slices.IsSortedFunc(steps, byWave) {
		slices.SortStableFunc(steps, byWave)
	}
	return steps
}

// waves assigns steps to waves. Units that are placed together make a part, and
// go in one wave: the first in which their machine has room for them, with all
// counted that has not left it by then, and what must not meet them gone.
//
//	wave 0: what leaves for nowhere, and parts that need not wait
//	wave 1: parts that waited for what left in wave 0
//	...
//
// If all that is left waits in a ring, one of the ring has to stop first: it
// counts as gone from the beginning.
type waves struct {
	sched   *Scheduler
	steps   []Step
	units   []*unit          // of the steps
	parts   map[int32][]int  // steps by part
	order   []int32          // parts that are to be assigned, by name
	leaving map[string][]int // steps whose unit is still on From
	coming  map[string][]int // steps whose unit is not yet on To
}

// add has a step wait for what leaves its machine; if nothing does it need not,
// and the answer is false.
func (w *waves) add(i int) bool {
	step := &w.steps[i]
	if len(w.leaving) == 0 || len(w.leaving[step.To]) == 0 {
		return false
	}
	w.coming[step.To] = append(w.coming[step.To], i)
	part := w.units[i].part
	if w.parts[part] == nil {
		w.order = append(w.order, part)
	}
	w.parts[part] = append(w.parts[part], i)
	return true
}

func (w *waves) assign() {
	var left []int // in the wave before
	for i := range w.steps {
		if w.steps[i].To == "" || !w.add(i) && w.steps[i].From != "" {
			left = append(left, i)
		}
	}
	for wave := 0; len(w.order) > 0; wave++ {
		for {
			went := w.send(wave)
			left = append(left, went...)
			if len(left) > 0 {
				break
			}
			w.breakRing()
		}
		for _, i := range left {
			w.depart(i)
		}
		left = nil
	}
}

// send lets the parts that can go in a wave, and returns their steps.
func (w *waves) send(wave int) (went []int) {
	waiting := w.order[:0:0]
	for _, part := range w.order {
		if w.blocker(part) >= 0 {
			waiting = append(waiting, part)
			continue
		}
		for _, i := range w.parts[part] {
			w.steps[i].Wave = wave
			drop(w.coming, w.steps[i].To, i)
		}
		went = append(went, w.parts[part]...)
	}
	w.order = waiting
	return went
}

// depart takes the unit of a step from where it was.
func (w *waves) depart(i int) { drop(w.leaving, w.steps[i].From, i) }

func drop(from map[string][]int, id string, i int) {
	from[id] = slices.DeleteFunc(from[id], func(j int) bool { return j == i })
}

// breakRing follows who waits for whom until it comes to a part again, and has
// the unit that is waited for there stop first.
func (w *waves) breakRing() {
	part := w.order[0]
	seen := map[int32]bool{}
	for {
		seen[part] = true
		i := w.blocker(part)
		if part = w.units[i].part; seen[part] {
			w.steps[i].StopFirst = true
			w.depart(i)
			return
		}
	}
}

// blocker returns a step whose unit has to leave before a part can come, -1 for
// none.
func (w *waves) blocker(part int32) int {
	id := w.steps[w.parts[part][0]].To
	leaving := w.leaving[id]
	if len(leaving) == 0 {
		return -1
	}
	for _, i := range w.parts[part] {
		for _, j := range leaving {
			if w.units[i].mustNotMeet(w.units[j]) {
				return j
			}
		}
	}
	return w.lackOfRoom(part, id)
}

// lackOfRoom returns a step whose unit takes what a part needs, -1 if there is
// enough for both. The machine has room for all that is there in the end, so
// there is too little only if what leaves takes more than what is yet to come.
func (w *waves) lackOfRoom(part int32, id string) int {
	s := w.sched
	slot := s.slots[id]
	leaving := w.unitsOf(w.leaving[id], func(i int) bool { return true })
	coming := w.unitsOf(w.coming[id], func(i int) bool { return w.units[i].part != part })
	group := w.unitsOf(w.parts[part], func(i int) bool { return true })
	out, in, q := s.parcelOf(leaving), s.parcelOf(coming), s.parcelOf(group)
	short := make([]int64, len(q.requested))
	any := false
	for r, n := range q.requested {
		short[r] = out.requested[r] - in.requested[r] - s.ledger.free[slot*s.ledger.width+r]
		any = any || n > 0 && short[r] > 0
	}
	m := s.machines[slot]
	ranged := m.ranged + m.rangedByAll(leaving) - m.rangedByAll(coming)
	for k, i := range w.leaving[id] {
		u := leaving[k]
		switch {
		case any && s.hasPart(u, short):
			return i
		case ranged > m.rangeSize() && u.ranges(m) && slices.ContainsFunc(group, func(v *unit) bool { return v.ranges(m) }):
			return i
		case slices.ContainsFunc(group, func(v *unit) bool { return v.team != nil && v.team == u.team }) && u.team.over(slot, leaving, coming):
			return i
		}
	}
	return -1
}

func (w *waves) unitsOf(steps []int, is func(i int) bool) []*unit {
	var units []*unit
	for _, i := range steps {
		if is(i) {
			units = append(units, w.units[i])
		}
	}
	return units
}

// over reports whether too many of a team share a slot while some are still
// there and others are yet to come.
func (t *team) over(slot int, leaving, coming []*unit) bool {
	n := t.at.at(slot)
	for _, u := range leaving {
		if u.team == t {
			n++
		}
	}
	for _, u := range coming {
		if u.team == t {
			n--
		}
	}
	return len(t.limits) > 0 && n > t.limit()
}

// mustNotMeet reports whether u may not come to a machine while v is there.
func (u *unit) mustNotMeet(v *unit) bool {
	was := *v.spec
	was.Given = v.had
	return u.conflictsWith(v) || slices.Contains(u.oustedBy, v) || u.spec.sharesPort(&was)
}
