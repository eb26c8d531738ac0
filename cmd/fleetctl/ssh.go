package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/strakeproject/strake/cmd/fleetctl/internal/remote"
	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/schedule/registry"
)

// remoteConfig is how to connect to any machine.
func (a *app) remoteConfig() remote.Config {
	cfg := remote.Config{
		User:        a.SSHUsername,
		AgentSocket: os.Getenv("SSH_AUTH_SOCK"),
		Timeout:     time.Duration(a.SSHTimeout * float64(time.Second)),
	}
	if a.StrictHostKeys {
		path := a.KnownHostsFile
		if rest, ok := strings.CutPrefix(path, "~/"); ok {
			home, _ := os.UserHomeDir() // without one the file is in the root, and cannot be written
			path = filepath.Join(home, rest)
		}
		cfg.Hosts = &remote.KnownHosts{Path: path, Ask: a.askYes, Out: a.err}
	}
	return cfg
}

// askYes reads a line from stdin, and no more than that: what follows may be for
// a command.
func (a *app) askYes() bool {
	var line []byte
	for b := make([]byte, 1); ; {
		if n, err := a.in.Read(b); n == 0 || err != nil || b[0] == '\n' {
			break
		}
		line = append(line, b[0])
	}
	answer := strings.ToLower(strings.TrimSpace(string(line)))
	return answer == "yes" || answer == "y"
}

// openTunnel connects to the host of --tunnel.
func (a *app) openTunnel(ctx context.Context) error {
	if a.tunnel != nil {
		return nil
	}
	var err error
	a.tunnel, err = remote.Dial(ctx, a.Tunnel, nil, a.remoteConfig())
	if err != nil {
		return fmt.Errorf("failed initializing SSH client: %w", err)
	}
	return nil
}

// dialTunnel connects to a fleetd as seen from the host of --tunnel.
func (a *app) dialTunnel(ctx context.Context, network, address string) (net.Conn, error) {
	if network == "unix" {
		return a.tunnel.DialUnix(address)
	}
	return a.tunnel.DialTCP(ctx, address)
}

type sshCmd struct {
	ForwardAgent bool     `short:"A" help:"Let the machine use the SSH agent here."`
	SSHPort      int      `name:"ssh-port" default:"22" placeholder:"N" help:"Port of the machine's SSH server."`
	Machine      string   `placeholder:"ID" help:"Machine, by ID or its beginning."`
	Unit         string   `placeholder:"UNIT" help:"Unit whose machine is meant."`
	Args         []string `arg:"" optional:"" name:"args" help:"Machine or unit, unless a flag says which, and the command with its arguments."`
}

// Run runs a command on a machine, and exits as it does.
func (c *sshCmd) Run(ctx context.Context, a *app) error {
	switch {
	case c.Machine != "" && c.Unit != "":
		return a.fail("Both machine and unit flags provided, please specify only one.")
	case c.Machine == "" && c.Unit == "" && len(c.Args) == 0:
		return a.fail("Unable to proceed: one machine or unit must be provided")
	}
	if err := a.connect(ctx); err != nil {
		return err
	}
	address, command, err := c.find(ctx, a)
	if err != nil {
		return a.fail("Unable to proceed: %v", err)
	}
	if address == "" {
		return a.fail("Could not determine address of machine.")
	}
	return c.run(ctx, a, net.JoinHostPort(address, strconv.Itoa(c.SSHPort)), strings.Join(command, " "))
}

