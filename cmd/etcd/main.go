package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/strakeproject/strake/cmd/internal/goflags"
	"github.com/strakeproject/strake/kv/member"
)

func main() {
	dropEmptyVariables()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program; it returns its exit status.
func run(args []string, stdout, stderr io.Writer) int {
	fail := func(status int, err error) int {
		fmt.Fprintf(stderr, "etcd: %v\n", err)
		return status
	}
	var f flags
	var file resolver
	parser := newParser(&f, &file, kong.Writers(stdout, stderr))
	env := environment(os.Environ())
	args, dropped := dropIgnored(goflags.Normalize(parser.Model.Node, args), env)
	more, err := file.read(args, env)
	if err != nil {
		return fail(1, err)
	}
	if _, err := parser.Parse(args); err != nil {
		return fail(parseError(err, &file))
	}
	if f.Version {
		printVersion(stdout)
		return 0
	}
	s, err := f.settle()
	if err != nil {
		return fail(1, err)
	}
	log, level, err := f.Logging.logger(stdout, stderr)
	if err != nil {
		return fail(1, err)
	}
	for _, name := range append(dropped, more...) {
		log.Warn("ignored, it has no meaning here", "flag", name)
	}
	for _, name := range unknownVariables(parser.Model, env) {
		log.Warn("unrecognized environment variable", "name", name)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	return status(ctx, s.run(ctx, log, level), log, stderr)
}

// parseError tells what is wrong with a flag, and the exit status for it.
func parseError(err error, file *resolver) (int, error) {
	if stray, ok := strings.CutPrefix(err.Error(), "unexpected argument "); ok {
		return 1, fmt.Errorf("'%s' is not a valid flag", stray)
	}
	if message, ok := file.blame(err); ok {
		return 1, errors.New(message)
	}
	if strings.HasPrefix(err.Error(), file.path) && file.path != "" {
		return 1, err
	}
	return 2, fmt.Errorf("%w, see etcd --help", err)
}

// status turns the end of the program into its exit status.
func status(ctx context.Context, err error, log *slog.Logger, stderr io.Writer) int {
	switch {
	case err == nil, ctx.Err() != nil && errors.Is(err, context.Canceled):
		return 0
	case errors.Is(err, member.ErrMemberRemoved):
		log.Warn("this member has been permanently removed from the cluster, its data directory has to go", "err", err)
		return 0
	}
	fmt.Fprintf(stderr, "etcd: %v\n", err)
	return 1
}
