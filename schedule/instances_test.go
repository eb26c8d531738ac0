package schedule_test

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"testing"

	"github.com/strakeproject/strake/schedule"
)

// This file makes the instances of vector bin packing by which strategies are
// judged: the classes of the literature, from a generator that gives the same
// data everywhere.

// splitMix is the generator SplitMix64: the same numbers on every machine.
type splitMix uint64

func (s *splitMix) next() uint64 {
	*s += 0x9E3779B97F4A7C15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

func (s *splitMix) intn(n int) int { return int(s.next() % uint64(n)) }

// between returns a number from a to b, both included.
func (s *splitMix) between(a, b int) int { return a + s.intn(b-a+1) }

// pick returns i with a probability in proportion to weights[i].
func (s *splitMix) pick(weights ...int) int {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	k := s.intn(sum)
	for i, w := range weights {
		if k -= w; k < 0 {
			return i
		}
	}
	panic("unreachable")
}

func (s *splitMix) shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i >= 1; i-- {
		swap(i, s.intn(i+1))
	}
}

// octaves returns a number whose logarithm is about uniform.
func (s *splitMix) octaves(base, n int) int {
	k := s.intn(n)
	return base<<k + s.intn(base<<k)
}

// instance is a problem of packing items into bins of equal capacity.
type instance struct {
	capacity []int
	items    [][]int
}

func newInstance(capacity, dims, items int) instance {
	in := instance{capacity: slices.Repeat([]int{capacity}, dims), items: make([][]int, items)}
	for i := range in.items {
		in.items[i] = make([]int, dims)
	}
	return in
}

// uniform has n items of low to high.
func uniform(seed uint64, n, capacity, low, high int) instance {
	rng, in := splitMix(seed), newInstance(capacity, 1, n)
	for _, item := range in.items {
		item[0] = rng.between(low, high)
	}
	return in
}

// triplets fill bins of 1000 by threes, and only so (Falkenauer's T classes).
func triplets(seed uint64, n int) instance {
	rng, in := splitMix(seed), newInstance(1000, 1, n)
	for i := 0; i < n; i += 3 {
		big := rng.between(380, 490)
		rest := 1000 - big
		middle := rng.between(250, (rest-1)/2)
		in.items[i][0], in.items[i+1][0], in.items[i+2][0] = big, middle, rest-middle
	}
	in.shuffle(&rng)
	return in
}

func (in instance) shuffle(rng *splitMix) {
	rng.shuffle(len(in.items), func(i, j int) { in.items[i], in.items[j] = in.items[j], in.items[i] })
}

// planted cuts bins, each full in every dimension, into fewest to most pieces.
func planted(seed uint64, bins, dims, capacity, fewest, most int) instance {
	rng, in := splitMix(seed), newInstance(capacity, dims, 0)
	for range bins {
		k := rng.between(fewest, most)
		first := len(in.items)
		for range k {
			in.items = append(in.items, make([]int, dims))
		}
		for d := range dims {
			cuts := []int{0, capacity - k}
			for range k - 1 {
				cuts = append(cuts, rng.between(0, capacity-k))
			}
			slices.Sort(cuts)
			for i := range k {
				in.items[first+i][d] = cuts[i+1] - cuts[i] + 1
			}
		}
	}
	in.shuffle(&rng)
	return in
}

// capraraToth makes items of one of the classes of Caprara and Toth, widened to
// any number of dimensions.
func capraraToth(seed uint64, class, n, dims int) instance {
	independent := map[int][3]int{
		1: {1000, 100, 400}, 2: {1000, 1, 1000}, 3: {1000, 200, 800}, 4: {1000, 50, 200}, 5: {1000, 25, 100},
		6: {150, 20, 100}, 7: {150, 20, 100}, 8: {150, 20, 100},
	}
	p := independent[class]
	rng, in := splitMix(seed), newInstance(p[0], dims, n)
	for _, item := range in.items {
		item[0] = rng.between(p[1], p[2])
		for d := 1; d < dims; d++ {
			switch class {
			case 7:
				item[d] = rng.between(item[0]-10, item[0]+10)
			case 8:
				item[d] = rng.between(110-item[0], 130-item[0])
			default:
				item[d] = rng.between(p[1], p[2])
			}
		}
	}
	return in
}

