package packing

import "slices"

// search looks for a set of items that leaves less of a bin than the greedy
// choice does: the first picks stand, and completions are tried in order of
// size, no item after a smaller one.
type search struct {
	*filler
	kinds    []candidate
	smallest []int64 // what is taken at least, by dimension
	tries    int
	kept     int // picks that stand
	least    int64
	best     []pick
}

type candidate struct {
	pick
	kind *kind
}

// improve replaces the last picks by better ones, if it finds any.
func (f *filler) improve() {
	kept := 1
	if f.Reopen > 0 {
		kept = max(1, len(f.picks)-f.Reopen)
	}
	if len(f.picks) <= kept || f.slack() == 0 {
		return
	}
	s := search{filler: f, tries: f.Tries, kept: kept, least: f.slack(), best: slices.Clone(f.picks)}
	for len(f.picks) > kept {
		f.giveBack()
	}
	s.collect()
	s.descend(0)
	for len(f.picks) > kept {
		f.giveBack()
	}
	for _, p := range s.best[kept:] {
		f.move(p.kind(), 1)
		f.picks = append(f.picks, p)
	}
}

// slack is the weight of what is free.
func (f *filler) slack() int64 {
	sum := int64(0)
	for d, n := range f.rest {
		sum += f.weight[d] * n
	}
	return sum
}

// collect lists what fits, the largest first.
func (s *search) collect() {
	s.smallest = make([]int64, s.dims)
	for _, st := range s.stacks {
		k := st.head()
		if k == nil || !fits(k.takes, s.free) {
			continue
		}
		for d, n := range k.takes {
			if len(s.kinds) == 0 || n < s.smallest[d] {
				s.smallest[d] = n
			}
		}
		s.kinds = append(s.kinds, candidate{pick{st, st.at}, k})
	}
	slices.SortStableFunc(s.kinds, func(a, b candidate) int { return int(b.kind.size - a.kind.size) })
}

// descend tries each candidate from the given one on, and what may go with it.
// It reports whether the search is over.
func (s *search) descend(from int) (over bool) {
	if s.tries--; s.tries < 0 {
		return true
	}
	for i := from; i < len(s.kinds); i++ {
		c := s.kinds[i]
		if c.kind.left == 0 || !fits(c.kind.takes, s.free) {
			continue
		}
		s.move(c.kind, 1)
		s.picks = append(s.picks, c.pick)
		if left := s.slack(); left < s.least || s.Late && left == s.least {
			s.least = left
			s.best = append(s.best[:0], s.picks...)
			over = left == 0 && !s.Late
		}
		if !over && fits(s.smallest, s.free) {
			over = s.descend(i)
		}
		s.picks = s.picks[:len(s.picks)-1]
		s.move(c.kind, -1)
		if over {
			return true
		}
	}
	return false
}
