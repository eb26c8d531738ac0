// Command cluster runs a whole cluster in one process, on loopback, as an
// ordinary user: three key-value members, and six machines that each run an
// agent, an engine and an overlay network, with units that are real processes.
// It tells what happens when a leader stops, a machine dies and all machines
// reboot, and then keeps running for you to try etcdctl and fleetctl on it.
//
//	go run ./examples/cluster           tell the story, then keep running
//	go run ./examples/cluster --exit    tell it, and end with status 0 if all held
//
// The machines come from cloud-config.yaml and the units from units/, both in
// this folder; --config takes them from elsewhere.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type flags struct {
	Exit    bool   `help:"End when the story is told: status 0 if everything held, else 1."`
	Dir     string `help:"Keep the data in DIR, where a later start continues. Default: a temporary directory." placeholder:"DIR"`
	Config  string `help:"Take cloud-config.yaml and units/ from DIR instead of the built-in ones." placeholder:"DIR"`
	Net     string `help:"First three bytes of the machines' loopback addresses." default:"127.0.0" placeholder:"A.B.C"`
	Verbose bool   `short:"v" help:"Log what the parts do, on standard error."`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("cluster"),
		kong.Description("Run a whole Strake cluster in one process and show what it survives."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, f); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags) (err error) {
	conf, err := loadConfig(f.Config, f.Net)
	if err != nil {
		return err
	}
	dir := f.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "strake-cluster-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	log := slog.New(slog.DiscardHandler)
	if f.Verbose {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	c, err := newCluster(conf, dir, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()

	s := &story{cluster: c, screen: newScreen(os.Stdout)}
	if err := s.tell(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted
		}
		return err
	}
	if f.Exit {
		return nil
	}
	s.invite()
	<-ctx.Done()
	return nil
}