// digest is FNV-1a over the numbers of dimensions and items, the capacities and
// the items.
func (in instance) digest() uint64 {
	h := fnv.New64a()
	write := func(n int) {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(n))
		h.Write(b[:])
	}
	write(len(in.capacity))
	write(len(in.items))
	for _, n := range slices.Concat(append([][]int{in.capacity}, in.items...)...) {
		write(n)
	}
	return h.Sum64()
}

// cluster has a unit for each item, and as many machines as units, all equal.
// Dimensions are CPU, memory, disk and a counter.
func (in instance) cluster() schedule.Cluster {
	resources := func(amounts []int) schedule.Resources {
		var r schedule.Resources
		for d, n := range amounts {
			switch d {
			case 0:
				r.CPU = int64(n)
			case 1:
				r.Memory = int64(n)
			case 2:
				r.Disk = int64(n)
			default:
				if r.Counters == nil {
					r.Counters = map[string]int64{}
				}
				r.Counters[fmt.Sprintf("d%d", d)] = int64(n)
			}
		}
		return r
	}
	c := schedule.Cluster{Placed: map[string]string{}}
	room := resources(in.capacity)
	for i, item := range in.items {
		c.Machines = append(c.Machines, schedule.Machine{ID: fmt.Sprintf("m%05d", i), Capacity: &room})
		c.Units = append(c.Units, schedule.Unit{Name: fmt.Sprintf("u%05d.service", i), Active: true, Request: resources(item)})
	}
	return c
}

const (
	gib = int64(1) << 30
	mib = int64(1) << 20
)

// shapes are kinds of machines, as in Google's cell of 2011.
var shapes = []schedule.Resources{
	{CPU: 32000, Memory: 64 * gib, Disk: 1024 * gib, Counters: map[string]int64{"slots": 100}},
	{CPU: 32000, Memory: 32 * gib, Disk: 1024 * gib, Counters: map[string]int64{"slots": 100}},
	{CPU: 32000, Memory: 96 * gib, Disk: 1024 * gib, Counters: map[string]int64{"slots": 100}},
	{CPU: 64000, Memory: 128 * gib, Disk: 2048 * gib, Counters: map[string]int64{"slots": 200}},
	{CPU: 16000, Memory: 32 * gib, Disk: 512 * gib, Counters: map[string]int64{"slots": 50}},
}

// machinesOf makes n machines: of the first shape if equal, else of all.
func machinesOf(seed uint64, n int, equal bool) []schedule.Machine {
	rng := splitMix(seed)
	machines := make([]schedule.Machine, n)
	for i := range machines {
		shape := &shapes[rng.pick(53, 31, 8, 6, 2)]
		rng.intn(5)
		if equal {
			shape = &shapes[0]
		}
		machines[i] = schedule.Machine{ID: fmt.Sprintf("m%05d", i), Capacity: shape}
	}
	return machines
}

// unitsOf makes n units that request what one of the given number of classes
// does, or, if that is 0, each something of its own.
func unitsOf(seed uint64, n, classes int) []schedule.Unit {
	rng := splitMix(seed)
	kinds := make([]schedule.Resources, classes)
	for i := range kinds {
		kinds[i] = rng.request()
	}
	units := make([]schedule.Unit, n)
	for i := range units {
		units[i] = schedule.Unit{Name: fmt.Sprintf("u%06d.service", i), Active: true}
		if classes > 0 {
			units[i].Request = kinds[rng.intn(classes)]
		} else {
			units[i].Request = rng.request()
		}
	}
	return units
}

func (s *splitMix) request() schedule.Resources {
	r := schedule.Resources{CPU: int64(s.octaves(50, 7)), Memory: int64(s.octaves(64, 7)) * mib}
	if s.intn(2) == 0 {
		r.Memory = r.CPU * int64(s.between(1, 4)) * mib
	}
	r.Disk = int64(s.between(0, 8)) * gib
	r.Counters = map[string]int64{"slots": 1}
	return r
}

// packingSet is a row of the comparison.
type packingSet struct {
	name   string
	seed   uint64 // of the first instance, beyond the base
	count  int
	make   func(seed uint64) instance
	digest uint64 // of the instances of base 1000
	bound  int    // no packing of the whole set uses fewer machines
	accept int    // what Pack has to reach
	short  int    // what Pack has to reach for the first instance
}

