package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv"
)

type watchCmd struct {
	Recursive  bool     `short:"r" help:"also all below the key"`
	Forever    bool     `short:"f" help:"go on until SIGINT"`
	AfterIndex uint64   `help:"begin after this index; 0 is from now on"`
	Args       []string `arg:"" optional:"" name:"<key>"`
}

// Help is what kong shows below the flags' summary.
func (c *watchCmd) Help() string {
	return `Waits for one change, or with --forever for all that come, and prints them. Members that fail, and members that come and go, are no matter. When more has happened than the servers remember, it ends with status 4 and error 401.

  etcdctl watch /config/app
  etcdctl watch /services --recursive --forever
  etcdctl watch /config/app --after-index 41`
}

func (c *watchCmd) Run(a *app) error {
	if len(c.Args) == 0 {
		return misuse("key required")
	}
	return a.watch(c.Args[0], c.Recursive, c.AfterIndex, func(ev kv.Event) (more bool, err error) {
		if ev.Node.Dir {
			return true, nil
		}
		if c.Recursive {
			fmt.Fprintf(a.stdout, "[%s] %s\n", ev.Action, ev.Node.Key)
		}
		return c.Forever, printKey(a.stdout, a.Output, ev)
	})
}

type execWatchCmd struct {
	Recursive  bool     `short:"r" help:"also all below the key"`
	AfterIndex uint64   `help:"begin after this index; 0 is from now on"`
	Args       []string `arg:"" optional:"" name:"<key> [--] <command> [args...]" help:"ETCD_WATCH_ACTION, _KEY, _VALUE and _MODIFIED_INDEX tell the command what happened"`
}

// Help is what kong shows below the flags' summary.
func (c *execWatchCmd) Help() string {
	return `Goes on until SIGINT, and does not wait for one run of the command to end before it starts the next.

  etcdctl exec-watch /config/app -- systemctl reload app
  etcdctl exec-watch --recursive /services -- sh -c 'echo $ETCD_WATCH_ACTION $ETCD_WATCH_KEY: $ETCD_WATCH_VALUE'`
}

func (c *execWatchCmd) Run(a *app) error {
	if len(c.Args) < 2 {
		return misuse("key and command to exec required")
	}
	key, command := c.Args[0], c.Args[1:]
	return a.watch(key, c.Recursive, c.AfterIndex, func(ev kv.Event) (more bool, err error) {
		if ev.Node.Dir {
			fmt.Fprintf(a.stderr, "Ignored dir %s change\n", ev.Node.Key)
			return true, nil
		}
		return true, a.start(command, ev)
	})
}

// start runs a command without waiting for it. The goroutine that does wait, so
// that no zombie is left, ends with the command or with this program.
func (a *app) start(command []string, ev kv.Event) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(),
		"ETCD_WATCH_ACTION="+string(ev.Action),
		"ETCD_WATCH_KEY="+ev.Node.Key,
		"ETCD_WATCH_MODIFIED_INDEX="+strconv.FormatUint(ev.Node.ModifiedIndex, 10),
		"ETCD_WATCH_VALUE="+ev.Node.Value,
	)
	cmd.Stdout, cmd.Stderr = a.stdout, a.stderr
	if err := cmd.Start(); err != nil {
		return &failure{code: exitUsage, err: fmt.Errorf("start %s: %w", command[0], err)}
	}
	go func() { _ = cmd.Wait() }()
	return nil
}

// syncInterval is how often a watch asks for the members, which may come and go
// while it waits.
const syncInterval = time.Minute

// watch calls fn for each change until fn has had enough or SIGINT comes.
func (a *app) watch(key string, recursive bool, after uint64, fn func(kv.Event) (more bool, err error)) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c, _, cancel, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	cancel() // the time for a command is not meant for watches
	if !a.NoSync {
		var tasks sync.WaitGroup
		defer tasks.Wait()
		defer stop()
		tasks.Go(func() { _ = c.AutoSync(ctx, syncInterval) }) // which ends with ctx alone
	}
	opts := kv.WatchOptions{Recursive: recursive}
	if after > 0 {
		opts.From = after + 1
	}
	w, err := c.Watch(ctx, key, opts)
	if err != nil {
		return err
	}
	index := w.Index // the store index when the event was asked for
	for ev, err := range w.Events {
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if e, ok := errors.AsType[*kv.WatchError](err); ok {
			return e.Err
		}
		ev.Index, index = index, max(index, ev.Index)
		if more, err := fn(ev); err != nil || !more {
			return err
		}
	}
	return nil
}
