package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// stopTimeout bounds a graceful end.
const stopTimeout = 10 * time.Second

type flags struct {
	Demo  demo  `cmd:"" default:"withargs" help:"Run three members in this process, and show one stopping and coming back."`
	Serve serve `cmd:"" help:"Run one member."`
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var f flags
	parser := kong.Must(&f, kong.Name("counter"), kong.Writers(stdout, stderr),
		kong.Description("Replicated registers."))
	cmd, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "counter: %v, see counter --help\n", err)
		return 2
	}
	switch cmd.Command() {
	case "serve":
		err = f.Serve.run(ctx, slog.New(slog.NewTextHandler(stderr, nil)))
	default:
		err = f.Demo.run(ctx, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "counter: %v\n", err)
		return 1
	}
	return 0
}

// serve runs one member and its front.
type serve struct {
	memberConfig `embed:""`
	Listen       string `required:"" help:"Address to serve clients on." placeholder:"HOST:PORT"`
}

// run ends when ctx does, or with what ended the member.
func (s *serve) run(ctx context.Context, log *slog.Logger) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return err
	}
	defer l.Close()
	m, err := openMember(ctx, s.memberConfig, log)
	if err != nil {
		return err
	}
	clients := &http.Server{Handler: newFront(m), ReadHeaderTimeout: 10 * time.Second}
	m.tasks.Go(func() {
		if err := clients.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("clients are not served any more", "err", err)
		}
	})
	log.Info("serving clients", "addr", l.Addr())
	select {
	case <-ctx.Done():
	case <-m.node.Done():
	}
	// First the clients, whose requests may be under way, then the member.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := clients.Shutdown(grace); err != nil {
		log.Warn("requests cut off", "err", err)
	}
	return m.stop(grace)
}
