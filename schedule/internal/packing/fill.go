package packing

// Problem is items to be put into bins.
type Problem struct {
	// Items has what each item takes, by dimension. None is negative.
	Items [][]int64
	// Bins has what each bin has free, by dimension, in the order in which they
	// are to be filled.
	Bins [][]int64
	// Coarse: of items of about the same size only the largest is considered at
	// a time. A choice then takes no longer with more items.
	Coarse bool
	// Reopen is how many of the last choices for a bin the search may take
	// back; -1 for all but the first. With 0 there is no search.
	Reopen int
	// Tries bounds the sets of items that the search begins with for each bin.
	Tries int
	// Late: of sets that leave the same the last one found is taken, which has
	// items of about one size where the first has large and small ones.
	Late bool
}

// Fill returns the bin of each item, -1 for none. It fills one bin after the
// other, so that the last ones stay empty if they can. The same problem always
// has the same answer.
//
//	stacks  of kinds of items, the largest first
//	   |    choose: the largest, then what leaves least
//	   v
//	picks   for the bin that is being filled
//	   |    improve: take back the last ones, look for a better set
//	   v
//	bin     of each item
func (p Problem) Fill() []int {
	f := newFiller(p)
	if f.dims == 0 {
		return f.bin
	}
	for bin := range p.Bins {
		if f.left == 0 {
			break
		}
		f.fill(bin)
	}
	return f.bin
}

// filler is the state of a Fill.
type filler struct {
	Problem
	dims   int
	stacks []*stack
	left   int // items
	bin    []int

	scale  []int64 // what the largest bin has, by dimension
	demand []int64 // of the items left, in norm
	weight []int64 // of each dimension, for the bin that is being filled

	// Of the bin that is being filled.
	free  []int64
	rest  []int64 // free in norm
	picks []pick
}

// kind is items that are equal. Those that are in no bin are left.
type kind struct {
	takes []int64
	norm  []int64 // in parts of the largest bin
	size  int64   // the sum of norm
	items []int
	left  int
}

// stack is kinds of about the same size, the largest first. Those before at
// have no items left.
type stack struct {
	kinds []*kind
	at    int
}

type pick struct {
	stack *stack
	at    int
}

func (p pick) kind() *kind { return p.stack.kinds[p.at] }

// head is the largest kind with items left, nil for none.
func (s *stack) head() *kind {
	for s.at < len(s.kinds) && s.kinds[s.at].left == 0 {
		s.at++
	}
	if s.at == len(s.kinds) {
		return nil
	}
	return s.kinds[s.at]
}

// fill puts items into a bin.
func (f *filler) fill(bin int) {
	copy(f.free, f.Bins[bin])
	for d, n := range f.free {
		f.rest[d] = norm(n, f.scale[d])
	}
	f.weigh()
	f.picks = f.picks[:0]
	f.takeAll()
	if f.Reopen != 0 {
		f.improve()
		f.takeAll()
	}
	for _, p := range f.picks {
		k := p.kind()
		last := len(k.items) - 1
		f.bin[k.items[last]] = bin
		k.items = k.items[:last]
	}
	f.stacks = compact(f.stacks)
}

// takeAll puts items into the bin until no more are chosen.
func (f *filler) takeAll() {
	for s := f.choose(); s != nil; s = f.choose() {
		f.take(s)
	}
}

// compact drops the stacks that have no items left.
func compact(stacks []*stack) []*stack {
	n := 0
	for _, s := range stacks {
		if s.head() != nil {
			stacks[n] = s
			n++
		}
	}
	return stacks[:n]
}

// weigh weighs each dimension by what is still in demand of it.
func (f *filler) weigh() {
	sum := int64(1)
	for _, n := range f.demand {
		sum += n
	}
	for d, n := range f.demand {
		f.weight[d] = n * 256 / sum
	}
}

// choose returns the stack whose head goes into the bin next, nil for none: the
// largest first, then what leaves the least weighted square.
func (f *filler) choose() *stack {
	var best *stack
	least := int64(-1)
	for _, s := range f.stacks {
		k := s.head()
		if k == nil || !fits(k.takes, f.free) {
			continue
		}
		if len(f.picks) == 0 {
			if best == nil || k.size > least {
				best, least = s, k.size
			}
			continue
		}
		left := int64(0)
		for d, n := range k.norm {
			rest := f.rest[d] - n
			left += f.weight[d] * rest * rest
		}
		if best == nil || left < least {
			best, least = s, left
		}
	}
	return best
}

func fits(takes, free []int64) bool {
	for d, n := range takes {
		if n > free[d] {
			return false
		}
	}
	return true
}

// take puts an item of a stack's head into the bin.
func (f *filler) take(s *stack) {
	k := s.head()
	f.move(k, 1)
	f.picks = append(f.picks, pick{s, s.at})
}

// giveBack takes the last item out of the bin.
func (f *filler) giveBack() {
	last := len(f.picks) - 1
	p := f.picks[last]
	f.picks = f.picks[:last]
	f.move(p.kind(), -1)
	p.stack.at = min(p.stack.at, p.at)
}

// move puts n items of a kind into the bin.
func (f *filler) move(k *kind, n int) {
	k.left -= n
	f.left -= n
	for d := range k.takes {
		f.free[d] -= int64(n) * k.takes[d]
		f.rest[d] -= int64(n) * k.norm[d]
		f.demand[d] -= int64(n) * k.norm[d]
	}
}
