package tree

import "strings"

// at returns the spot of a key under the root spot s, if asked for made on the
// way.
func (s *spot) at(key string, create bool) *spot {
	rest := key[1:]
	for rest != "" {
		var name string
		name, rest = cutSegment(rest)
		next := s.children[name]
		if next == nil {
			if !create {
				return nil
			}
			if s.children == nil {
				s.children = make(map[string]*spot)
			}
			next = &spot{}
			s.children[name] = next
		}
		s = next
	}
	return s
}

func (s *spot) add(w *watcher) {
	if s.watchers == nil {
		s.watchers = make(map[*watcher]struct{})
	}
	s.watchers[w] = struct{}{}
}

// remove takes a watcher off the spot that rest leads to, and drops the spots
// that serve nobody any more.
func (s *spot) remove(w *watcher, rest string) {
	rest = strings.TrimPrefix(rest, "/")
	if rest == "" {
		delete(s.watchers, w)
		return
	}
	name, rest := cutSegment(rest)
	next := s.children[name]
	if next == nil {
		return
	}
	if next.remove(w, rest); len(next.watchers) == 0 && len(next.children) == 0 {
		delete(s.children, name)
	}
}

// walk visits the spot of a key and all below it, in any order.
func (s *spot) walk(key string, visit func(key string, at *spot) error) error {
	if err := visit(key, s); err != nil {
		return err
	}
	for name, child := range s.children {
		if err := child.walk(under(key)+name, visit); err != nil {
			return err
		}
	}
	return nil
}

// along visits the keys with watchers from below the root spot s to a key.
func (s *spot) along(key string, visit func(key string)) {
	for end := 0; s != nil && end < len(key); {
		name, _ := cutSegment(key[end+1:])
		end += 1 + len(name)
		if s = s.children[name]; s != nil && len(s.watchers) > 0 {
			visit(key[:end])
		}
	}
}

// each visits all watchers.
func (s *spot) each(visit func(*watcher)) {
	for w := range s.watchers {
		visit(w)
	}
	for _, child := range s.children {
		child.each(visit)
	}
}

// cutSegment splits a key without its leading slash after the first segment.
func cutSegment(key string) (first, rest string) {
	first, rest, _ = strings.Cut(key, "/")
	return first, rest
}
