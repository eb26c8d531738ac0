package schedule

import (
	"cmp"
	"slices"
	"strings"
)

// steps turns units that moved, sorted by name, into steps with waves. A unit
// must wait for another to leave the machine it goes to if the two conflict;
// units placed together wait together.
func (s *Scheduler) steps(moved []*unit) []Step {
	steps := make([]Step, len(moved))
	w := waves{steps: steps, units: moved, leaving: map[string][]int{}, parts: map[int][]int{}, wave: map[int]int{}, open: map[int]bool{}}
	for i, u := range moved {
		steps[i] = Step{Unit: u.name, From: u.from, To: u.bound, Cause: u.cause, By: u.by}
		if u.from != "" {
			w.leaving[u.from] = append(w.leaving[u.from], i)
		}
		if u.bound != "" {
			w.parts[u.part] = append(w.parts[u.part], i)
		}
	}
	for i := range steps {
		if steps[i].To != "" {
			steps[i].Wave = w.of(moved[i].part)
		}
	}
	slices.SortFunc(steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(a.Wave, b.Wave), strings.Compare(a.Unit, b.Unit))
	})
	return steps
}

// waves finds the wave of each part: a set of steps that place units together.
type waves struct {
	steps   []Step
	units   []*unit          // of the steps
	leaving map[string][]int // steps by From
	parts   map[int][]int    // steps by part
	wave    map[int]int      // found so far, by part
	open    map[int]bool     // parts being looked at
}

// of returns the wave of a part: one after the last of those it waits for.
func (w *waves) of(part int) int {
	if wave, ok := w.wave[part]; ok {
		return wave
	}
	w.open[part] = true
	wave := 0
	for _, i := range w.parts[part] {
		for _, j := range w.leaving[w.steps[i].To] {
			if !w.units[i].mustNotMeet(w.units[j]) {
				continue
			}
			next := w.units[j].part
			switch {
			case w.steps[j].To == "":
				wave = max(wave, 1)
			case w.open[next]: // a ring: this one goes ahead
				w.steps[j].StopFirst = true
			default:
				wave = max(wave, w.of(next)+1)
			}
		}
	}
	delete(w.open, part)
	w.wave[part] = wave
	return wave
}

// mustNotMeet reports whether u may not come to a machine while v is there.
func (u *unit) mustNotMeet(v *unit) bool {
	return u.conflictsWith(v) || slices.Contains(u.oustedBy, v)
}
