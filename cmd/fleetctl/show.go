package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/schedule/registry"
)

type catCmd struct {
	Units []string `arg:"" optional:"" name:"unit" help:"Unit."`
}

// Run prints the file of a unit as the registry has it.
func (c *catCmd) Run(ctx context.Context, a *app) error {
	if len(c.Units) != 1 {
		return a.fail("One unit file must be provided")
	}
	if err := a.connect(ctx); err != nil {
		return err
	}
	name := parseUnitArg(c.Units[0]).name
	u, err := a.api.Unit(ctx, name)
	if errors.Is(err, registry.ErrUnitNotFound) {
		return a.fail("Unit %s not found", name)
	}
	if err != nil {
		return a.fail("Error retrieving Unit %s: %v", name, err)
	}
	f, err := u.File()
	if err != nil {
		return a.fail("Unit %s cannot be read: %v", name, err)
	}
	fmt.Fprint(a.out, f)
	return nil
}

type explainCmd struct {
	If    []string `sep:"none" help:"Suppose that something were otherwise: \"MACHINE open\", cordoned, draining, lost or KEY=VALUE, \"UNIT active\" or inactive, \"NAME like MACHINE\" for one more machine." placeholder:"WHAT"`
	Units []string `arg:"" optional:"" name:"unit" help:"Units."`
}

// Run says for each unit why it is where it is.
func (c *explainCmd) Run(ctx context.Context, a *app) error {
	if ok, err := someUnits(ctx, a, c.Units); !ok {
		return err
	}
	supposed, err := suppositions(ctx, a, c.If)
	if err != nil {
		return err
	}
	var failed error
	for _, name := range unitNames(c.Units) {
		if _, err := lookUp(ctx, a, name); err != nil {
			failed = err
			continue
		}
		e, err := a.api.Explain(ctx, name, supposed...)
		if err != nil {
			failed = a.fail("Error explaining unit %s: %v", name, err)
			continue
		}
		fmt.Fprint(a.out, e)
	}
	return failed
}

// lookUp gets a unit that has to exist. The error has been reported.
func lookUp(ctx context.Context, a *app, name string) (api.Unit, error) {
	u, err := a.api.Unit(ctx, name)
	if errors.Is(err, registry.ErrUnitNotFound) {
		return u, a.fail("Unit %s does not exist.", name)
	}
	if err != nil {
		return u, a.fail("Error retrieving Unit %s: %v", name, err)
	}
	return u, nil
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(a *app) error {
	a.say("fleetctl version %s", version)
	return nil
}

// helpCmd is there for the list of commands; normalize has made flags of it
// before anybody could run it.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"Command to show help for."`
}
