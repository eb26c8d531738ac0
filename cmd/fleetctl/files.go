package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/schedule/unitfile"
	"github.com/strakeproject/strake/unit"
)

// unitArg is an argument that names a unit and, by its path, a unit file.
type unitArg struct {
	name string // of the unit
	path string // of the file that would be its own
}

func parseUnitArg(arg string) unitArg {
	name := unit.Mangle(filepath.Base(arg))
	return unitArg{name: name, path: filepath.Join(filepath.Dir(arg), name)}
}

// unitNames are the names that arguments stand for.
func unitNames(args []string) []string {
	names := make([]string, 0, len(args))
	for _, arg := range args {
		names = append(names, parseUnitArg(arg).name)
	}
	return names
}

// uploader brings unit files from disk into the registry.
type uploader struct {
	*app
	replace bool
	// replaceable are the states in which a unit may be replaced; others call
	// for another command.
	replaceable []registry.State
}

// upload makes sure that the registry has the units that the arguments name, and
// returns the names of those it stored.
func (u *uploader) upload(ctx context.Context, args []string) ([]string, error) {
	var stored []string
	for _, arg := range args {
		ua := parseUnitArg(arg)
		if err := unit.CheckName(ua.name); err != nil {
			return stored, err
		}
		known, err := u.api.Unit(ctx, ua.name)
		var changed bool
		switch {
		case errors.Is(err, registry.ErrUnitNotFound):
			changed, err = true, u.create(ctx, ua)
		case err != nil:
			err = fmt.Errorf("error retrieving Unit(%s) from Registry: %w", ua.name, err)
		default:
			changed, err = u.compare(ctx, ua, known)
		}
		if err != nil {
			return stored, err
		}
		if changed {
			stored = append(stored, ua.name)
		}
	}
	return stored, nil
}

// create stores a unit that the registry does not have.
func (u *uploader) create(ctx context.Context, ua unitArg) error {
	f, err := readUnitFile(ua.path)
	if errors.Is(err, os.ErrNotExist) {
		f, err = u.fromTemplate(ctx, ua)
	}
	if err != nil {
		return err
	}
	return u.put(ctx, ua.name, f)
}

// fromTemplate finds the file of an instance that has none of its own.
func (u *uploader) fromTemplate(ctx context.Context, ua unitArg) (*unit.File, error) {
	template := unit.Name(ua.name).Template()
	if template == "" {
		return nil, fmt.Errorf("unable to find Unit(%s) in Registry or on filesystem", ua.name)
	}
	known, err := u.api.Unit(ctx, template)
	if err == nil {
		return known.File()
	}
	if !errors.Is(err, registry.ErrUnitNotFound) {
		return nil, fmt.Errorf("error retrieving Unit(%s) from Registry: %w", template, err)
	}
	f, err := readUnitFile(filepath.Join(filepath.Dir(ua.path), template))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("failed getting Unit(%s) from template: unable to find template Unit(%s) in Registry or on filesystem", ua.name, template)
	}
	return f, err
}

// put stores a unit, inactive, after telling what is odd about its options.
func (u *uploader) put(ctx context.Context, name string, f *unit.File) error {
	_, warnings, err := unitfile.Read(name, f, unitfile.Estimate)
	if fault, ok := errors.AsType[*unit.OptionError](err); ok && fault.Line > 0 {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err != nil {
		return err
	}
	for _, w := range warnings {
		u.logf("WARN", "Unit %s: %s", name, w.Text)
	}
	body := api.Unit{Name: name, DesiredState: registry.Inactive}
	for _, o := range f.Options() {
		body.Options = append(body.Options, api.Option{Section: o.Section, Name: o.Name, Value: o.Value})
	}
	if err := u.api.PutUnit(ctx, body); err != nil {
		return fmt.Errorf("failed creating unit %s: %w", name, err)
	}
	u.debugf("stored unit %s", name)
	return nil
}

// compare looks whether there is a local file for a unit that the registry has,
// and replaces the unit if it differs and that is wanted.
func (u *uploader) compare(ctx context.Context, ua unitArg, known api.Unit) (replaced bool, err error) {
	stored, err := known.File()
	if err != nil {
		return false, err
	}
	local, what, err := localFile(ua)
	if err != nil || local == nil {
		return false, err
	}
	switch {
	case local.Hash() == stored.Hash():
		if u.replace {
			u.say("Found same Unit(%s) in Registry, nothing to do", ua.name)
		}
		return false, nil
	case !u.replace:
		u.note("WARNING: Unit %s in registry differs from local %s. Add --replace to override.", ua.name, what)
		return false, nil
	}
	for _, s := range u.replaceable {
		if known.DesiredState == s {
			return true, u.put(ctx, ua.name, local)
		}
	}
	u.note("Warning: can not replace Unit(%s) in state '%s', use the appropriate command", ua.name, known.DesiredState)
	return false, nil
}

// localFile reads the file on disk for a unit, its own or that of its template,
// and says which; nil if there is none.
func localFile(ua unitArg) (f *unit.File, what string, err error) {
	f, err = readUnitFile(ua.path)
	if !errors.Is(err, os.ErrNotExist) {
		return f, "unit file " + ua.path, err
	}
	template := unit.Name(ua.name).Template()
	if template == "" {
		return nil, "", nil
	}
	f, err = readUnitFile(filepath.Join(filepath.Dir(ua.path), template))
	if errors.Is(err, os.ErrNotExist) {
		return nil, "", nil
	}
	return f, "template unit file " + template, err
}

func readUnitFile(path string) (*unit.File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := unit.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}
