package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/strakeproject/strake/kv/client"
)

type authCmd struct {
	Enable  authEnableCmd  `cmd:"" help:"have the cluster ask who somebody is; needs a user root"`
	Disable authDisableCmd `cmd:"" help:"let everybody do everything again; users and roles stay"`
}

type authEnableCmd struct {
	Args []string `arg:"" optional:"" hidden:""`
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

type roleCmd struct {
	Add    roleAddCmd    `cmd:"" help:"make a role without permissions"`
	Get    roleGetCmd    `cmd:"" help:"print the permissions of a role"`
	List   roleListCmd   `cmd:"" help:"list the roles"`
	Remove roleRemoveCmd `cmd:"" help:"remove a role"`
	Grant  roleGrantCmd  `cmd:"" help:"let a role read or write keys"`
	Revoke roleRevokeCmd `cmd:"" help:"let a role read or write keys no more"`
}

type roleAddCmd struct {
	Args []string `arg:"" optional:"" name:"<name>"`
}

func (c *roleAddCmd) Run(a *app) error {
	return a.onRole(c.Args, func(ctx context.Context, cl *client.Client, name string) error {
		if _, err := cl.Role(ctx, name); err == nil {
			return plainFailure("Role " + name + " already exists")
		}
		return a.say("Role "+name+" created", cl.AddRole(ctx, name))
	})
}

type roleGetCmd struct {
	Args []string `arg:"" optional:"" name:"<name>"`
}

func (c *roleGetCmd) Run(a *app) error {
	return a.onRole(c.Args, func(ctx context.Context, cl *client.Client, name string) error {
		r, err := cl.Role(ctx, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "Role: %s\n", r.Name)
		for _, kind := range []struct {
			title    string
			patterns []string
		}{{"KV Read:", r.Read}, {"KV Write:", r.Write}} {
			fmt.Fprintln(a.stdout, kind.title)
			for _, p := range kind.patterns {
				fmt.Fprintf(a.stdout, "\t%s\n", p)
			}
		}
		return nil
	})
}

type roleListCmd struct {
	Args []string `arg:"" optional:"" hidden:""`
}

func (c *roleListCmd) Run(a *app) error { return a.list(c.Args, (*client.Client).Roles) }

type roleRemoveCmd struct {
	Args []string `arg:"" optional:"" name:"<name>"`
}

func (c *roleRemoveCmd) Run(a *app) error {
	return a.onRole(c.Args, func(ctx context.Context, cl *client.Client, name string) error {
		return a.say("Role "+name+" removed", cl.RemoveRole(ctx, name))
	})
}

// permission is what a role is given or loses.
type permission struct {
	Path      string `help:"a key, or all keys that begin with what stands before a final *, as in /a/*"`
	Read      bool   `help:"to read"`
	Write     bool   `help:"to write"`
	Readwrite bool   `help:"to read and write; --rw for short"`
	RW        bool   `name:"rw" hidden:""`
}

// role returns what the flags say, as the role of that name.
func (p *permission) role(name string) (client.Role, error) {
	r := client.Role{Name: name}
	kinds := 0
	for _, on := range []bool{p.Read, p.Write, p.Readwrite || p.RW} {
		if on {
			kinds++
		}
	}
	if kinds != 1 {
		return r, plainFailure("Please specify exactly one of --read, --write or --readwrite")
	}
	if !p.Write {
		r.Read = []string{p.Path}
	}
	if !p.Read {
		r.Write = []string{p.Path}
	}
	return r, nil
}

// checkPath wants a path as the server will see it in requests.
func (p *permission) checkPath() error {
	if p.Path == "" {
		return plainFailure("No path specified; please use `--path`")
	}
	clean := path.Clean("/" + p.Path)
	if strings.HasSuffix(p.Path, "/") && clean != "/" {
		clean += "/"
	}
	if clean != p.Path {
		return plainFailure(fmt.Sprintf("Not canonical path; please use `--path=%s`", clean))
	}
	return nil
}

type roleGrantCmd struct {
	permission
	Args []string `arg:"" optional:"" name:"<name>"`
}

func (c *roleGrantCmd) Run(a *app) error {
	return a.changeRole(c.Args, &c.permission, (*client.Client).GrantPermissions)
}

type roleRevokeCmd struct {
	permission
	Args []string `arg:"" optional:"" name:"<name>"`
}

func (c *roleRevokeCmd) Run(a *app) error {
	return a.changeRole(c.Args, &c.permission, (*client.Client).RevokePermissions)
}

func (a *app) changeRole(args []string, p *permission, do func(*client.Client, context.Context, client.Role) error) error {
	if err := p.checkPath(); err != nil {
		return err
	}
	r, err := p.role(strings.Join(args, " "))
	if err != nil {
		return err
	}
	return a.onRole(args, func(ctx context.Context, cl *client.Client, name string) error {
		return a.say("Role "+name+" updated", do(cl, ctx, r))
	})
}

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

// onUser does something with the one user that the arguments name.
func (a *app) onUser(args []string, do func(ctx context.Context, c *client.Client, name string) error) error {
	if len(args) != 1 {
		return plainFailure("Please provide a username")
	}
	return a.administer(func(ctx context.Context, c *client.Client) error { return do(ctx, c, args[0]) })
}

// onRole does something with the one role that the arguments name.
func (a *app) onRole(args []string, do func(ctx context.Context, c *client.Client, name string) error) error {
	if len(args) != 1 {
		return plainFailure("Please provide a role name")
	}
	return a.administer(func(ctx context.Context, c *client.Client) error { return do(ctx, c, args[0]) })
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
