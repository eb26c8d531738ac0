package packing

import (
	"cmp"
	"math/bits"
	"slices"
)

// whole is what the largest bin has of each dimension, in norm.
const whole = 1 << 14

// norm is an amount in parts of a whole.
func norm(n, scale int64) int64 {
	if scale == 0 {
		return 0
	}
	if n >= scale {
		return whole
	}
	hi, lo := bits.Mul64(uint64(n), whole)
	q, _ := bits.Div64(hi, lo, uint64(scale))
	return int64(q)
}

func newFiller(p Problem) *filler {
	f := &filler{Problem: p, bin: make([]int, len(p.Items)), left: len(p.Items)}
	for i := range f.bin {
		f.bin[i] = -1
	}
	if len(p.Bins) == 0 || len(p.Items) == 0 {
		return f
	}
	f.dims = len(p.Bins[0])
	for _, v := range []*[]int64{&f.scale, &f.demand, &f.weight, &f.free, &f.rest} {
		*v = make([]int64, f.dims)
	}
	for _, bin := range p.Bins {
		for d, n := range bin {
			f.scale[d] = max(f.scale[d], n)
		}
	}
	f.stacks = f.stack(f.sort())
	return f
}

// sort makes kinds of the items, the largest first.
func (f *filler) sort() []*kind {
	order := make([]int, len(f.Items))
	for i := range order {
		order[i] = i
	}
	norms := make([]int64, len(f.Items)*f.dims)
	size := make([]int64, len(f.Items))
	for i, item := range f.Items {
		for d, n := range item {
			q := norm(n, f.scale[d])
			norms[i*f.dims+d] = q
			size[i] += q
			f.demand[d] += q
		}
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(size[j], size[i]), slices.Compare(f.Items[i], f.Items[j]), cmp.Compare(i, j))
	})
	var kinds []*kind
	for _, i := range order {
		last := len(kinds) - 1
		if last < 0 || !slices.Equal(kinds[last].takes, f.Items[i]) {
			kinds = append(kinds, &kind{takes: f.Items[i], norm: norms[i*f.dims : (i+1)*f.dims], size: size[i]})
			last++
		}
		kinds[last].items = append(kinds[last].items, i)
		kinds[last].left++
	}
	for _, k := range kinds {
		slices.Reverse(k.items)
	}
	return kinds
}

// stack makes a stack of each kind, or, if coarse, of those whose two largest
// dimensions are in the same half octaves.
func (f *filler) stack(kinds []*kind) []*stack {
	var stacks []*stack
	if !f.Coarse {
		for i := range kinds {
			stacks = append(stacks, &stack{kinds: kinds[i : i+1]})
		}
		return stacks
	}
	x, y := f.mostWanted()
	byKey := map[[2]int]*stack{}
	for _, k := range kinds {
		key := [2]int{halfOctave(k.norm[x]), halfOctave(k.norm[y])}
		s := byKey[key]
		if s == nil {
			s = &stack{}
			byKey[key] = s
			stacks = append(stacks, s)
		}
		s.kinds = append(s.kinds, k)
	}
	return stacks
}

// mostWanted returns the two dimensions most in demand.
func (f *filler) mostWanted() (x, y int) {
	order := make([]int, f.dims)
	for d := range order {
		order[d] = d
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(f.demand[b], f.demand[a]) })
	return order[0], order[min(1, f.dims-1)]
}

// halfOctave numbers ranges, each from some number to about 1.4 times that.
func halfOctave(n int64) int {
	if n < 2 {
		return int(n)
	}
	k := bits.Len64(uint64(n)) - 1 // the octave
	return 2*k + int(n>>(k-1)&1)
}
