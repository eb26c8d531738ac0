package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

type flags struct {
	Bench bench `cmd:"" default:"withargs" help:"Measure both under the same load, and print tables."`
	Load  load  `cmd:"" help:"Generate load; bench runs this as a process of its own."`
	Scale scale `cmd:"" help:"Measure a key space of millions of keys, and many watchers."`
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var f flags
	parser := kong.Must(&f, kong.Name("versus"), kong.Writers(stdout, stderr),
		kong.Description("Our server and the original, side by side."))
	cmd, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "versus: %v, see versus --help\n", err)
		return 2
	}
	switch command, _, _ := strings.Cut(cmd.Command(), " "); command {
	case "load":
		err = f.Load.run(ctx, stdout)
	case "scale":
		err = f.Scale.run(ctx, stdout)
	default:
		err = f.Bench.run(ctx, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintf(stderr, "versus: %v\n", err)
		return 1
	}
	return 0
}
