package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/strakeproject/strake/kv"
)

// Arguments beyond those that a command takes are ignored, as ever.

type setCmd struct {
	TTL           int      `name:"ttl" help:"seconds to live; 0 is for ever"`
	SwapWithValue string   `help:"only if the key has this value"`
	SwapWithIndex uint64   `help:"only if the key was last modified at this index"`
	Args          []string `arg:"" optional:"" name:"<key> [<value>]" help:"the value is read from stdin if it is not given; put -- before one that begins with a dash"`
}

// Help is what kong shows below the flags' summary.
func (c *setCmd) Help() string {
	return `  etcdctl set /message Hello
  etcdctl set /services/web/1 10.0.0.1:80 --ttl 60
  etcdctl set /config/app < app.json
  etcdctl set /leader n2 --swap-with-value n1
  etcdctl set -- /offset -20`
}

func (c *setCmd) Run(a *app) error {
	cond := kv.Condition{PrevValue: c.SwapWithValue, PrevIndex: c.SwapWithIndex}
	return a.putFile(c.Args, func(ctx context.Context, s kv.Store, key, value string) (kv.Event, error) {
		if cond != (kv.Condition{}) {
			return s.CompareAndSwap(ctx, key, value, cond, kv.UpdateOptions{TTL: seconds(c.TTL)})
		}
		return s.Set(ctx, key, value, kv.SetOptions{TTL: seconds(c.TTL)})
	})
}

type mkCmd struct {
	TTL     int      `name:"ttl" help:"seconds to live; 0 is for ever"`
	InOrder bool     `help:"make a key in this directory, under a name that sorts last"`
	Args    []string `arg:"" optional:"" name:"<key> [<value>]" help:"the value is read from stdin if it is not given"`
}

// Help is what kong shows below the flags' summary.
func (c *mkCmd) Help() string {
	return `  etcdctl mk /lock n1 --ttl 30
  etcdctl mk /queue job --in-order`
}

func (c *mkCmd) Run(a *app) error {
	return a.putFile(c.Args, func(ctx context.Context, s kv.Store, key, value string) (kv.Event, error) {
		if c.InOrder {
			return s.CreateInOrder(ctx, key, value, kv.CreateOptions{TTL: seconds(c.TTL)})
		}
		return s.Create(ctx, key, value, kv.CreateOptions{TTL: seconds(c.TTL)})
	})
}

type updateCmd struct {
	TTL  int      `name:"ttl" help:"seconds to live; 0 is for ever"`
	Args []string `arg:"" optional:"" name:"<key> [<value>]" help:"the value is read from stdin if it is not given"`
}

func (c *updateCmd) Run(a *app) error {
	return a.putFile(c.Args, func(ctx context.Context, s kv.Store, key, value string) (kv.Event, error) {
		return s.Update(ctx, key, value, kv.UpdateOptions{TTL: seconds(c.TTL)})
	})
}

type mkdirCmd struct {
	TTL  int      `name:"ttl" help:"seconds to live; 0 is for ever"`
	Args []string `arg:"" optional:"" name:"<key>"`
}

func (c *mkdirCmd) Run(a *app) error {
	return a.onKey(c.Args, printDir, func(ctx context.Context, s kv.Store, key string) (kv.Event, error) {
		return s.Create(ctx, key, "", kv.CreateOptions{TTL: seconds(c.TTL), Dir: true})
	})
}

type setdirCmd struct {
	TTL  int      `name:"ttl" help:"seconds to live; 0 is for ever"`
	Args []string `arg:"" optional:"" name:"<key>"`
}

func (c *setdirCmd) Run(a *app) error {
	return a.onKey(c.Args, printDir, func(ctx context.Context, s kv.Store, key string) (kv.Event, error) {
		return s.Set(ctx, key, "", kv.SetOptions{TTL: seconds(c.TTL), Dir: true})
	})
}

type updatedirCmd struct {
	TTL  int      `name:"ttl" help:"seconds to live; 0 is for ever"`
	Args []string `arg:"" optional:"" name:"<key>"`
}

func (c *updatedirCmd) Run(a *app) error {
	return a.onKey(c.Args, printDir, func(ctx context.Context, s kv.Store, key string) (kv.Event, error) {
		return s.Update(ctx, key, "", kv.UpdateOptions{TTL: seconds(c.TTL)})
	})
}

type rmCmd struct {
	Dir       bool     `help:"also if it is an empty directory"`
	Recursive bool     `short:"r" help:"also if it is a directory, with all in it"`
	WithValue string   `help:"only if the key has this value"`
	WithIndex uint64   `help:"only if the key was last modified at this index"`
	Args      []string `arg:"" optional:"" name:"<key>"`
}

// Help is what kong shows below the flags' summary.
func (c *rmCmd) Help() string {
	return `  etcdctl rm /message
  etcdctl rm /services --recursive
  etcdctl rm /lock --with-value n1`
}

