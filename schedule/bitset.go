package schedule

import (
	"iter"
	"math/bits"
)

// bitset is a set of machine slots. Words beyond its length count as empty, so
// sets of different lengths mix.
type bitset []uint64

func (b *bitset) set(i int) {
	for len(*b) <= i/64 {
		*b = append(*b, 0)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

func (b bitset) clear(i int) {
	if i/64 < len(b) {
		b[i/64] &^= 1 << (i % 64)
	}
}

func (b bitset) has(i int) bool { return i/64 < len(b) && b[i/64]>>(i%64)&1 != 0 }

// put makes i a member, or not.
func (b *bitset) put(i int, in bool) {
	if in {
		b.set(i)
	} else {
		b.clear(i)
	}
}

// or adds what o has.
func (b *bitset) or(o bitset) {
	if len(*b) < len(o) {
		*b = append(*b, make([]uint64, len(o)-len(*b))...)
	}
	for i, w := range o {
		(*b)[i] |= w
	}
}

// meets reports whether b and o have a member in common.
func (b bitset) meets(o bitset) bool {
	for i := range min(len(b), len(o)) {
		if b[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// and keeps what o has too.
func (b bitset) and(o bitset) {
	n := min(len(b), len(o))
	for i := range n {
		b[i] &= o[i]
	}
	clear(b[n:])
}

// andNot drops what o has.
func (b bitset) andNot(o bitset) {
	for i := range min(len(b), len(o)) {
		b[i] &^= o[i]
	}
}

// keep drops all but i.
func (b bitset) keep(i int) {
	had := b.has(i)
	clear(b)
	if had {
		b.set(i)
	}
}

// keepRange drops all but those from first to before last.
func (b bitset) keepRange(first, last int) {
	for i := range b.all {
		if i < first || i >= last {
			b.clear(i)
		}
	}
}

func (b bitset) empty() bool {
	for _, w := range b {
		if w != 0 {
			return false
		}
	}
	return true
}

// moreThan reports whether there are more than n members.
func (b bitset) moreThan(n int) bool {
	for _, w := range b {
		if n -= bits.OnesCount64(w); n < 0 {
			return true
		}
	}
	return false
}

func (b bitset) count() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// allWith yields the members that o has too, in order.
func (b bitset) allWith(o bitset) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range min(len(b), len(o)) {
			for w := b[i] & o[i]; w != 0; w &= w - 1 {
				if !yield(i*64 + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}

// all yields the members in order. The set may be changed meanwhile; what is
// added in the word being read is missed.
func (b bitset) all(yield func(int) bool) {
	for i := range b {
		for w := b[i]; w != 0; w &= w - 1 {
			if !yield(i*64 + bits.TrailingZeros64(w)) {
				return
			}
		}
	}
}

// copyTo puts a copy of b into buf's memory, if that is large enough.
func (b bitset) copyTo(buf bitset) bitset { return append(buf[:0], b...) }
