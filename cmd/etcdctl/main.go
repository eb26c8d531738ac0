// Command etcdctl reads, writes and watches the key space of a cluster over the
// etcd v2 HTTP API, as etcdctl of the original does with ETCDCTL_API=2.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kong"
)

// cli is the command line.
type cli struct {
	globals

	Mk            mkCmd            `cmd:"" help:"make a new key with a given value"`
	Mkdir         mkdirCmd         `cmd:"" help:"make a new directory"`
	Rm            rmCmd            `cmd:"" help:"remove a key or a directory"`
	Rmdir         rmdirCmd         `cmd:"" help:"remove a key or an empty directory"`
	Get           getCmd           `cmd:"" help:"print the value of a key"`
	Ls            lsCmd            `cmd:"" help:"list a directory"`
	Set           setCmd           `cmd:"" help:"set the value of a key"`
	Setdir        setdirCmd        `cmd:"" help:"make a directory, in place of a key if there is one"`
	Update        updateCmd        `cmd:"" help:"change the value of an existing key"`
	Updatedir     updatedirCmd     `cmd:"" help:"change the TTL of an existing directory"`
	Watch         watchCmd         `cmd:"" help:"wait for a key to change"`
	ExecWatch     execWatchCmd     `cmd:"" help:"run a command at every change of a key"`
	ClusterHealth clusterHealthCmd `cmd:"" help:"check the health of the cluster"`
	Member        memberCmd        `cmd:"" help:"members of the cluster"`
	User          userCmd          `cmd:"" help:"users, their passwords and roles"`
	Role          roleCmd          `cmd:"" help:"roles and their permissions"`
	Auth          authCmd          `cmd:"" help:"whether the cluster asks who somebody is"`
	Backup        backupCmd        `cmd:"" help:"copy the data of a member, which may be running"`
	Restore       restoreCmd       `cmd:"" help:"make the only member of a new cluster of a backup"`
	Import        importCmd        `cmd:"" help:"copy the keys of another cluster into this one"`
}

// globals are the flags of every command. Of the three that name endpoints the
// first one given counts, be it as a flag or as a variable.
type globals struct {
	Endpoints string `env:"ETCDCTL_ENDPOINTS" help:"comma-separated URLs of members; default http://127.0.0.1:2379,http://127.0.0.1:4001"`
	Endpoint  string `env:"ETCDCTL_ENDPOINT" help:"older name of --endpoints"`
	Peers     string `env:"ETCDCTL_PEERS" short:"C" help:"oldest name of --endpoints"`

	Output            string `short:"o" default:"simple" help:"format of answers: simple, extended or json"`
	DiscoverySRV      string `name:"discovery-srv" short:"D" env:"ETCDCTL_DISCOVERY_SRV" help:"find the endpoints in the SRV records of this domain"`
	DiscoverySRVName  string `name:"discovery-srv-name" env:"ETCDCTL_DISCOVERY_SRV_NAME" help:"which of the clusters of the domain, where it has several"`
	InsecureDiscovery bool   `env:"ETCDCTL_INSECURE_DISCOVERY" help:"take endpoints without https, too, from SRV records"`
	InsecureTransport bool   `env:"ETCDCTL_INSECURE_TRANSPORT" default:"true" help:"false refuses endpoints without https"`

	NoSync       bool          `help:"use the endpoints as given instead of asking them for the members' URLs"`
	Timeout      time.Duration `default:"2s" help:"time for one request at one endpoint"`
	TotalTimeout time.Duration `default:"5s" help:"time for the whole command, except watches"`
	Debug        bool          `help:"print requests to stderr as curl commands"`

	Username string `env:"ETCDCTL_USERNAME" short:"u" help:"user name[:password]; asks for the password if there is none"`
	CertFile string `env:"ETCDCTL_CERT_FILE" help:"client certificate (PEM)"`
	KeyFile  string `env:"ETCDCTL_KEY_FILE" help:"key of the client certificate (PEM)"`
	CAFile   string `name:"ca-file" env:"ETCDCTL_CA_FILE" help:"authorities that may have signed the servers' certificates (PEM)"`

	Version kong.VersionFlag `short:"v" help:"print the version"`
}

func main() { os.Exit(run(os.Args[1:])) }

// run carries out a command line and returns the exit status.
func run(args []string) int {
	a := &app{stdin: bufio.NewReader(os.Stdin), terminal: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	var c cli
	parser, err := kong.New(&c,
		kong.Name("etcdctl"),
		kong.Description("a command line client for the etcd v2 API"),
		kong.Help(printHelp),
		kong.Vars{"version": "etcdctl version: " + version() + "\nAPI version: 2"},
	)
	if err != nil {
		fmt.Fprintln(a.stderr, err)
		return exitUsage
	}
	args, err = normalise(parser.Model.Node, args)
	if err != nil {
		fmt.Fprintln(a.stderr, err)
		return exitUnknownCommand
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return usage(a, err)
	}
	switch c.Output {
	case "simple", "extended", "json":
	default:
		fmt.Fprintf(a.stderr, "Unsupported output format: %s\n", c.Output)
		return exitOK
	}
	a.globals = c.globals
	return a.report(parsed.Run(a))
}

// usage prints the help of the command at fault to stdout, and the fault.
func usage(a *app, err error) int {
	if e, ok := errors.AsType[*kong.ParseError](err); ok {
		_ = e.Context.PrintUsage(false)
	}
	fmt.Fprintln(a.stderr, err)
	return exitUsage
}

// version returns the version of the module that the program was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
