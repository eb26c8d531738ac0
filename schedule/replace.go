package schedule

import "slices"

// link finds which units replace which. Units in a ring of replacements do not
// replace each other: they would chase each other for ever. As units joined by
// MachineOf move together, rings are sought among such groups.
func (s *Scheduler) link() {
	if !s.relink {
		return
	}
	s.relink = false
	s.unlink()
	carriers := map[*pattern][]*unit{}
	var nodes []*unit
	for u := range s.units.all {
		if !u.active() || u.spec.Global {
			continue
		}
		nodes = append(nodes, u)
		for _, p := range u.replaces {
			carriers[p] = append(carriers[p], u)
		}
	}
	if len(carriers) == 0 {
		return
	}
	slices.SortFunc(nodes, compareUnits)
	number := make(map[*unit]int, len(nodes))
	for i, u := range nodes {
		number[u] = i
	}
	var joined, over [][2]int
	for i, u := range nodes {
		for _, name := range u.peers {
			if j, ok := number[s.units.named(name)]; ok {
				joined = append(joined, [2]int{i, j})
			}
		}
		for _, p := range u.replaceHits {
			for _, v := range carriers[p] {
				if v != u {
					over = append(over, [2]int{number[v], i})
				}
			}
		}
	}
	ring := rings(len(nodes), joined, over)
	for _, e := range over {
		if ring[e[0]] != ring[e[1]] {
			s.addLink(nodes[e[0]], nodes[e[1]])
		}
	}
	for _, u := range s.linked {
		slices.SortFunc(u.oustedBy, compareUnits)
	}
}

func (s *Scheduler) addLink(over, u *unit) {
	if slices.Contains(u.oustedBy, over) { // by another pattern
		return
	}
	above, below := s.ownRare(over), s.ownRare(u)
	above.ousts = append(above.ousts, u)
	below.oustedBy = append(below.oustedBy, over)
	s.linked = append(s.linked, over, u)
	s.soil(over)
	s.soil(u)
}

func (s *Scheduler) unlink() {
	for _, u := range s.linked {
		u.ousts, u.oustedBy = nil, nil
		s.soil(u)
	}
	s.linked = nil
}

// soil has the place of a unit validated.
func (s *Scheduler) soil(u *unit) {
	if u.at >= 0 {
		s.dirty.set(u.at)
	}
}

// replaceRings is link pair by pair: it numbers units so that those in a ring
// of replacements have one number.
func replaceRings(units []Unit) map[string]int {
	var joined, over [][2]int
	index := make(map[string]int, len(units))
	for i, u := range units {
		index[u.Name] = i
	}
	for i, u := range units {
		if !u.Active || u.Global {
			continue
		}
		for _, name := range u.MachineOf {
			if j, ok := index[name]; ok && units[j].Active && !units[j].Global {
				joined = append(joined, [2]int{i, j})
			}
		}
		if len(u.Replaces) == 0 {
			continue
		}
		for j, v := range units {
			if v.Active && replaces(u, v) {
				over = append(over, [2]int{i, j})
			}
		}
	}
	numbers := make(map[string]int, len(units))
	for i, ring := range rings(len(units), joined, over) {
		numbers[units[i].Name] = ring
	}
	return numbers
}

// rings numbers nodes 0..n-1: two have one number if they are joined, or if
// each can be reached from the other along the directed edges, where joined
// nodes count as one. These are the strongly connected components, found in one
// depth-first walk (Tarjan).
func rings(n int, joined, edges [][2]int) []int {
	next := make([][]int, n)
	for _, e := range joined {
		next[e[0]] = append(next[e[0]], e[1])
		next[e[1]] = append(next[e[1]], e[0])
	}
	for _, e := range edges {
		next[e[0]] = append(next[e[0]], e[1])
	}
	ring := make([]int, n)
	seen := make([]int, n) // order of the visit, from 1
	low := make([]int, n)  // the earliest node on the stack within reach
	var stack []int
	visits := 0
	var visit func(i int)
	visit = func(i int) {
		visits++
		seen[i], low[i] = visits, visits
		stack = append(stack, i)
		for _, j := range next[i] {
			if seen[j] == 0 {
				visit(j)
				low[i] = min(low[i], low[j])
			} else if ring[j] == 0 {
				low[i] = min(low[i], seen[j])
			}
		}
		for low[i] == seen[i] {
			last := len(stack) - 1
			j := stack[last]
			stack = stack[:last]
			ring[j] = seen[i]
			if j == i {
				return
			}
		}
	}
	for i := range n {
		if seen[i] == 0 {
			visit(i)
		}
	}
	return ring
}
