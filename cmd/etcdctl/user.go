package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/strakeproject/strake/kv/client"
)

type userCmd struct {
	Add    userAddCmd    `cmd:"" help:"make a user, or change the password of one"`
	Get    userGetCmd    `cmd:"" help:"print the roles of a user"`
	List   userListCmd   `cmd:"" help:"list the users"`
	Remove userRemoveCmd `cmd:"" help:"remove a user"`
	Grant  userGrantCmd  `cmd:"" help:"give roles to a user"`
	Revoke userRevokeCmd `cmd:"" help:"take roles from a user"`
	Passwd userPasswdCmd `cmd:"" help:"change the password of a user"`
}

type userAddCmd struct {
	Args []string `arg:"" optional:"" name:"<name>[:<password>]" help:"the password is asked for if it is not given"`
}

// Help is what kong shows below the flags' summary.
func (c *userAddCmd) Help() string {
	return `  etcdctl user add root
  etcdctl user add app:secret`
}

func (c *userAddCmd) Run(a *app) error {
	if len(c.Args) == 1 && strings.Contains(c.Args[0], ":") {
		name, password, _ := strings.Cut(c.Args[0], ":")
		return a.putUser([]string{name}, password, "User "+name+" created")
	}
	return a.askAndPutUser(c.Args, "User "+strings.Join(c.Args, "")+" created")
}

type userGetCmd struct {
	Args []string `arg:"" optional:"" name:"<name>"`
}

func (c *userGetCmd) Run(a *app) error {
	return a.onUser(c.Args, func(ctx context.Context, cl *client.Client, name string) error {
		u, err := cl.User(ctx, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "User: %s\nRoles: %s\n", u.Name, strings.Join(u.Roles, " "))
		return nil
	})
}

type userListCmd struct {
	Args []string `arg:"" optional:"" hidden:""`
}

func (c *userListCmd) Run(a *app) error { return a.list(c.Args, (*client.Client).Users) }

type userRemoveCmd struct {
	Args []string `arg:"" optional:"" name:"<name>"`
}

func (c *userRemoveCmd) Run(a *app) error {
	return a.onUser(c.Args, func(ctx context.Context, cl *client.Client, name string) error {
		return a.say("User "+name+" removed", cl.RemoveUser(ctx, name))
	})
}

// roleNames are roles on the command line. The original takes commas for a part
// of a name, although it documents them as separators; no role has one.
type roleNames struct {
	Roles []string `help:"roles, separated by commas or in several flags"`
}

func (r *roleNames) check() error {
	if len(r.Roles) == 0 {
		return plainFailure("No roles specified; please use `--roles`")
	}
	return nil
}

type userGrantCmd struct {
	roleNames
	Args []string `arg:"" optional:"" name:"<name>"`
}

// Help is what kong shows below the flags' summary.
func (c *userGrantCmd) Help() string {
	return `  etcdctl user grant app --roles readers,writers`
}

func (c *userGrantCmd) Run(a *app) error {
	if err := c.check(); err != nil {
		return err
	}
	return a.onUser(c.Args, func(ctx context.Context, cl *client.Client, name string) error {
		return a.say("User "+name+" updated", cl.GrantRoles(ctx, name, c.Roles))
	})
}

type userRevokeCmd struct {
	roleNames
	Args []string `arg:"" optional:"" name:"<name>"`
}

func (c *userRevokeCmd) Run(a *app) error {
	if err := c.check(); err != nil {
		return err
	}
	return a.onUser(c.Args, func(ctx context.Context, cl *client.Client, name string) error {
		return a.say("User "+name+" updated", cl.RevokeRoles(ctx, name, c.Roles))
	})
}

type userPasswdCmd struct {
	Args []string `arg:"" optional:"" name:"<name>"`
}

func (c *userPasswdCmd) Run(a *app) error {
	return a.askAndPutUser(c.Args, "Password updated")
}

// askAndPutUser asks for a new password before the time of the command begins
// to run, but after the password that it takes to change one.
func (a *app) askAndPutUser(args []string, done string) error {
	if len(args) != 1 {
		return a.putUser(args, "", done)
	}
	if err := a.login(); err != nil {
		return plainFailure(err.Error())
	}
	password, err := a.ask("New password: ")
	if err != nil {
		return plainFailure(err.Error())
	}
	return a.putUser(args, password, done)
}

func (a *app) putUser(args []string, password, done string) error {
	return a.onUser(args, func(ctx context.Context, cl *client.Client, name string) error {
		return a.say(done, cl.PutUser(ctx, name, password))
	})
}

// onUser does something with the one user that the arguments name.
func (a *app) onUser(args []string, do func(ctx context.Context, c *client.Client, name string) error) error {
	if len(args) != 1 {
		return plainFailure("Please provide a username")
	}
	return a.administer(func(ctx context.Context, c *client.Client) error { return do(ctx, c, args[0]) })
}