var packingSets = []packingSet{
	{"u1000", 100, 20, func(s uint64) instance { return uniform(s, 1000, 150, 20, 100) }, 0x827a509c6d739219, 8015, 8039, 404},
	{"uniform 500, 1..100 of 100", 150, 20, func(s uint64) instance { return uniform(s, 500, 100, 1, 100) }, 0x31a0137ebe2d9a42, 5180, 5200, 262},
	{"t501", 200, 20, func(s uint64) instance { return triplets(s, 501) }, 0xfb45e522e1aa5023, 3340, 3406, 170},
	{"t120", 220, 20, func(s uint64) instance { return triplets(s, 120) }, 0xae52d2ac8daa2986, 800, 825, 41},
	{"schwerin 120", 300, 40, func(s uint64) instance { return uniform(s, 120, 1000, 150, 200) }, 0x5f8d2cda59877cc8, 864, 890, 22},
	{"planted 200, 2-d", 400, 10, func(s uint64) instance { return planted(s, 200, 2, 1000, 3, 8) }, 0x4eb0fe05bde8dd22, 2000, 2015, 201},
	{"planted 200, 3-d", 410, 10, func(s uint64) instance { return planted(s, 200, 3, 1000, 3, 8) }, 0x0b2fcbbe3fa2dc42, 2000, 2020, 201},
	{"planted 200, 4-d", 420, 10, func(s uint64) instance { return planted(s, 200, 4, 1000, 3, 8) }, 0x8c8580e218889427, 2000, 2034, 203},
	{"planted 100, 3-d, large", 430, 10, func(s uint64) instance { return planted(s, 100, 3, 10000, 10, 30) }, 0xde41da55cfe9285d, 1000, 1015, 101},
	{"ct1, 2-d", 500, 10, func(s uint64) instance { return capraraToth(s, 1, 400, 2) }, 0x0ec16e6e33516149, 1012, 1022, 101},
	{"ct6, 2-d", 510, 10, func(s uint64) instance { return capraraToth(s, 6, 400, 2) }, 0xec6b8add228f8106, 1611, 1695, 166},
	{"ct7, 2-d", 520, 10, func(s uint64) instance { return capraraToth(s, 7, 400, 2) }, 0x40332bd87d0387df, 1606, 1636, 162},
	{"ct8, 2-d", 530, 10, func(s uint64) instance { return capraraToth(s, 8, 400, 2) }, 0x8db752c703e550b6, 2000, 2004, 200},
	{"ct1, 4-d", 550, 10, func(s uint64) instance { return capraraToth(s, 1, 400, 4) }, 0x61948a395653a9c9, 1024, 1060, 106},
	{"ct6, 4-d", 560, 10, func(s uint64) instance { return capraraToth(s, 6, 400, 4) }, 0xa3ce90ecbbdd1f8b, 1632, 1842, 181},
	{"ct7, 4-d", 570, 10, func(s uint64) instance { return capraraToth(s, 7, 400, 4) }, 0x724610907a3ab177, 1618, 1670, 169},
	{"ct8, 4-d", 580, 10, func(s uint64) instance { return capraraToth(s, 8, 400, 4) }, 0x1dc4807e0b2d4794, 2000, 2004, 200},
}

func (p packingSet) instances(base uint64) []instance {
	var all []instance
	for i := range p.count {
		all = append(all, p.make(base+p.seed+uint64(i)))
	}
	return all
}

func TestInstancesAreTheSameEverywhere(t *testing.T) {
	rng := splitMix(1)
	for _, want := range []uint64{0x910a2dec89025cc1, 0xbeeb8da1658eec67, 0xf893a2eefb32555e} {
		if got := rng.next(); got != want {
			t.Errorf("SplitMix64 from seed 1: got %x, want %x", got, want)
		}
	}
	for _, set := range packingSets {
		got := uint64(0)
		for _, in := range set.instances(1000) {
			got ^= in.digest()
		}
		if got != set.digest {
			t.Errorf("%s: got digest %016x, want %016x", set.name, got, set.digest)
		}
	}
}
