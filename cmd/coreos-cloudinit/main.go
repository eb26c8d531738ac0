package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/strakeproject/strake/cmd/internal/goflags"
)

// cli is the command line.
type cli struct {
	FromFile         string `name:"from-file" placeholder:"PATH" group:"src" help:"Read user-data from this file."`
	FromURL          string `name:"from-url" placeholder:"URL" group:"src" help:"Download user-data from this URL."`
	FromConfigDrive  string `name:"from-configdrive" placeholder:"PATH" group:"src" help:"Read data from this config drive: a directory, or an image of one."`
	FromWaagent      string `name:"from-waagent" placeholder:"DIR" group:"src" help:"Read data from this directory of Azure's agent."`
	FromEC2          string `name:"from-ec2-metadata" placeholder:"URL" group:"src" help:"Download data from this EC2 service."`
	FromMetadata     bool   `name:"from-metadata-service" group:"src" help:"Deprecated: -from-ec2-metadata http://169.254.169.254/."`
	FromGCE          string `name:"from-gce-metadata" placeholder:"URL" group:"src" help:"Download data from this GCE service."`
	FromDigitalOcean string `name:"from-digitalocean-metadata" placeholder:"URL" group:"src" help:"Download data from this DigitalOcean service."`
	FromPacket       string `name:"from-packet-metadata" placeholder:"URL" group:"src" help:"Download data from this Packet service."`
	FromCloudSigma   bool   `name:"from-cloudsigma-metadata" group:"src" help:"Read data from CloudSigma's serial port."`
	FromProcCmdline  bool   `name:"from-proc-cmdline" group:"src" help:"Download user-data from cloud-config-url=URL of the kernel's command line."`
	FromGuestinfo    bool   `name:"from-vmware-guestinfo" group:"src" help:"Read data from VMware's guestinfo."`
	FromOVFEnv       string `name:"from-vmware-ovf-env" placeholder:"PATH" group:"src" help:"Read data from this OVF environment."`
	OEM              string `name:"oem" placeholder:"NAME" group:"src" help:"Set the sources and conversions of a platform: ${oems}."`

	ConvertNetconf string        `name:"convert-netconf" placeholder:"KIND" help:"Turn the network of the meta-data into units for networkd: ${kinds}."`
	Workspace      string        `name:"workspace" default:"/var/lib/coreos-cloudinit" placeholder:"DIR" help:"Keep scripts and records in this directory."`
	SSHKeyName     string        `name:"ssh-key-name" default:"coreos-cloudinit" placeholder:"NAME" help:"Authorize keys under this name."`
	Name           string        `name:"name" placeholder:"NAME" help:"Record what is made under this name; each name takes back only its own. Default: oem for files in /usr/share/oem, else the kind of source."`
	IgnoreFailure  bool          `name:"ignore-failure" help:"Exit with 0 even if user-data could not be fetched or parsed."`
	Timeout        time.Duration `name:"timeout" default:"5m" help:"Wait this long for a source."`
	Wait           time.Duration `name:"wait" default:"2m" help:"Wait this long for each unit that is started; 0 has no bound."`

	Validate bool   `name:"validate" group:"look" help:"Only report on the user-data."`
	DryRun   bool   `name:"dry-run" group:"look" help:"Only show what would be done."`
	Report   string `name:"report" default:"text" enum:"text,json" group:"look" help:"text, or json: tell what was found and done on standard output."`
	Root     string `name:"root" default:"/" placeholder:"DIR" group:"look" help:"Apply to the image of a machine in this directory."`

	WriteConfigDrive string     `name:"write-config-drive" placeholder:"PATH" group:"make" help:"Write the source's data onto a config drive: FILE.iso, or else a directory."`
	Hostname         string     `name:"hostname" placeholder:"NAME" group:"make" help:"Name of the machine that the drive is for."`
	RenderCluster    int        `name:"render-cluster" placeholder:"N" group:"make" help:"Make NAME.yaml and the config drive NAME.iso for each of N machines from the template in -from-file. It may say <HOSTNAME>, <IP>, <TOKEN>, <DISCOVERY> and, once in a line that is repeated for each, <SSH_KEY>."`
	Out              string     `name:"out" default:"." placeholder:"DIR" group:"make" help:"Where they go."`
	NamePrefix       string     `name:"name-prefix" default:"core" placeholder:"TEXT" group:"make" help:"Machines are called this with a number from 1 on."`
	AddressFirst     netip.Addr `name:"address-first" placeholder:"IP" group:"make" help:"Address of the first machine; the others have those after it."`
	Discovery        string     `name:"discovery" placeholder:"URL" group:"make" help:"Get a token for N members from the discovery service at URL."`
	SSHKey           string     `name:"ssh-key" placeholder:"FILE" group:"make" help:"File with public keys, one in a line."`

	Version kong.VersionFlag `name:"version" help:"Print the version."`
}

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the program; it returns its exit status.
func run(args []string, stdout, stderr io.Writer) (status int) {
	var c cli
	parser := kong.Must(&c,
		kong.Name("coreos-cloudinit"),
		kong.Description("Brings a machine up to date with its cloud-config."),
		kong.Writers(stdout, stderr),
		kong.Vars{"version": "coreos-cloudinit " + version(), "kinds": kindNames(), "oems": strings.Join(oemNames(), ", ")},
		kong.Groups{"src": "Where data come from (the first that is there counts):", "look": "What they are applied to:", "make": "What machines boot with:"},
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100}),
	)
	if _, err := parser.Parse(goflags.Normalize(parser.Model.Node, args)); err != nil {
		fmt.Fprintf(stderr, "coreos-cloudinit: %v, see coreos-cloudinit --help\n", err)
		return exitUsage
	}
	if text := c.preset(); text != "" {
		fmt.Fprintln(stdout, text)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	p := &program{cli: c, stdout: stdout, log: newLogger(stderr)}
	if c.RenderCluster != 0 {
		return p.render(ctx)
	}
	return p.run(ctx)
}

// version returns the version of the module that the program was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
