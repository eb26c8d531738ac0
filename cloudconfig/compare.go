package cloudconfig

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// compare adds the steps that make the machine's files what they shall be.
func (p *planner) compare() error {
	var steps []Step
	for _, w := range p.tree {
		if w.path == "" {
			continue
		}
		if step := p.difference(w); step != nil {
			steps = append(steps, *step)
		}
	}
	var gone []Step
	if !p.options.Keep {
		gone = p.leftovers()
		p.stops(gone)
		p.disables()
	}
	for _, s := range slices.Concat(steps, gone) {
		p.step(s)
	}
	return p.enabled()
}

// difference returns the step to what is wanted at a path; nil if it is so.
func (p *planner) difference(w want) *Step {
	s := Step{Target: w.path, Unit: w.unit, Link: w.link, Problem: w.fault, owned: !w.keep}
	now, err := p.view.look(w.path)
	if err != nil && w.fault == "" {
		s.Problem = err.Error()
	}
	switch now.kind {
	case regular:
		s.Old = &Existing{Content: now.content, Mode: now.mode, UID: now.uid, GID: now.gid}
	case link:
		s.Old = &Existing{Link: now.content, UID: now.uid, GID: now.gid}
	case other:
		if w.kind != absent && w.fault == "" {
			s.Problem = "it is a directory or a device"
		}
	}
	was, known := p.before.Files[w.path]
	s.made = now.kind == absent || known && was.Made
	switch w.kind {
	case absent:
		s.Op = OpRemove
		if now.kind != link && now.kind != regular && err == nil {
			return nil
		}
	case link:
		s.Op = OpLink
		if now.kind == link && now.content == w.link && w.fault == "" {
			return nil
		}
	default:
		s.Op, s.File = OpWrite, &w.file
		if w.fault == "" && now.kind == regular && !now.large && now.content == w.file.Content && now.mode == w.file.Mode &&
			p.sameOwner(now, w.file.Owner, was.Owner) {
			return nil
		}
	}
	return &s
}

// sameOwner reports whether a file has the owner that is wanted. Without a wish
// it belongs to whoever writes it, which it does unless an earlier run gave it
// away.
func (p *planner) sameOwner(now entry, owner, before string) bool {
	if owner == "" {
		return before == ""
	}
	uid, gid, err := p.owner(owner)
	return err == nil && (uid < 0 || uid == now.uid) && (gid < 0 || gid == now.gid)
}

// leftovers returns the steps that remove what earlier runs have made and
// nobody wants now.
func (p *planner) leftovers() []Step {
	var steps []Step
	wanted := p.places()
	for _, name := range slices.Sorted(maps.Keys(p.before.Files)) {
		if _, ok := p.wants[name]; ok {
			continue
		}
		was := p.before.Files[name]
		if other, ok := wanted[p.place(name)]; ok { // the same file by another path
			p.plan.state.Files[other] = was
			delete(p.plan.state.Files, name)
			continue
		}
		now, err := p.view.look(name)
		switch {
		case err != nil:
			p.note("%s is left: %v", name, err)
			continue
		case now.kind == absent:
		case now.kind != regular || now.large || hashOf(now.content) != was.SHA256:
			p.note("%s is left: somebody changed it since it was written", name)
		case !was.Made:
			p.note("%s is left: a file was there before it was written first", name)
		default:
			steps = append(steps, Step{
				Op: OpRemove, Target: name, Unit: unitOf(name), owned: true,
				Old: &Existing{Content: now.content, Mode: now.mode, UID: now.uid, GID: now.gid},
			})
			continue
		}
		delete(p.plan.state.Files, name)
	}
	for _, name := range slices.Sorted(maps.Keys(p.before.Links)) {
		if _, ok := p.wants[name]; ok {
			continue
		}
		now, err := p.view.look(name)
		if err != nil || now.kind != link || now.content != p.before.Links[name] {
			delete(p.plan.state.Links, name)
			continue
		}
		steps = append(steps, Step{Op: OpRemove, Target: name, Unit: unitOf(name), owned: true, Old: &Existing{Link: now.content}})
	}
	return steps
}

// place is where a path leads, for telling whether two are the same.
func (p *planner) place(name string) string {
	at, err := p.view.resolve(name, false)
	if err != nil {
		return name
	}
	return at
}

// places returns the wanted paths by where they lead.
func (p *planner) places() map[string]string {
	places := make(map[string]string)
	for name := range p.wants {
		places[p.place(name)] = name
	}
	return places
}

// unitOf returns the unit that a file configures: its own text, a drop-in, or
// the options of a service. It is empty for other files.
func unitOf(name string) string {
	switch name {
	case flannelOptions:
		return "flanneld.service"
	}
	dir, base := path.Split(name)
	dir = path.Clean(dir)
	if isUnitDir(dir) {
		return base
	}
	if unit, ok := strings.CutSuffix(path.Base(dir), ".d"); ok && isUnitDir(path.Dir(dir)) && strings.HasSuffix(base, ".conf") {
		return unit
	}
	return ""
}

func isUnitDir(dir string) bool {
	return slices.Contains(unitDirs, dir) || isNetworkDir(dir)
}

func isNetworkDir(dir string) bool {
	return strings.HasSuffix(dir, "/systemd/network") && slices.Contains(unitDirs, strings.TrimSuffix(dir, "network")+"system")
}

// unitDirs is where systemd looks for units, first found first taken.
var unitDirs = []string{
	"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
}
