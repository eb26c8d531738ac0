// Command fleetctl hands units to a cluster and shows what becomes of them. It talks
// to fleet's HTTP API, by default on this machine's socket, or with --driver=etcd to
// the store that the units are in; see "fleetctl help".
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is what fleetctl calls itself.
const version = "v1.1.0-strake"

// cli is the command line: global flags, each also an environment variable
// FLEETCTL_<NAME>, and commands.
type cli struct {
	globals

	ListMachines  listMachinesCmd  `cmd:"" help:"List the machines of the cluster."`
	ListUnits     listUnitsCmd     `cmd:"" help:"List what systemd says of each unit on each machine."`
	ListUnitFiles listUnitFilesCmd `cmd:"" help:"List the units of the cluster and the states they should be in."`
	Submit        submitCmd        `cmd:"" help:"Store units without running them."`
	Load          loadCmd          `cmd:"" help:"Have units placed on machines and loaded there, submitting them first if need be."`
	Start         startCmd         `cmd:"" help:"Have units run, submitting them first if need be."`
	Stop          stopCmd          `cmd:"" help:"Have units stop and stay loaded where they are."`
	Restart       restartCmd       `cmd:"" help:"Have units stop and run again where they are."`
	Unload        unloadCmd        `cmd:"" help:"Have units stop and leave their machines."`
	Destroy       destroyCmd       `cmd:"" help:"Remove units from the cluster."`
	Cat           catCmd           `cmd:"" help:"Print the file of a unit."`
	Status        statusCmd        `cmd:"" help:"Show what units do, and the last lines they wrote."`
	Journal       journalCmd       `cmd:"" help:"Print what a unit has written."`
	Explain       explainCmd       `cmd:"" help:"Say why a unit is placed where it is, or nowhere."`
	Cordon        cordonCmd        `cmd:"" help:"Have machines keep what they have and take nothing new."`
	Uncordon      uncordonCmd      `cmd:"" help:"Open machines that were cordoned or drained."`
	Drain         drainCmd         `cmd:"" help:"Have the units of machines move to others."`
	Rebalance     rebalanceCmd     `cmd:"" help:"Have units move for a better use of machines."`
	SSH           sshCmd           `cmd:"" name:"ssh" help:"Run a command, or a shell, on a machine or on that of a unit."`
	FDForward     fdForwardCmd     `cmd:"" name:"fd-forward" help:"Carry stdin and stdout to a Unix socket and back."`
	Verify        verifyCmd        `cmd:"" hidden:""`
	Version       versionCmd       `cmd:"" help:"Print the version of fleetctl."`
	Help          helpCmd          `cmd:"" help:"Show help for a command."`
}

func main() { os.Exit(run(os.Args[1:])) }

// run returns the exit code of a command line.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	parser, err := kong.New(&c,
		kong.Name("fleetctl"),
		kong.Description("Hand systemd units to a cluster of machines and see what becomes of them.\n\nfleetctl version "+version),
		kong.Exit(os.Exit),
		kong.Vars{"endpoint": defaultEndpoint},
	)
	if err != nil {
		panic(fmt.Sprintf("fleetctl: command line is misdeclared: %v", err))
	}
	args, err = normalize(parser.Model.Node, args)
	if err != nil {
		return misused(err)
	}
	command, err := parser.Parse(args)
	if err != nil {
		return misused(err)
	}
	a := &app{globals: c.globals, in: os.Stdin, out: os.Stdout, err: os.Stderr}
	defer a.close()
	command.BindTo(ctx, (*context.Context)(nil))
	switch err := command.Run(a); {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		return 130
	default:
		if code, ok := errors.AsType[exitCode](err); ok {
			return int(code)
		}
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
}

// misused reports a command line that makes no sense.
func misused(err error) int {
	fmt.Fprintf(os.Stderr, "Error: %v\nRun 'fleetctl --help' for usage.\n", err)
	return 2
}
