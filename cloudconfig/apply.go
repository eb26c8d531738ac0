package cloudconfig

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Machine is what Apply changes, and by what means.
type Machine struct {
	// Root is the directory that files go below: "/" for the machine that runs,
	// or that of an image. There is no default.
	Root string
	// Units is the service manager of the machine that runs. Without one, steps
	// that need it fail; plans for images have none.
	Units Units
	// Programs runs programs that create users and set the host's name; nil runs
	// those of this machine, with --root where Root is not "/".
	Programs Programs
	// Fetch gets what is at a URL, for keys that are to be imported; without it
	// such steps fail.
	Fetch func(ctx context.Context, url string) ([]byte, error)
	// Logger gets a line for each step; nil discards them.
	Logger *slog.Logger
	// Progress, if not nil, is called after each step.
	Progress func(Result)
}

// Units is the service manager that a Plan's commands go to. cloudconfig/systemd
// implements it.
type Units interface {
	// Reload makes the manager read all unit files again.
	Reload(ctx context.Context) error
	// Active reports whether a unit runs or is about to. An unknown unit does not.
	Active(ctx context.Context, unit string) (bool, error)
	// Command starts a unit, or does another command of [Unit] to it, and waits
	// until that is done. The result is systemd's word: done, failed, canceled,
	// timeout, dependency, skipped or invalid. An error says that nothing was
	// begun: the unit is unknown or masked.
	Command(ctx context.Context, command, unit string) (result string, err error)
	// Enable enables a unit, below /run or else below /etc.
	Enable(ctx context.Context, unit string, runtime bool) error
	// Disable takes that back.
	Disable(ctx context.Context, unit string, runtime bool) error
	// Run starts a program as a unit of its own, and does not wait for its end.
	Run(ctx context.Context, unit, description string, argv []string) error
}

// Result is what became of a step.
type Result struct {
	Step Step
	// Detail is what there is to tell: the result of a command, or why nothing
	// was to be done.
	Detail string
	// Err is why the step failed; nil if it did not. It is a [*StepError]. A
	// command that was carried out and did not work is no error, see Detail.
	Err error
}

// StepError is the failure of one step.
type StepError struct {
	Step Step
	Err  error
}

