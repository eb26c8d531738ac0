package schedule

import (
	"slices"
	"strings"
)

// names finds units by what their names begin with, up to the at sign of a
// template, and by the spread groups they name. The names of templates are put
// on file when they are first asked for: a cluster to which nothing is added
// does without.
//
//	"web@"   web@1.service web@2.service
//	"db@"    db@1.service
//
// Other names are not on file, as each is found by itself.
type names struct {
	byTemplate map[string][]*unit // nil if not on file
	byGroup    map[string][]*unit // of units that name their group
}

// template is the part of a name that it has in common with the other instances
// of the template; empty if it is no instance.
func template(name string) string { return name[:strings.IndexByte(name, '@')+1] }

// add enters a unit that has no entry yet.
func (n *names) add(u *unit) {
	if t := template(u.name); n.byTemplate != nil && t != "" {
		n.byTemplate[t] = append(n.byTemplate[t], u)
	}
}

// drop is the reverse of add.
func (n *names) drop(u *unit) { dropFrom(n.byTemplate, template(u.name), u) }

// joinGroup enters a unit under the spread group that it names, if any.
func (n *names) joinGroup(u *unit) {
	group := u.spec.Spread.Group
	if group == "" {
		return
	}
	if n.byGroup == nil {
		n.byGroup = map[string][]*unit{}
	}
	n.byGroup[group] = append(n.byGroup[group], u)
}

// leaveGroup is the reverse of joinGroup.
func (n *names) leaveGroup(u *unit) { dropFrom(n.byGroup, u.spec.Spread.Group, u) }

func dropFrom(on map[string][]*unit, key string, u *unit) {
	units := on[key]
	i := slices.Index(units, u)
	if i < 0 {
		return
	}
	last := len(units) - 1
	units[i], units[last] = units[last], nil
	if on[key] = units[:last]; last == 0 {
		delete(on, key)
	}
}

// matching yields the units whose names may match a pattern, in no order: all
// that do, and perhaps others.
func (s *Scheduler) matching(p *pattern) func(yield func(*unit) bool) {
	t := template(p.prefix)
	return func(yield func(*unit) bool) {
		switch {
		case p.prefix == p.text: // one name
			if u := s.units.named(p.text); u != nil {
				yield(u)
			}
		case t != "":
			for _, u := range s.instances(t) {
				if !yield(u) {
					return
				}
			}
		default:
			for u := range s.units.all {
				if !yield(u) {
					return
				}
			}
		}
	}
}

// ofGroup returns the units that may be of a spread group: all that are, and
// perhaps others.
func (s *Scheduler) ofGroup(name string) []*unit {
	units := slices.Clone(s.names.byGroup[name])
	if template(name) == name {
		return append(units, s.instances(name)...)
	}
	if u := s.units.named(name); u != nil && !slices.Contains(units, u) {
		units = append(units, u)
	}
	return units
}

// instances returns the instances of a template.
func (s *Scheduler) instances(template string) []*unit {
	if s.names.byTemplate == nil {
		s.names.byTemplate = map[string][]*unit{}
		for u := range s.units.all {
			s.names.add(u)
		}
	}
	return s.names.byTemplate[template]
}
