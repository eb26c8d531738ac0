package schedule

import (
	"path"
	"slices"
	"strings"
)

// patterns holds each distinct glob once, and finds those that match a name
// without trying all: a pattern is filed under its literal prefix, and a name
// looks under each prefix of its own.
//
//	"web@*.service"  filed under "web@"
//	"web@1.service"  looks under "", "w", "we", "web", "web@", "web@1", ...
//
// Lengths that no pattern has are skipped.
type patterns struct {
	byText   map[string]*pattern
	byPrefix map[string][]*pattern
	lengths  []int // of the prefixes on file, ascending
}

// pattern is a glob and where it matters.
type pattern struct {
	text   string
	prefix string // what every name that matches begins with
	refs   int    // units that carry it
	// matching counts units on a machine whose names match, carrying those
	// that carry the pattern. Both count what holds a place, globals included.
	matching, carrying tally
}

func newPatterns() patterns {
	return patterns{byText: map[string]*pattern{}, byPrefix: map[string][]*pattern{}}
}

// any reports whether there is any pattern.
func (t *patterns) any() bool { return len(t.byText) > 0 }

// use returns the pattern with the given text, one reference more, and whether
// it is new, so that the names that match it have yet to be found.
func (t *patterns) use(text string) (p *pattern, isNew bool) {
	if p = t.byText[text]; p != nil {
		p.refs++
		return p, false
	}
	p = &pattern{text: text, prefix: literalPrefix(text), refs: 1}
	t.byText[text] = p
	t.byPrefix[p.prefix] = append(t.byPrefix[p.prefix], p)
	if i, ok := slices.BinarySearch(t.lengths, len(p.prefix)); !ok {
		t.lengths = slices.Insert(t.lengths, i, len(p.prefix))
	}
	return p, true
}

// match returns the patterns that match name.
func (t *patterns) match(name string) []*pattern {
	var found []*pattern
	for _, n := range t.lengths {
		if n > len(name) {
			break
		}
		for _, p := range t.byPrefix[name[:n]] {
			if p.matches(name) {
				found = append(found, p)
			}
		}
	}
	return found
}

func literalPrefix(glob string) string {
	if i := strings.IndexAny(glob, `*?[\`); i >= 0 {
		return glob[:i]
	}
	return glob
}

// inUse reports whether a unit carries the pattern.
func (p *pattern) inUse() bool { return p.refs > 0 }

func (p *pattern) matches(name string) bool {
	ok, err := path.Match(p.text, name)
	return ok && err == nil
}

// tally counts units by machine slot. Most patterns concern few machines; only
// one that concerns many is given a map and a bitset.
type tally struct {
	few  []spot
	many map[int]int
	bits bitset // the slots of many
}

type spot struct{ slot, n int }

const fewSpots = 16

func (t *tally) add(slot, n int) {
	if t.many != nil {
		if t.many[slot] += n; t.many[slot] == 0 {
			delete(t.many, slot)
			t.bits.clear(slot)
		} else {
			t.bits.set(slot)
		}
		return
	}
	for i := range t.few {
		if t.few[i].slot != slot {
			continue
		}
		if t.few[i].n += n; t.few[i].n == 0 {
			last := len(t.few) - 1
			t.few[i] = t.few[last]
			t.few = t.few[:last]
		}
		return
	}
	t.few = append(t.few, spot{slot, n})
	if len(t.few) > fewSpots {
		t.many = make(map[int]int, 2*fewSpots)
		for _, s := range t.few {
			t.many[s.slot] = s.n
			t.bits.set(s.slot)
		}
		t.few = nil
	}
}

func (t *tally) empty() bool { return len(t.few) == 0 && len(t.many) == 0 }

// slots yields the slots with a count that is not zero, in no order.
func (t *tally) slots(yield func(slot int) bool) {
	for _, s := range t.few {
		if !yield(s.slot) {
			return
		}
	}
	for slot := range t.many {
		if !yield(slot) {
			return
		}
	}
}

func (t *tally) at(slot int) int {
	if t.many != nil {
		return t.many[slot]
	}
	for _, s := range t.few {
		if s.slot == slot {
			return s.n
		}
	}
	return 0
}

// clearFrom drops the tally's slots from mask.
func (t *tally) clearFrom(mask bitset) {
	if t.many != nil {
		mask.andNot(t.bits)
		return
	}
	for _, s := range t.few {
		mask.clear(s.slot)
	}
}
