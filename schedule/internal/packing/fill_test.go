package packing_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/strakeproject/strake/schedule/internal/packing"
)

func TestNoBinHoldsMoreThanItHasAndNoItemIsLeftThatFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dims := rapid.IntRange(1, 4).Draw(t, "dims")
		vector := rapid.SliceOfN(rapid.Int64Range(0, 20), dims, dims)
		p := packing.Problem{
			Items:  rapid.SliceOfN(vector, 0, 30).Draw(t, "items"),
			Bins:   rapid.SliceOfN(rapid.SliceOfN(rapid.Int64Range(0, 40), dims, dims), 0, 8).Draw(t, "bins"),
			Coarse: rapid.Bool().Draw(t, "coarse"),
			Reopen: rapid.IntRange(-1, 3).Draw(t, "reopen"),
			Tries:  rapid.IntRange(0, 50).Draw(t, "tries"),
		}
		free := make([][]int64, len(p.Bins))
		for i := range free {
			free[i] = append(free[i], p.Bins[i]...)
		}
		bins := p.Fill()
		for item, bin := range bins {
			for d := range dims {
				if bin >= 0 {
					free[bin][d] -= p.Items[item][d]
				}
			}
		}
		for bin := range free {
			for d, n := range free[bin] {
				if n < 0 {
					t.Errorf("bin %d has %d too little of dimension %d", bin, -n, d)
				}
			}
		}
		for item, bin := range bins {
			for other := range free {
				fits := bin < 0 && !p.Coarse
				for d, n := range p.Items[item] {
					fits = fits && n <= free[other][d]
				}
				if fits {
					t.Errorf("item %d is left, but fits into bin %d", item, other)
				}
			}
		}
		if t.Failed() {
			t.Logf("%+v\n%v", p, bins)
		}
	})
}

// Big, middle and small ones that fill bins only by threes, and only the right
// threes: greedy choices alone miss them.
func TestTheSearchFindsWhatFitsExactly(t *testing.T) {
	p := packing.Problem{
		Items: [][]int64{{450}, {300}, {250}, {420}, {310}, {270}, {400}, {320}, {280}},
		Bins:  [][]int64{{1000}, {1000}, {1000}, {1000}},
	}
	used := func() int {
		bins := map[int]bool{}
		for _, bin := range p.Fill() {
			bins[bin] = true
		}
		return len(bins)
	}
	greedy := used()
	p.Reopen, p.Tries = -1, 100
	if searched := used(); greedy <= 3 || searched != 3 {
		t.Errorf("greedy uses %d bins, the search %d, want more than 3 and 3", greedy, searched)
	}
}
