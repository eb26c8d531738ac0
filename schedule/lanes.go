package schedule

import "math/bits"

// This file reckons with four shares at a time: small numbers, each in 16 bits
// of a word of which the highest is not used.

const (
	lanesPerWord = 4
	laneBits     = 16
	laneMask     = 1<<laneBits - 1
	laneOnes     = 0x0001_0001_0001_0001
	laneTops     = 0x8000 * laneOnes
	laneLimit    = 1<<(laneBits-1) - 1
	laneWholes   = wholeShare * laneOnes
)

// lane returns a number of those in words.
func lane(words []uint64, i int) int32 {
	return int32(words[i/lanesPerWord] >> (i % lanesPerWord * laneBits) & laneMask)
}

// setLane sets a number of those in words.
func setLane(words []uint64, i int, x int32) {
	at := i % lanesPerWord * laneBits
	w := &words[i/lanesPerWord]
	*w = *w&^(laneMask<<at) | uint64(x)<<at
}

// atLeast has all bits but the highest set in the lanes where a >= b.
func atLeast(a, b uint64) uint64 {
	m := ((a | laneTops) - b) & laneTops
	return m - m>>(laneBits-1)
}

// laneMax takes the larger number of each lane.
func laneMax(a, b uint64) uint64 { return b ^ (a^b)&atLeast(a, b) }

// laneMin takes the smaller number of each lane.
func laneMin(a, b uint64) uint64 { return a ^ (a^b)&atLeast(a, b) }

// largest is the largest number of a word.
func largest(a uint64) int32 {
	a = laneMax(a, a>>(2*laneBits))
	return int32(laneMax(a, a>>laneBits) & laneMask)
}

// smallest is the smallest number of a word.
func smallest(a uint64) int32 {
	a = laneMin(a, a>>(2*laneBits))
	return int32(laneMin(a, a>>laneBits) & laneMask)
}

// total is the sum of the numbers of a word, which is less than 1<<16.
func total(a uint64) int32 { return int32(a * laneOnes >> (3 * laneBits)) }

// positive has all bits but the highest set in the lanes that are not 0.
func positive(a uint64) uint64 { return atLeast(a, laneOnes) }

// limitOf is a limit for exceeds, of at most laneLimit.
func limitOf(x int32) uint64 { return uint64(x)*laneOnes | laneTops }

// beyond reports whether a number of a word exceeds a limit.
func beyond(a, limit uint64) bool { return (limit-a)&laneTops != laneTops }

// exceeds reports whether a share exceeds a limit when what comes is added to
// what is taken.
func exceeds(taken, coming []uint64, limit uint64) bool {
	for i, q := range coming {
		if beyond(taken[i]+q, limit) {
			return true
		}
	}
	return false
}

// dominantAfter is the largest share when what comes is added to what is taken.
func dominantAfter(taken, coming []uint64) int64 {
	most := uint64(0)
	for i, q := range coming {
		most = laneMax(most, taken[i]+q)
	}
	return int64(largest(most))
}

// restAfter weighs what is left when what comes is added to what is taken, of
// the resources that matter.
func restAfter(taken, coming []uint64) int64 {
	r := noRest
	for i, q := range coming {
		matter := positive(q) | atLeast(taken[i], laneOnes*(wholeShare/2+1))
		free := freeAfter(taken[i], q)
		r.add(free, free, matter)
	}
	return r.weight()
}

// restAtLeast is no more than restAfter for any machine whose shares, in the
// first word, are within bounds.
func restAtLeast(least, most, coming uint64) int64 {
	r := noRest
	r.add(freeAfter(most, coming), freeAfter(least, coming), positive(coming))
	return r.weight()
}

// freeAfter is what is free of each whole when what comes is added to what is
// taken.
func freeAfter(taken, coming uint64) uint64 {
	after := taken + coming
	return laneMax(laneWholes, after) - after
}

// rest sums up what is free.
type rest struct {
	sum, low, high int32
}

var noRest = rest{low: wholeShare}

// add adds the lanes that matter; least is no more than what is free, most no
// less.
func (r *rest) add(least, most, matter uint64) {
	least &= matter
	r.sum += total(least)
	r.low = min(r.low, smallest(most|^matter&^laneTops))
	r.high = max(r.high, largest(least))
}

// weight grows with what is free, and with how uneven that is.
func (r rest) weight() int64 { return int64(r.sum) + imbalance*int64(max(0, r.high-r.low)) }

// firstLargest returns the largest number, and the first lane that has it.
func firstLargest(words []uint64) (i int, most int32) {
	for at, w := range words {
		m := largest(w)
		if m <= most && at > 0 {
			continue
		}
		// The lanes that have it are those that are at least as large.
		has := atLeast(w, uint64(m)*laneOnes)
		i, most = at*lanesPerWord+bits.TrailingZeros64(has)/laneBits, m
	}
	return i, most
}
