package tree

import "sort"

// A ring is a queue of events, ordered by index.
type ring struct {
	buf  []event // its length is a power of two, or 0
	head int     // of the oldest event in buf
	n    int
}

// at returns the i-th oldest event.
func (r *ring) at(i int) *event { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

// push adds an event that is later than all others.
func (r *ring) push(ev *event) {
	if r.n == len(r.buf) {
		grown := make([]event, max(2*r.n, 64))
		for i := range r.n {
			grown[i] = *r.at(i)
		}
		r.buf, r.head = grown, 0
	}
	r.n++
	*r.at(r.n - 1) = *ev
}

// pop drops the oldest event.
func (r *ring) pop() {
	*r.at(0) = event{} // let go of key and values
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
}

// search returns the place of the first event with at least the given index.
func (r *ring) search(index uint64) int {
	return sort.Search(r.n, func(i int) bool { return r.at(i).Index >= index })
}
