package main

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/strakeproject/strake/kv/client"
)

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

// Help is what kong shows below the flags' summary.
func (c *roleGrantCmd) Help() string {
	return `  etcdctl role grant app --path '/services/*' --readwrite
  etcdctl role grant app --path /config/app --read`
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

// onRole does something with the one role that the arguments name.
func (a *app) onRole(args []string, do func(ctx context.Context, c *client.Client, name string) error) error {
	if len(args) != 1 {
		return plainFailure("Please provide a role name")
	}
	return a.administer(func(ctx context.Context, c *client.Client) error { return do(ctx, c, args[0]) })
}
