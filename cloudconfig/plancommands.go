package cloudconfig

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/strakeproject/strake/unit"
)

// commands adds the steps that have systemd take over what changed: it reads its
// units, networkd its networks, then the commands, in the order of units.
// Services that changed and that no command names are restarted if they run.
func (p *planner) commands() error {
	if p.options.Image {
		if len(p.options.Scripts) > 0 {
			p.note("scripts are not run in an image")
		}
		return nil
	}
	var reload, networks bool
	stopped, touched := make(map[string]bool), make(map[string]bool)
	for _, s := range p.plan.Steps {
		switch {
		case s.Problem != "" || s.Unit == "":
		case s.Op == OpCommand:
			stopped[s.Target] = true
		case s.Op != OpWrite && s.Op != OpRemove && s.Op != OpLink:
		case isNetwork(s.Unit):
			networks = true
		default:
			if s.Op == OpWrite || s.Op == OpRemove && s.Old.Link == "" {
				touched[s.Unit] = true
				reload = reload || s.Target != flannelOptions
			}
		}
	}
	if reload {
		p.step(Step{Op: OpReload})
	}
	if networks {
		p.step(Step{Op: OpCommand, Target: networkd, Command: "restart", Changed: true})
	}
	named := make(map[string]bool)
	for _, u := range p.actions {
		named[u.Name] = true
		p.action(u, touched)
	}
	for _, unit := range slices.Sorted(maps.Keys(touched)) {
		// Whatever runs this must not be restarted by itself.
		if !named[unit] && !stopped[unit] && path.Ext(unit) == ".service" && !strings.Contains(unit, "cloudinit") && p.mayRun(unit) {
			p.step(Step{Op: OpCommand, Target: unit, Unit: unit, Command: "try-restart", Changed: true})
		}
	}
	return p.scripts()
}

// action adds a step for a unit's command. One that disturbs a unit each time
// is done once for as long as the machine runs, and again when something about
// the unit has changed.
func (p *planner) action(u Unit, touched map[string]bool) {
	s := Step{Op: OpCommand, Target: u.Name, Unit: u.Name, Command: u.Command, Changed: touched[u.Name]}
	if u.Name == "locksmithd.service" || u.Name == "update-engine.service" {
		s.Changed = s.Changed || slices.ContainsFunc(p.plan.Steps, func(s Step) bool { return s.Target == updateConf })
	}
	if u.Command != "start" && u.Command != "stop" && p.boot != "" {
		s.done, s.boot = u.Command+" "+u.Name, p.boot
		if !s.Changed && p.before.Done[s.done] == p.boot {
			return
		}
	}
	p.step(s)
}

// mayRun reports whether a unit was there before and is not masked from now on.
func (p *planner) mayRun(unit string) bool {
	if _, _, err := p.findUnit(unit); err != nil {
		return false
	}
	for _, name := range []string{unit, template(unit)} {
		for _, dir := range unitDirs {
			if now, err := p.view.look(path.Join(dir, name)); name != "" && err == nil && now.kind != absent {
				return true
			}
		}
	}
	return false
}

// template returns the name of the template that a unit is an instance of; empty
// if it is none.
func template(name string) string { return unit.Name(name).Template() }

// scripts adds the steps that run the scripts; files has put them in place.
func (p *planner) scripts() error {
	for _, script := range p.options.Scripts {
		p.step(Step{Op: OpScript, Target: p.scriptFile(script), Unit: "coreos-cloudinit-" + scriptDigits(script) + ".service"})
	}
	return nil
}

// scriptFile is where a script is kept.
func (p *planner) scriptFile(script Script) string {
	return path.Join(p.options.Workspace, "scripts", scriptDigits(script))
}

// scriptDigits tell scripts apart.
func scriptDigits(script Script) string {
	return strconv.FormatUint(hashNumber(string(script)), 10)
}