// find finds the address of the machine that is meant, and the command.
func (c *sshCmd) find(ctx context.Context, a *app) (address string, command []string, err error) {
	machines, err := a.api.Machines(ctx)
	if err != nil {
		return "", nil, err
	}
	switch {
	case c.Machine != "":
		m, err := oneMachine(machines, c.Machine)
		return m.PrimaryIP, c.Args, err
	case c.Unit != "":
		m, err := machineOf(ctx, a, machines, c.Unit)
		return m.PrimaryIP, c.Args, err
	}
	arg := c.Args[0]
	m, notMachine := oneMachine(machines, arg)
	u, notUnit := machineOf(ctx, a, machines, arg)
	switch {
	case notMachine == nil && notUnit == nil:
		return "", nil, fmt.Errorf("ambiguous argument, both machine and unit found for `%s`.\nPlease use flag `-m` or `-u` to refine the search", arg)
	case notMachine == nil:
		return m.PrimaryIP, c.Args[1:], nil
	case notUnit == nil:
		return u.PrimaryIP, c.Args[1:], nil
	case !errors.Is(notUnit, registry.ErrUnitNotFound):
		return "", nil, notUnit
	}
	return "", nil, errors.New("could not find matching unit or machine")
}

func oneMachine(machines []api.Machine, prefix string) (api.Machine, error) {
	var found []api.Machine
	for _, m := range machines {
		if strings.HasPrefix(m.ID, prefix) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return api.Machine{}, errors.New("machine does not exist")
	case 1:
		return found[0], nil
	}
	return api.Machine{}, errors.New("found more than one machine")
}

// machineOf returns the machine that a unit is on.
func machineOf(ctx context.Context, a *app, machines []api.Machine, name string) (api.Machine, error) {
	u, err := a.api.Unit(ctx, parseUnitArg(name).name)
	switch {
	case errors.Is(err, registry.ErrUnitNotFound):
		return api.Machine{}, registry.ErrUnitNotFound
	case err != nil:
		return api.Machine{}, err
	case isGlobal(u):
		return api.Machine{}, errors.New("global units unsupported")
	}
	for _, m := range machines {
		if m.ID == u.MachineID {
			return m, nil
		}
	}
	return api.Machine{}, nil // it has no address
}

// run runs the command, or a shell, at an address.
func (c *sshCmd) run(ctx context.Context, a *app, address, command string) error {
	machine, err := remote.Dial(ctx, address, a.tunnel, a.remoteConfig())
	if err != nil {
		return a.fail("Failed building SSH client: %v", err)
	}
	defer machine.Close()
	std := remote.Stdio{In: a.in, Out: a.out, Err: a.err, ForwardAgent: c.ForwardAgent}
	if command == "" && remote.IsTerminal(a.in) {
		std.Terminal = a.in
	}
	code, err := machine.Run(ctx, command, std)
	switch {
	case err != nil:
		return a.fail("Failed running command over SSH: %v", err)
	case code != 0:
		return exitCode(code)
	}
	return nil
}

type fdForwardCmd struct {
	Sockets []string `arg:"" optional:"" name:"socket" help:"Path of the socket."`
}

// Run carries stdin to a socket and what comes from there to stdout, until
// either ends: the far half of a tunnel to a Unix socket.
func (c *fdForwardCmd) Run(ctx context.Context, a *app) error {
	if len(c.Sockets) != 1 {
		return a.fail("Provide a single argument")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", c.Sockets[0])
	if err != nil {
		return a.fail("Failed dialing remote address: %v", err)
	}
	defer conn.Close()
	ended := make(chan error, 2)
	for _, way := range []struct {
		to   io.Writer
		from io.Reader
	}{{conn, a.in}, {a.out, conn}} {
		go func() {
			_, err := io.Copy(way.to, way.from)
			ended <- err
		}()
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	if err != nil {
		return a.fail("Failed forwarding: %v", err)
	}
	return nil
}

type verifyCmd struct {
	Units []string `arg:"" optional:"" name:"unit" help:"Units."`
}

// Run says that there is nothing to verify any more.
func (c *verifyCmd) Run(a *app) error {
	a.note(`Command "verify" is deprecated, it verifies nothing`)
	a.note("WARNING: The signed/verified units feature is DEPRECATED and cannot be used.")
	return exitCode(2)
}