func (c *rmCmd) Run(a *app) error {
	cond := kv.Condition{PrevValue: c.WithValue, PrevIndex: c.WithIndex}
	return a.onKey(c.Args, printRemoved, func(ctx context.Context, s kv.Store, key string) (kv.Event, error) {
		if cond != (kv.Condition{}) {
			return s.CompareAndDelete(ctx, key, cond)
		}
		return s.Delete(ctx, key, kv.DeleteOptions{Dir: c.Dir, Recursive: c.Recursive})
	})
}

type rmdirCmd struct {
	Args []string `arg:"" optional:"" name:"<key>"`
}

func (c *rmdirCmd) Run(a *app) error {
	return a.onKey(c.Args, printRemoved, func(ctx context.Context, s kv.Store, key string) (kv.Event, error) {
		return s.Delete(ctx, key, kv.DeleteOptions{Dir: true})
	})
}

type getCmd struct {
	Sort   bool     `help:"accepted for compatibility: one key needs no order"`
	Quorum bool     `short:"q" help:"ask the whole cluster, not one member"`
	Args   []string `arg:"" optional:"" name:"<key>"`
}

func (c *getCmd) Run(a *app) error {
	return a.onKey(c.Args, printFile, func(ctx context.Context, s kv.Store, key string) (kv.Event, error) {
		return s.Get(ctx, key, kv.GetOptions{Sorted: c.Sort, Quorum: c.Quorum})
	})
}

type lsCmd struct {
	Sort      bool     `help:"in the order of keys"`
	Recursive bool     `short:"r" help:"with all below"`
	P         bool     `name:"p" help:"put a slash behind directories"`
	Quorum    bool     `short:"q" help:"ask the whole cluster, not one member"`
	Args      []string `arg:"" optional:"" name:"[<key>]"`
}

// Help is what kong shows below the flags' summary.
func (c *lsCmd) Help() string {
	return `  etcdctl ls --recursive -p --sort /services`
}

func (c *lsCmd) Run(a *app) error {
	print := func(w io.Writer, format string, ev kv.Event) error {
		if format != "simple" {
			return printKey(w, format, ev)
		}
		c.list(w, ev.Node)
		return nil
	}
	return a.onKey(append(c.Args, "/"), print, func(ctx context.Context, s kv.Store, key string) (kv.Event, error) {
		return s.Get(ctx, key, kv.GetOptions{Sorted: c.Sort, Recursive: c.Recursive, Quorum: c.Quorum})
	})
}

// list prints the keys of a directory, parents before children, or that of a
// file.
func (c *lsCmd) list(w io.Writer, n kv.Node) {
	if !n.Dir {
		fmt.Fprintln(w, n.Key)
	}
	for _, child := range n.Nodes {
		if child.Dir && c.P {
			fmt.Fprintln(w, child.Key+"/")
		} else if child.Dir {
			fmt.Fprintln(w, child.Key)
		}
		c.list(w, child)
	}
}

// printer prints the answer to a command.
type printer func(w io.Writer, format string, ev kv.Event) error

// printFile refuses directories.
func printFile(w io.Writer, format string, ev kv.Event) error {
	if ev.Node.Dir {
		return &failure{code: exitUsage, plain: true, err: fmt.Errorf("%s: is a directory", wireKey(ev.Node.Key))}
	}
	return printKey(w, format, ev)
}

// printRemoved has nothing to say of directories in simple format.
func printRemoved(w io.Writer, format string, ev kv.Event) error {
	if ev.Node.Dir {
		return printDir(w, format, ev)
	}
	return printKey(w, format, ev)
}

// onKey carries out an operation on the key that is the first argument.
func (a *app) onKey(args []string, print printer, op func(context.Context, kv.Store, string) (kv.Event, error)) error {
	if len(args) == 0 {
		return misuse("key required")
	}
	c, ctx, cancel, err := a.connect()
	if err != nil {
		return err
	}
	defer cancel()
	defer c.Close()
	ev, err := op(ctx, c, args[0])
	if err != nil {
		return err
	}
	return print(a.stdout, a.Output, ev)
}

// putFile writes the value that is the second argument or comes from stdin.
func (a *app) putFile(args []string, op func(ctx context.Context, s kv.Store, key, value string) (kv.Event, error)) error {
	if len(args) == 0 {
		return misuse("key required")
	}
	value, err := a.value(args[1:])
	if err != nil {
		return err
	}
	return a.onKey(args, printKey, func(ctx context.Context, s kv.Store, key string) (kv.Event, error) {
		return op(ctx, s, key, value)
	})
}

// value is the next argument or else all that comes from stdin.
func (a *app) value(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	var b strings.Builder
	if _, err := io.Copy(&b, a.stdin); err != nil || b.Len() == 0 {
		return "", misuse("value required")
	}
	return b.String(), nil
}

// seconds is a TTL; what is not positive is none.
func seconds(n int) time.Duration { return time.Duration(max(n, 0)) * time.Second }
