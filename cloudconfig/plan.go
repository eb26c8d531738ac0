package cloudconfig

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// Plan is what [Apply] will do: the steps that take a machine, or an image of
// one, from what it is to what a Config asks for. Where nothing is to be done,
// there is no step: the plan for a machine that was brought up to date just now
// has only commands that start or stop units, and scripts.
type Plan struct {
	// Steps in the order in which they are done.
	Steps []Step
	// Notes say what of the Config is left out, or of the machine left alone,
	// and why: units without a name, files that somebody changed meanwhile.
	Notes []string

	stateFile string
	state     *state // of the machine, without what is gone
}

// Step is one thing to do.
type Step struct {
	Op Op
	// Target is what the step is about: a path, a user, a group, a unit, or the
	// machine's name.
	Target string
	// Unit is the unit that the file or link at Target belongs to, if any.
	Unit string

	// File is what OpWrite writes, Link is where OpLink leads.
	File *File
	Link string
	// Old is what stands in the place of a file or link now.
	Old *Existing

	// Keys are what OpKeys authorizes for user Target, in place of those that
	// the set KeySet has; none removes the set. With KeysFrom they come from
	// that URL.
	KeySet   string
	Keys     []string
	KeysFrom string

	// Argv is the program that does the step, and Stdin what it reads: for
	// OpHostname, OpGroup, OpUser, OpPassword.
	Argv  []string
	Stdin string

	// Command is what OpCommand does to unit Target, see [Unit]. Changed is true
	// if the unit's files are written before: then a unit that runs is restarted
	// where the command is start.
	Command string
	Changed bool
	// Runtime is true if OpEnable and OpDisable work below /run, not /etc.
	Runtime bool

	// Problem is why the step cannot be done; Apply fails it and goes on. Mostly
	// empty.
	Problem string

	made  bool   // OpUser creates the user; OpWrite: nothing was there before
	owned bool   // what is made is to be removed when no Config asks for it
	done  string // key of OpCommand in the state, if it is kept there
	boot  string
}

// Op is what a step does.
type Op string

// The kinds of steps.
const (
	OpHostname Op = "hostname" // set the machine's name
	OpGroup    Op = "group"    // create a group
	OpUser     Op = "user"     // create, change or disable a user
	OpPassword Op = "password" // set a user's password
	OpKeys     Op = "keys"     // authorize a user's ssh keys
	OpWrite    Op = "write"    // write a file
	OpLink     Op = "link"     // make a symbolic link
	OpRemove   Op = "remove"   // remove a file or link
	OpEnable   Op = "enable"   // enable a unit
	OpDisable  Op = "disable"  // disable a unit
	OpReload   Op = "reload"   // have systemd read its units again
	OpCommand  Op = "command"  // start a unit and the like
	OpScript   Op = "script"   // run a script of the user-data
)

// Existing is a file or link before a step.
type Existing struct {
	Content string      // of a file
	Link    string      // of a link, where it leads
	Mode    fs.FileMode // permission bits of a file
	UID     int         // -1 where the file system does not tell
	GID     int
}

// Options say what a plan is made with beside the Config. The zero value is
// right for a machine that runs.
type Options struct {
	// Addresses go to /etc/environment, those that are known.
	Addresses Addresses
	// Units are treated like those of the Config, after them.
	Units []Unit
	// Scripts are run at the end.
	Scripts []Script
	// Image is true if the root belongs to no machine that runs: the host's name
	// is written to /etc/hostname and units are enabled by links; commands and
	// scripts are left out.
	Image bool
	// KeySet is the name of the set that ssh keys go to, coreos-cloudinit by
	// default.
	KeySet string
	// Workspace is the directory for scripts and the record of what was made,
	// /var/lib/coreos-cloudinit by default.
	Workspace string
	// Name tells apart several configurations of one machine, such as those of
	// its platform and of its user: each takes back only what it has made itself.
	// It is "default" by default.
	Name string
	// Keep leaves everything that earlier runs have made, whether the Config
	// names it or not: for when only a part of the Config is known.
	Keep bool
}

