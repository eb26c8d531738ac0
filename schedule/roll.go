package schedule

import (
	"maps"
	"slices"
)

// roll is the units that there are. As long as they are entered in order of name
// and none is asked for by that, a list will do: a plan made once from units
// without ties needs no more.
type roll struct {
	inOrder []*unit          // by name, each once; nil if there is the map
	byName  map[string]*unit // nil if not made yet
}

// add enters a unit, and reports whether it is the first of its name.
func (r *roll) add(u *unit) bool {
	if n := len(r.inOrder); r.byName == nil && (n == 0 || r.inOrder[n-1].name < u.name) {
		r.inOrder = append(r.inOrder, u)
		return true
	}
	index := r.index()
	n := len(index)
	index[u.name] = u
	return len(index) > n
}

// drop is the reverse of add.
func (r *roll) drop(u *unit) { delete(r.index(), u.name) }

// named returns the unit of that name, nil for none.
func (r *roll) named(name string) *unit { return r.index()[name] }

// index returns the map, made if need be.
func (r *roll) index() map[string]*unit {
	if r.byName == nil {
		r.byName = make(map[string]*unit, cap(r.inOrder))
		for _, u := range r.inOrder {
			r.byName[u.name] = u
		}
		r.inOrder = nil
	}
	return r.byName
}

// count returns how many units there are.
func (r *roll) count() int { return max(len(r.inOrder), len(r.byName)) }

// all yields the units in no order.
func (r *roll) all(yield func(*unit) bool) {
	if r.byName == nil {
		slices.Values(r.inOrder)(yield)
		return
	}
	maps.Values(r.byName)(yield)
}
