package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"github.com/strakeproject/strake/kv/auth"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/httpapi/memberapi"
	"github.com/strakeproject/strake/kv/member"
)

// stopTimeout bounds a graceful end.
const stopTimeout = 10 * time.Second

type flags struct {
	Name                     string `default:"default" help:"Name of this member, as in --initial-cluster."`
	DataDir                  string `help:"Data directory; default NAME.etcd."`
	ListenPeerURLs           string `name:"listen-peer-urls" default:"${peerURL}" help:"URLs to serve peers on."`
	ListenClientURLs         string `name:"listen-client-urls" help:"URLs to serve clients on; default ${clientURL}."`
	InitialAdvertisePeerURLs string `name:"initial-advertise-peer-urls" default:"${peerURL}" help:"URLs that peers reach this member under."`
	AdvertiseClientURLs      string `name:"advertise-client-urls" help:"URLs that clients reach this member under; default ${clientURL}."`
	InitialCluster           string `help:"All members of a new cluster, as n1=url,n2=url; default this one alone."`
	InitialClusterState      string `default:"new" enum:"new,existing" help:"Whether a member without data makes or joins a cluster."`
	InitialClusterToken      string `default:"etcd-cluster" help:"Sets clusters with the same members apart."`
	HeartbeatInterval        uint   `default:"100" help:"Milliseconds between a leader's heartbeats."`
	ElectionTimeout          uint   `default:"1000" help:"Milliseconds without a heartbeat before an election."`
	SnapshotCount            uint32 `help:"How many changes the log keeps for members that lag, by 1 KiB each; default 65536."`
	StrictReconfigCheck      bool   `default:"true" help:"Accepted; a change that would lose the quorum is refused in any case."`
	Version                  bool   `env:"-" help:"Print the version and exit."`
}

func main() {
	dropEmptyVariables()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program; it returns its exit status.
func run(args []string, stdout, stderr io.Writer) int {
	var f flags
	parser := kong.Must(&f, kong.Name("etcd"), kong.DefaultEnvars("ETCD"), kong.Writers(stdout, stderr),
		kong.Description("A member of a replicated key-value store with the v2 API."),
		kong.Vars{"peerURL": member.DefaultPeerURL, "clientURL": member.DefaultClientURL})
	if _, err := parser.Parse(doubleDashes(args)); err != nil {
		if stray, ok := strings.CutPrefix(err.Error(), "unexpected argument "); ok {
			fmt.Fprintf(stderr, "etcd: '%s' is not a valid flag\n", stray)
			return 1
		}
		fmt.Fprintf(stderr, "etcd: %v, see etcd --help\n", err)
		return 2
	}
	if f.Version {
		printVersion(stdout)
		return 0
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	for _, name := range unknownVariables(parser.Model, os.Environ()) {
		log.Warn("unrecognized environment variable", "name", name)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := f.serve(ctx, log)
	if errors.Is(err, member.ErrMemberRemoved) {
		log.Warn("this member has been permanently removed from the cluster, its data directory has to go", "err", err)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "etcd: %v\n", err)
		return 1
	}
	return 0
}

// serve runs the member and its client API until ctx ends or either fails.
func (f *flags) serve(ctx context.Context, log *slog.Logger) error {
	s, err := f.settings()
	if err != nil {
		return err
	}
	s.member.Logger = log
	clients, err := member.Listen(ctx, s.clientListen)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	if s.member.PeerListeners, err = member.Listen(ctx, s.peerListen); err != nil {
		return err
	}
	m, err := member.Open(ctx, s.member)
	if err != nil {
		return err
	}
	authority, err := auth.Open(ctx, auth.Config{Store: m, Logger: log})
	if err != nil {
		return errors.Join(err, stopMember(ctx, m))
	}
	defer authority.Close()
	api := httpapi.New(httpapi.Config{
		Store: m, Cluster: memberapi.Of(m), Changer: memberapi.Of(m), Auth: authority,
		Version: version, RequestTimeout: m.RequestTimeout(), Logger: log,
	})
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range clients {
		log.Info("serving clients", "addr", l.Addr())
		g.Go(func() error { return api.Serve(ctx, l) })
	}
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-m.Done():
			return m.Err()
		}
	})
	err = g.Wait()
	if stopErr := stopMember(ctx, m); err == nil {
		err = stopErr
	}
	return err
}

func stopMember(ctx context.Context, m *member.Member) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return m.Stop(ctx)
}

func closeAll(ls []net.Listener) {
	for _, l := range ls {
		_ = l.Close() // most have been closed already
	}
}

// doubleDashes lets long flags begin with a single dash, as in the original.
func doubleDashes(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		if len(a) > 2 && a[0] == '-' && a[1] != '-' {
			a = "-" + a
		}
		out[i] = a
	}
	return out
}
