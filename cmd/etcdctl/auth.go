package main

import (
	"context"
	"fmt"

	"github.com/strakeproject/strake/kv/client"
)

type authCmd struct {
	Enable  authEnableCmd  `cmd:"" help:"have the cluster ask who somebody is; needs a user root"`
	Disable authDisableCmd `cmd:"" help:"let everybody do everything again; users and roles stay"`
}

type authEnableCmd struct {
	Args []string `arg:"" optional:"" hidden:""`
}

// Help is what kong shows below the flags' summary.
func (c *authEnableCmd) Help() string {
	return `From then on, who does not say who he is has the rights of the role guest, which is made with all of them.

  etcdctl user add root
  etcdctl auth enable
  etcdctl -u root role revoke guest --path '/*' --write`
}

func (c *authEnableCmd) Run(a *app) error {
	return a.switchAuth(c.Args, "Authentication Enabled", (*client.Client).EnableAuth)
}

type authDisableCmd struct {
	Args []string `arg:"" optional:"" hidden:""`
}

func (c *authDisableCmd) Run(a *app) error {
	return a.switchAuth(c.Args, "Authentication Disabled", (*client.Client).DisableAuth)
}

func (a *app) switchAuth(args []string, done string, do func(*client.Client, context.Context) error) error {
	if len(args) > 0 {
		return plainFailure("No arguments accepted")
	}
	return a.administer(func(ctx context.Context, cl *client.Client) error {
		if err := do(cl, ctx); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, done)
		return nil
	})
}
