package cloudconfig

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

const networkd = "systemd-networkd.service"

// enabling is a unit to enable.
type enabling struct {
	unit    string
	runtime bool
}

// units says what unit files there shall be, which units are enabled, and what
// is to be done to them: those of the Config, the built-in services, those that
// updates need, and those of the Options.
func (p *planner) units() error {
	for _, u := range p.config.CoreOS.Units {
		if err := p.unit(u); err != nil {
			return err
		}
	}
	// A mask of a built-in service below /run is lifted even if the Config does
	// not name the service, as the original does.
	for _, name := range []string{"etcd.service", "etcd2.service", "fleet.service", "locksmithd.service"} {
		if err := p.unmask(name, false); err != nil {
			return err
		}
	}
	for _, f := range p.config.Dropins() {
		if f.Path != flannelOptions {
			p.want(want{path: f.Path, kind: regular, file: f})
		}
	}
	update := p.config.CoreOS.Update
	switch update.RebootStrategy {
	case "":
	case "off":
		p.want(want{path: "/run/systemd/system/locksmithd.service", kind: link, link: "/dev/null"})
		p.actions = append(p.actions, Unit{Name: "locksmithd.service", Command: "stop"})
	default:
		p.actions = append(p.actions, Unit{Name: "locksmithd.service", Command: "restart"})
	}
	if update.Group != "" || update.Server != "" {
		p.actions = append(p.actions, Unit{Name: "update-engine.service", Command: "restart"})
	}
	for _, u := range p.options.Units {
		if err := p.unit(u); err != nil {
			return err
		}
	}
	return p.links()
}

// unit says what one item of coreos.units asks for.
func (p *planner) unit(u Unit) error {
	if u.Name == "" {
		p.note("Skipping unit without name")
		return nil
	}
	dir := unitDir(u.Name, u.Runtime)
	if strings.ContainsAny(u.Name, "/\x00") || u.Name == "." || u.Name == ".." {
		p.step(Step{Op: OpWrite, Target: u.Name, Unit: u.Name, Problem: strconv.Quote(u.Name) + " is no name of a unit"})
		return nil
	}
	if u.Content != "" {
		p.want(want{path: path.Join(dir, u.Name), kind: regular, file: File{Content: u.Content, Mode: defaultMode}, unit: u.Name})
	}
	for _, d := range u.DropIns {
		switch {
		case d.Name == "" || d.Content == "":
			p.note("Skipping drop-in of unit %s without name or content", u.Name)
		case strings.Contains(d.Name, "/"):
			p.note("Skipping drop-in of unit %s: %q is no name of a file", u.Name, d.Name)
		default:
			p.want(want{
				path: path.Join(dir, u.Name+".d", d.Name), kind: regular,
				file: File{Content: d.Content, Mode: defaultMode}, unit: u.Name,
			})
		}
	}
	switch {
	case u.Mask:
		p.want(want{path: path.Join(dir, u.Name), kind: link, link: "/dev/null", unit: u.Name})
	case u.Runtime:
		if err := p.unmask(u.Name, true); err != nil {
			return err
		}
	}
	switch {
	case u.Enable && isNetwork(u.Name):
		p.note("Skipping enable for network-like unit %q", u.Name)
	case u.Enable:
		p.enables = append(p.enables, enabling{u.Name, u.Runtime})
	}
	if u.Command != "" && !isNetwork(u.Name) {
		p.actions = append(p.actions, u)
	}
	return nil
}

// unmask lifts a mask of a unit below /run. A file with text is none. A mask that
// the Config asks for stays, unless the Config itself takes it back later.
func (p *planner) unmask(name string, explicit bool) error {
	file := path.Join(unitDir(name, true), name)
	if i, ok := p.wants[file]; ok {
		if p.tree[i].kind == link && explicit {
			p.want(want{path: file, kind: absent, unit: name})
		}
		return nil
	}
	now, err := p.view.look(file)
	switch {
	case err != nil:
		return fmt.Errorf("look at %s: %w", file, err)
	case now.kind == link && now.content == "/dev/null", now.kind == regular && now.content == "" && !now.large:
		p.want(want{path: file, kind: absent, unit: name})
	case p.before.Files[file].SHA256 != "":
		// Made by an earlier run; whether it stays is decided with the others.
	case now.kind != absent:
		p.note("%s is not null or empty, refusing to unmask", file)
	}
	return nil
}

