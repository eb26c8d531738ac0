package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"path"
	"slices"

	"github.com/strakeproject/strake/cloudconfig"
	"github.com/strakeproject/strake/cloudconfig/datasource"
	"github.com/strakeproject/strake/cloudconfig/network"
	"github.com/strakeproject/strake/cloudconfig/systemd"
)

// apply carries out a plan.
func (p *program) apply(ctx context.Context, plan *cloudconfig.Plan, setup *network.Setup) error {
	m := cloudconfig.Machine{
		Root:     p.Root,
		Logger:   p.log,
		Progress: p.out.progress,
		Fetch: func(ctx context.Context, url string) ([]byte, error) {
			return datasource.URL(datasource.NewClient(datasource.ClientOptions{Logger: p.log}), url).UserData(ctx)
		},
	}
	if !p.image() {
		if err := p.prepareNetwork(ctx, plan, setup); err != nil {
			return err
		}
		if slices.ContainsFunc(plan.Steps, needsManager) {
			manager, err := systemd.Dial(ctx, systemd.Options{Wait: p.Wait})
			if err != nil { // files and users need none
				p.log.Error(err.Error())
			} else {
				defer manager.Close()
				m.Units = manager
			}
		}
	}
	return cloudconfig.Apply(ctx, plan, m)
}

func needsManager(s cloudconfig.Step) bool {
	switch s.Op {
	case cloudconfig.OpEnable, cloudconfig.OpDisable, cloudconfig.OpReload, cloudconfig.OpCommand, cloudconfig.OpScript:
		return true
	}
	return false
}

// prepareNetwork takes interfaces down and loads modules, if the plan changes
// anything about them.
func (p *program) prepareNetwork(ctx context.Context, plan *cloudconfig.Plan, setup *network.Setup) error {
	if !changes(plan, setup) {
		return nil
	}
	for _, name := range setup.Down {
		if _, err := net.InterfaceByName(name); err != nil {
			continue // it is not there yet
		}
		p.log.Info("Taking down interface " + name)
		if err := command(ctx, "ip", "link", "set", "dev", name, "down"); err != nil {
			p.log.Error(err.Error())
		}
	}
	for _, m := range setup.Modules {
		p.log.Info("Loading module " + m.Name)
		if err := command(ctx, "modprobe", append([]string{m.Name}, m.Options...)...); err != nil {
			return err
		}
	}
	return nil
}

// changes reports whether a plan writes units of the setup.
func changes(plan *cloudconfig.Plan, setup *network.Setup) bool {
	return slices.ContainsFunc(plan.Steps, func(s cloudconfig.Step) bool {
		return s.Op == cloudconfig.OpWrite && slices.ContainsFunc(setup.Units, func(u cloudconfig.Unit) bool {
			return u.Name == path.Base(s.Target)
		})
	})
}

// command runs a program of the system.
func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}