// NewPlan compares what a Config asks for with a machine's file system, and
// changes nothing. The root must tell of links, as [os.Root.FS] does; without
// them it counts as having none. It fails only if the root cannot be read or the
// record there is not one.
func NewPlan(c *Config, root fs.FS, o Options) (*Plan, error) {
	o.KeySet = cmp.Or(o.KeySet, "coreos-cloudinit")
	o.Workspace = path.Join("/", cmp.Or(o.Workspace, "/var/lib/coreos-cloudinit"))
	p := &planner{
		config: c, options: o, view: view{root},
		plan:  &Plan{stateFile: stateFile(o.Workspace, cmp.Or(o.Name, "default"))},
		wants: make(map[string]int),
	}
	var err error
	if p.before, err = readState(p.view, p.plan.stateFile); err != nil {
		return nil, fmt.Errorf("read what earlier runs have made: %w", err)
	}
	p.plan.state = p.before.clone()
	if p.accounts, err = p.view.accounts(); err != nil {
		return nil, fmt.Errorf("read users and groups: %w", err)
	}
	if boot, err := p.view.read("/proc/sys/kernel/random/boot_id"); err == nil {
		p.boot = strings.TrimSpace(string(boot))
	}
	for _, part := range []func() error{
		p.hostname, p.users, p.files, p.units, p.compare, p.commands,
	} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return p.plan, nil
}

// planner makes one plan. Its methods add to it in the order of the steps:
//
//	hostname, users -> steps
//	files, units    -> tree, what shall stand at which path
//	compare         -> steps: stop what goes, write, remove, enable, reload
//	commands        -> steps
type planner struct {
	config  *Config
	options Options
	view    view
	plan    *Plan
	before  *state
	accounts
	boot string

	tree    []want         // in order; a later want of a path replaces an earlier
	wants   map[string]int // path -> index in tree
	enables []enabling
	actions []Unit // names and commands
}

// want is what shall stand at a path.
type want struct {
	path  string // empty if replaced by a later one
	kind  entryKind
	file  File
	link  string
	unit  string
	keep  bool // never to be removed: the file has other authors, too
	fault string
}

func (p *planner) note(format string, args ...any) {
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(format, args...))
}

func (p *planner) step(s Step) { p.plan.Steps = append(p.plan.Steps, s) }

// hostname names the machine.
func (p *planner) hostname() error {
	name := p.config.Hostname
	if name == "" {
		return nil
	}
	if p.options.Image {
		p.want(want{path: "/etc/hostname", kind: regular, file: File{Content: name + "\n", Mode: defaultMode}})
		return nil
	}
	if p.hostNow() != name {
		p.step(Step{Op: OpHostname, Target: name, Argv: []string{"hostnamectl", "set-hostname", "--", name}})
	}
	return nil
}

// hostNow is the machine's name before the plan; empty if it has none.
func (p *planner) hostNow() string {
	for _, file := range []string{"/etc/hostname", "/proc/sys/kernel/hostname"} {
		if text, err := p.view.read(file); err == nil {
			return strings.TrimSpace(string(text))
		}
	}
	return ""
}

// want says what shall stand at a path from now on.
func (p *planner) want(w want) {
	w.path = path.Join("/", w.path)
	if w.unit == "" {
		w.unit = unitOf(w.path)
	}
	w.file.Path = w.path
	if i, ok := p.wants[w.path]; ok {
		p.tree[i].path = ""
	}
	p.wants[w.path] = len(p.tree)
	p.tree = append(p.tree, w)
}

// wanted returns the contents that shall stand at a path, or that stand there
// and nobody wants otherwise.
func (p *planner) wanted(name string) ([]byte, error) {
	if i, ok := p.wants[name]; ok && p.tree[i].kind == regular {
		return []byte(p.tree[i].file.Content), nil
	}
	return p.view.read(name)
}

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
