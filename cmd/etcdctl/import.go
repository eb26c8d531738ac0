package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv/client"
	"github.com/strakeproject/strake/kv/client/migrate"
)

type importCmd struct {
	From        string   `help:"comma-separated URLs of members of the cluster to copy from"`
	FromUser    string   `name:"from-username" env:"ETCDCTL_FROM_USERNAME" help:"user name:password there"`
	Hidden      []string `help:"hidden keys to copy as well; listings do not tell them" placeholder:"KEY"`
	Concurrency int      `short:"c" default:"16" help:"how many keys to write at a time"`
	Args        []string `arg:"" optional:"" name:"[<key>...]" help:"keys to copy with all below; default all that are not hidden"`
}

// Help is what kong shows below the flags' summary.
func (c *importCmd) Help() string {
	return `Each key to copy is read in one step, all below it included, so that the copy shows one moment of it. Keys that the target has and the source has not are left alone; where both have a key, the source's value wins. Times to live go on. What is the same already is not written again, so that an import that was interrupted goes on when it is started again, and a second import brings what has changed since the first.

Not copied: indexes, users, roles, hidden keys that are not named, and bytes that are no UTF-8, which the API does not show.

  etcdctl --endpoints http://new:2379 import --from http://old:2379 --hidden /_coreos.com`
}

// readTimeout is for one read of a whole key space.
const readTimeout = 10 * time.Minute

func (c *importCmd) Run(a *app) error {
	if c.From == "" {
		return plainFailure("Please name the cluster to copy from with --from")
	}
	source, target, err := c.clients(a)
	if err != nil {
		return plainFailure(err.Error())
	}
	defer source.Close()
	defer target.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	keys := append(c.Args, c.Hidden...)
	if len(c.Args) == 0 {
		keys = append([]string{"/"}, c.Hidden...)
	}
	progress, done := a.progress()
	report, err := migrate.Copy(ctx, source, target, migrate.Config{Keys: keys, Workers: c.Concurrency, Progress: progress})
	done()
	fmt.Fprintf(a.stdout, "imported %d keys and %d directories as of index %d; %d were there already, %d have expired\n",
		report.Files, report.Dirs, report.Index, report.Same, report.Expired)
	if report.Replaced > 0 {
		fmt.Fprintf(a.stderr, "%d values hold U+FFFD: bytes that are no UTF-8 may be lost\n", report.Replaced)
	}
	for _, conflict := range report.Conflicts {
		fmt.Fprintf(a.stderr, "not imported: %s: %s\n", conflict.Key, describe(conflict.Err))
	}
	switch {
	case errors.Is(err, context.Canceled):
		return plainFailure("interrupted; the same command goes on from here")
	case err != nil:
		return err
	case len(report.Conflicts) > 0:
		return &failure{code: exitUsage}
	}
	return nil
}

// clients connects to both clusters. They are read as a whole, which takes
// longer than other requests; writes do no harm when they are repeated.
func (c *importCmd) clients(a *app) (source, target *client.Client, err error) {
	to, err := a.clientConfig()
	if err != nil {
		return nil, nil, err
	}
	to.Timeout, to.RepeatWrites = max(a.Timeout, readTimeout), true
	from := to
	from.Endpoints = strings.Split(c.From, ",")
	from.Username, from.Password, _ = strings.Cut(c.FromUser, ":")
	if source, err = client.New(from); err != nil {
		return nil, nil, fmt.Errorf("--from: %w", err)
	}
	target, err = client.New(to)
	return source, target, err
}

// progressInterval keeps a terminal readable.
const progressInterval = 100 * time.Millisecond

// progress shows how far a copy is, if there is a terminal to show it on, until
// done.
func (a *app) progress() (show func(done, total int), done func()) {
	f, ok := a.stderr.(*os.File)
	if !ok || !isTerminal(f) {
		return nil, func() {}
	}
	var mu sync.Mutex
	var last time.Time
	show = func(done, total int) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); done == total || now.Sub(last) >= progressInterval {
			last = now
			fmt.Fprintf(f, "\r%d of %d", done, total)
		}
	}
	return show, func() {
		mu.Lock()
		defer mu.Unlock()
		if !last.IsZero() {
			fmt.Fprintln(f)
		}
	}
}
