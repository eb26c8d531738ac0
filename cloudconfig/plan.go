package cloudconfig

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
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