func isNetwork(name string) bool {
	return slices.Contains([]string{".network", ".netdev", ".link"}, path.Ext(name))
}

func unitDir(name string, runtime bool) string {
	dir := "/etc/systemd"
	if runtime {
		dir = "/run/systemd"
	}
	if isNetwork(name) {
		return dir + "/network"
	}
	return dir + "/system"
}

// unitFault is why a unit cannot be used, in systemd's words.
type unitFault string

func (f unitFault) Error() string { return string(f) }

// findUnit returns the path and text of a unit as it will stand; an instance is
// found by its template. The error is one that systemd would give.
func (p *planner) findUnit(name string) (file, text string, err error) {
	for _, name := range []string{name, template(name)} {
		if name == "" {
			continue
		}
		for _, dir := range unitDirs {
			file := path.Join(dir, name)
			if i, ok := p.wants[file]; ok {
				switch w := p.tree[i]; w.kind {
				case regular:
					return file, w.file.Content, nil
				case link:
					return "", "", unitFault("Unit file " + file + " is masked.")
				}
				continue
			}
			now, err := p.view.look(file)
			if err != nil {
				return "", "", fmt.Errorf("look at %s: %w", file, err)
			}
			if now.kind == absent {
				continue
			}
			if now.kind == link && now.content == "/dev/null" {
				return "", "", unitFault("Unit file " + file + " is masked.")
			}
			text, err := p.view.read(file)
			return file, string(text), err
		}
	}
	return "", "", unitFault("Unit file " + name + " does not exist.")
}

// links wants the links of enabled units: in an image there is nobody else to
// make them.
func (p *planner) links() error {
	if !p.options.Image {
		return nil
	}
	for _, e := range p.enables {
		links, err := p.install(e)
		if err != nil {
			p.step(Step{Op: OpEnable, Target: e.unit, Runtime: e.runtime, Problem: err.Error()})
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(links)) {
			p.want(want{path: name, kind: link, link: links[name], unit: e.unit})
		}
	}
	return nil
}

// enabled adds the steps that enable units on a machine that runs, unless their
// links are there.
func (p *planner) enabled() error {
	if p.options.Image {
		return nil
	}
	for _, e := range p.enables {
		s := Step{Op: OpEnable, Target: e.unit, Unit: e.unit, Runtime: e.runtime}
		links, err := p.install(e)
		switch {
		case err != nil:
			s.Problem = err.Error()
		case len(links) == 0:
			p.note("unit %s has nothing in [Install] to enable it by", e.unit)
			continue
		default:
			if all, err := p.allLinked(links); all || err != nil {
				if err != nil {
					return err
				}
				continue
			}
		}
		p.step(s)
	}
	return nil
}

func (p *planner) allLinked(links map[string]string) (bool, error) {
	for name := range links {
		now, err := p.view.look(name)
		if err != nil {
			return false, fmt.Errorf("look at %s: %w", name, err)
		}
		if now.kind != link {
			return false, nil
		}
	}
	return true, nil
}

// disables adds the steps that disable what an earlier run has enabled and the
// Config does not.
func (p *planner) disables() {
	for _, unit := range slices.Sorted(maps.Keys(p.before.Enabled)) {
		runtime := p.before.Enabled[unit] == "/run"
		if !slices.Contains(p.enables, enabling{unit, runtime}) {
			p.step(Step{Op: OpDisable, Target: unit, Unit: unit, Runtime: runtime})
		}
	}
}

// stops adds the steps that stop services whose unit files are removed.
func (p *planner) stops(gone []Step) {
	if p.options.Image {
		return
	}
	for _, s := range gone {
		if s.Unit == path.Base(s.Target) && path.Ext(s.Unit) == ".service" && s.Old.Link == "" {
			p.step(Step{Op: OpCommand, Target: s.Unit, Unit: s.Unit, Command: "stop"})
		}
	}
}