// Error names the step and what it is about.
func (e *StepError) Error() string { return e.Step.String() + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// ErrNoRoot is what Apply returns for a Machine without a Root.
var ErrNoRoot = errors.New("cloudconfig: no root directory is given")

var errNoUnits = errors.New("there is no service manager to ask")

// Apply does what a plan says. A step that fails undoes nothing and stops no
// other step: the error joins a [*StepError] for each. Only a plan as a whole
// that cannot begin, or a context that ends, stops it.
//
// Each file is replaced at once, by a rename, and is on disk when Apply returns.
// No link leads it out of the root. Two of them at a time on one root are the
// caller's mistake.
func Apply(ctx context.Context, p *Plan, m Machine) error {
	if m.Root == "" {
		return ErrNoRoot
	}
	root, err := os.OpenRoot(m.Root)
	if err != nil {
		return fmt.Errorf("open the root directory: %w", err)
	}
	defer root.Close()
	a := &applier{Machine: m, tree: tree{root}, state: p.state.clone()}
	if a.Logger == nil {
		a.Logger = slog.New(slog.DiscardHandler)
	}
	if a.Programs == nil {
		a.Programs = systemPrograms{}
	}
	for _, note := range p.Notes {
		a.Logger.Info(note)
	}
	return a.run(ctx, p)
}

// applier carries out one plan.
type applier struct {
	Machine
	tree  tree
	state *state
	users *accounts // as they are now; nil if they may have changed
}

func (a *applier) run(ctx context.Context, p *Plan) error {
	before, err := readState(view{a.tree.root.FS()}, p.stateFile)
	if err != nil {
		return fmt.Errorf("read what earlier runs have made: %w", err)
	}
	saved := before.text()
	save := func(s *state) error {
		text := s.text()
		if text == saved {
			return nil
		}
		if err := a.tree.write(File{Path: p.stateFile, Content: text, Mode: 0o600}, -1, -1); err != nil {
			return fmt.Errorf("record what is made: %w", err)
		}
		saved = text
		return nil
	}
	intended := a.state.clone()
	for _, s := range p.Steps {
		if s.Problem == "" {
			intended.intend(s)
		}
	}
	if err := save(intended); err != nil {
		return err
	}
	var failed []error
	for _, s := range p.Steps {
		if err := ctx.Err(); err != nil {
			failed = append(failed, fmt.Errorf("before the step %q: %w", s.String(), err))
			break
		}
		if err := a.step(ctx, s); err != nil {
			failed = append(failed, err)
		}
	}
	if err := save(a.state); err != nil {
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// step does one step and tells of it.
func (a *applier) step(ctx context.Context, s Step) error {
	a.Logger.Info(s.String())
	r := Result{Step: s}
	var err error
	if s.Problem != "" {
		err = errors.New(s.Problem)
	} else {
		r.Detail, err = a.do(ctx, s)
	}
	if err != nil {
		err = &StepError{Step: s, Err: err}
		r.Err = err
		a.Logger.Error(err.Error())
	} else if s.Op != OpCommand || strings.HasPrefix(r.Detail, "done") {
		a.state.note(s)
	}
	if r.Detail != "" {
		a.Logger.Info(s.outcome(r.Detail))
	}
	if a.Progress != nil {
		a.Progress(r)
	}
	return err
}

// do does one step and returns what there is to tell of it.
func (a *applier) do(ctx context.Context, s Step) (string, error) {
	switch s.Op {
	case OpHostname, OpGroup, OpUser, OpPassword:
		a.users = nil
		argv := s.Argv
		if root, err := filepath.Abs(a.Root); err != nil {
			return "", err
		} else if root != "/" {
			argv = slices.Insert(slices.Clone(argv), 1, "--root", root)
		}
		return "", a.Programs.Run(ctx, s.Stdin, argv...)
	case OpKeys:
		return a.keys(ctx, s)
	case OpWrite:
		return "", a.write(s)
	case OpLink:
		return "", a.tree.link(s.Target, s.Link)
	case OpRemove:
		return "", a.tree.remove(s.Target)
	}
	if a.Units == nil {
		return "", errNoUnits
	}
	switch s.Op {
	case OpEnable:
		return "", a.Units.Enable(ctx, s.Target, s.Runtime)
	case OpDisable:
		return "", a.Units.Disable(ctx, s.Target, s.Runtime)
	case OpReload:
		return "", a.Units.Reload(ctx)
	case OpCommand:
		return a.command(ctx, s)
	case OpScript:
		return "", a.script(ctx, s)
	}
	return "", fmt.Errorf("unknown kind of step %q", s.Op)
}

// write writes a file with the owner that is wanted.
func (a *applier) write(s Step) error {
	uid, gid := -1, -1
	if s.File.Owner != "" {
		users, err := a.accounts()
		if err != nil {
			return err
		}
		if uid, gid, err = users.owner(s.File.Owner); err != nil {
			return err
		}
	}
	return a.tree.write(*s.File, uid, gid)
}

// accounts returns the users as the steps before have left them.
func (a *applier) accounts() (*accounts, error) {
	if a.users == nil {
		users, err := view{a.tree.root.FS()}.accounts()
		if err != nil {
			return nil, err
		}
		a.users = &users
	}
	return a.users, nil
}

// command does a unit's command. A unit that runs with an older configuration
// is not started but restarted.
func (a *applier) command(ctx context.Context, s Step) (string, error) {
	command := s.Command
	switch command {
	case "start", "stop":
		active, err := a.Units.Active(ctx, s.Target)
		switch {
		case err != nil:
			return "", err
		case command == "start" && active && s.Changed:
			command = "restart"
		case command == "start" && active:
			return "runs already", nil
		}
	}
	result, err := a.Units.Command(ctx, command, s.Target)
	if command != s.Command && err == nil {
		result += ", by a restart"
	}
	return result, err
}

// script starts a script and notes the name of its unit.
func (a *applier) script(ctx context.Context, s Step) error {
	name := File{Path: path.Join(path.Dir(s.Target), "unit-name"), Content: s.Unit, Mode: defaultMode}
	if err := a.tree.write(name, -1, -1); err != nil {
		return err
	}
	const description = "Unit generated and executed by coreos-cloudinit on behalf of user"
	return a.Units.Run(ctx, s.Unit, description, []string{"/bin/bash", s.Target})
}

// intend notes what a step will make, before it is made.
func (s *state) intend(step Step) {
	if step.Op != OpRemove && step.Op != OpDisable && step.Op != OpCommand && (step.Op != OpKeys || len(step.Keys) > 0) {
		s.note(step)
	}
}

// note notes what a step has made.
func (s *state) note(step Step) {
	switch step.Op {
	case OpWrite:
		if step.owned {
			s.Files[step.Target] = fileState{SHA256: hashOf(step.File.Content), Made: step.made, Owner: step.File.Owner}
		}
		delete(s.Links, step.Target)
	case OpLink:
		s.Links[step.Target] = step.Link
		delete(s.Files, step.Target)
	case OpRemove:
		delete(s.Files, step.Target)
		delete(s.Links, step.Target)
	case OpUser:
		s.Users[step.Target] = userState{Disabled: !step.made}
	case OpKeys:
		if len(step.Keys) > 0 || step.KeysFrom != "" {
			s.addKeys(step.Target, step.KeySet)
		} else {
			s.removeKeys(step.Target, step.KeySet)
		}
	case OpEnable:
		s.Enabled[step.Target] = "/etc"
		if step.Runtime {
			s.Enabled[step.Target] = "/run"
		}
	case OpDisable:
		delete(s.Enabled, step.Target)
	case OpCommand:
		if step.done != "" {
			s.Done[step.done] = step.boot
		}
	}
}
