package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/strakeproject/strake/cmd/fleetctl/internal/remote"
	"github.com/strakeproject/strake/schedule/api"
)

const defaultEndpoint = api.DefaultEndpoint

// globals are the flags of all commands.
type globals struct {
	Endpoint       string  `env:"FLEETCTL_ENDPOINT" default:"${endpoint}" placeholder:"URL" help:"Where fleetd is: unix:///PATH, http://HOST:PORT or https://HOST:PORT. For the driver etcd the members, with commas between; default http://127.0.0.1:2379 and :4001."`
	Driver         string  `env:"FLEETCTL_DRIVER" default:"API" help:"How to reach the cluster: API, of a fleetd, or etcd, its store."`
	Tunnel         string  `env:"FLEETCTL_TUNNEL" placeholder:"HOST[:PORT]" help:"Reach the cluster through this host, over SSH."`
	KeyFile        string  `env:"FLEETCTL_KEY_FILE" placeholder:"PATH" help:"Key of the client certificate, for https."`
	CertFile       string  `env:"FLEETCTL_CERT_FILE" placeholder:"PATH" help:"Client certificate, for https."`
	CAFile         string  `name:"ca-file" env:"FLEETCTL_CA_FILE" placeholder:"PATH" help:"Certificate authorities that sign the server's certificate, for https. Default: the system's."`
	RequestTimeout float64 `env:"FLEETCTL_REQUEST_TIMEOUT" default:"0" placeholder:"SECONDS" help:"Time for one request to be answered; 0 is no limit."`
	SSHUsername    string  `name:"ssh-username" env:"FLEETCTL_SSH_USERNAME" default:"core" placeholder:"NAME" help:"User on the machines, for SSH."`
	SSHTimeout     float64 `name:"ssh-timeout" env:"FLEETCTL_SSH_TIMEOUT" default:"10" placeholder:"SECONDS" help:"Time for an SSH connection to be made."`
	KnownHostsFile string  `env:"FLEETCTL_KNOWN_HOSTS_FILE" default:"~/.fleetctl/known_hosts" placeholder:"PATH" help:"Hosts that are known and their keys."`
	StrictHostKeys bool    `name:"strict-host-key-checking" env:"FLEETCTL_STRICT_HOST_KEY_CHECKING" default:"true" negatable:"" help:"Check the keys of hosts."`
	Debug          bool    `env:"FLEETCTL_DEBUG" help:"Tell on stderr what is done."`
	EtcdKeyPrefix  string  `env:"FLEETCTL_ETCD_KEY_PREFIX" default:"/_coreos.com/fleet/" placeholder:"KEY" help:"Where in the store the cluster is, for the driver etcd."`
	// ExperimentalAPI is in old scripts; the API has long been the default.
	ExperimentalAPI bool `name:"experimental-api" env:"FLEETCTL_EXPERIMENTAL_API" hidden:"" default:"true"`
}

// exitCode ends fleetctl after its command has said all there is to say.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// app is what commands work with.
type app struct {
	globals
	out, err io.Writer
	in       *os.File
	api      *api.Client            // nil until connect
	tunnel   *remote.Client         // nil until connected through one
	etcd     *ownServer             // nil unless the driver is etcd
	machines map[string]api.Machine // by ID; nil until asked for
}

// say prints a line on stdout.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }

// note prints a line on stderr.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }

// logf prints a log line on stderr.
func (a *app) logf(level, format string, args ...any) {
	a.note(time.Now().Format("2006/01/02 15:04:05 ")+level+" "+format, args...)
}

func (a *app) debugf(format string, args ...any) {
	if a.Debug {
		a.logf("DEBUG", format, args...)
	}
}

// fail prints a line on stderr and returns what ends fleetctl with exit code 1.
func (a *app) fail(format string, args ...any) error {
	a.note(format, args...)
	return exitCode(1)
}

func (a *app) close() {
	if a.api != nil {
		a.api.Close()
	}
	if a.etcd != nil {
		a.etcd.close()
	}
	if a.tunnel != nil {
		a.tunnel.Close()
	}
}

// machineName is how people see a machine: the beginning of its ID and its
// address, or the whole ID. A machine that is not in the cluster has no address.
func (a *app) machineName(ctx context.Context, id string, full bool) string {
	name := id
	if !full {
		name = shortID(id) + "..."
	}
	if ip := a.machine(ctx, id).PrimaryIP; ip != "" {
		name += "/" + ip
	}
	return name
}

// machine looks a machine up, and lists the machines if it is not yet known.
func (a *app) machine(ctx context.Context, id string) api.Machine {
	if m, ok := a.machines[id]; ok {
		return m
	}
	machines, err := a.api.Machines(ctx)
	if err != nil {
		a.debugf("machines cannot be listed: %v", err)
		return api.Machine{ID: id}
	}
	a.machines = make(map[string]api.Machine)
	for _, m := range machines {
		a.machines[m.ID] = m
	}
	if _, ok := a.machines[id]; !ok {
		a.machines[id] = api.Machine{ID: id} // gone; no use asking again
	}
	return a.machines[id]
}

func shortID(id string) string { return id[:min(len(id), 8)] }
