package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/strakeproject/strake/kv/client"
)

// The failures of commands on members, users and roles all have exit status 1
// and are printed without "Error:".

// administer connects and does what concerns the cluster rather than its keys.
func (a *app) administer(do func(ctx context.Context, c *client.Client) error) error {
	c, ctx, cancel, err := a.connect()
	if err != nil {
		return err
	}
	defer cancel()
	defer c.Close()
	err = do(ctx, c)
	if _, ok := errors.AsType[*failure](err); ok || err == nil {
		return err
	}
	return plainFailure(reason(err))
}

// list prints names.
func (a *app) list(args []string, names func(*client.Client, context.Context) ([]string, error)) error {
	if len(args) > 0 {
		return plainFailure("No arguments accepted")
	}
	return a.administer(func(ctx context.Context, c *client.Client) error {
		list, err := names(c, ctx)
		for _, name := range list {
			fmt.Fprintln(a.stdout, name)
		}
		return err
	})
}

// say prints a line unless there is an error to report.
func (a *app) say(line string, err error) error {
	if err == nil {
		fmt.Fprintln(a.stdout, line)
	}
	return err
}

// plainFailure is a failure of exit status 1 that is printed as it is.
func plainFailure(text string) error {
	return &failure{code: exitUsage, plain: true, err: errors.New(text)}
}

// reason is what the server said, if that is what went wrong.
func reason(err error) string {
	if e, ok := errors.AsType[*client.StatusError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*client.UnavailableError](err); ok {
		return unavailable(e)
	}
	return describe(err)
}
