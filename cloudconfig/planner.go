package cloudconfig

import (
	"fmt"
	"path"
	"strings"
)

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
