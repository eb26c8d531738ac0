package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv/client"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// cluster is the rack: the machines, and an operator's access to them.
type cluster struct {
	config
	log      *slog.Logger
	machines []*machine

	// The operator's own client, as any laptop would have it.
	store    *client.Client
	registry *registry.Registry
	view     *registry.View

	// ctx ends with close, and with it the reboots under way.
	ctx     context.Context
	cancel  context.CancelFunc
	cycles  sync.WaitGroup
	reboots *rebootLog
}

func newCluster(conf config, dir string, log *slog.Logger) (*cluster, error) {
	c := &cluster{config: conf, log: log, reboots: newRebootLog()}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, mc := range conf.machines {
		m, err := newMachine(mc, dir, c, log)
		if err != nil {
			return nil, err
		}
		m.onReboot, m.onReady = c.powerCycle, c.reboots.isUp
		c.machines = append(c.machines, m)
	}
	c.store, err = client.New(client.Config{Endpoints: c.endpoints(), Timeout: time.Second, Logger: log})
	if err != nil {
		return nil, err
	}
	c.registry = registry.New(c.store, registry.Options{Logger: log})
	return c, nil
}

// endpoints are the client URLs of the key-value members.
func (c *cluster) endpoints() []string {
	var urls []string
	for _, m := range c.machines {
		if in, _ := inCluster(m.machineConfig); in {
			urls = append(urls, fmt.Sprintf("http://%s:2379", m.ip))
		}
	}
	return urls
}

// startStore starts the key-value members, all at once since each needs others.
func (c *cluster) startStore(ctx context.Context) error {
	errs := make([]error, len(c.machines))
	var wg sync.WaitGroup
	for i, m := range c.machines {
		wg.Go(func() { errs[i] = m.startEtcd(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (m *machine) startEtcd(ctx context.Context) error {
	in, err := inCluster(m.machineConfig)
	if err == nil && in {
		m.etcd, err = startEtcd(ctx, m.machineConfig, m.dir, m.net, m.log)
	}
	if err != nil {
		return fmt.Errorf("%s: etcd2: %w", m.name, err)
	}
	return nil
}

// leader returns the machine whose member leads.
func (c *cluster) leader() (*machine, bool) {
	for _, m := range c.machines {
		if m.etcd != nil && m.etcd.Leader() == m.etcd.ID() {
			return m, true
		}
	}
	return nil, false
}

// members returns the machines whose members run.
func (c *cluster) members() []*machine {
	return slices.DeleteFunc(slices.Clone(c.machines), func(m *machine) bool { return m.etcd == nil })
}

func (c *cluster) machine(id string) (*machine, bool) {
	i := slices.IndexFunc(c.machines, func(m *machine) bool { return m.id == id })
	if i < 0 {
		return nil, false
	}
	return c.machines[i], true
}

// name is a machine's hostname.
func (c *cluster) name(id string) string {
	if m, ok := c.machine(id); ok {
		return m.name
	}
	return id
}

// Journal makes the cluster the api.JournalSource of its machines.
func (c *cluster) Journal(ctx context.Context, machineID, name string, opts unit.JournalOptions) iter.Seq2[unit.JournalEntry, error] {
	fail := func(err error) iter.Seq2[unit.JournalEntry, error] {
		return func(yield func(unit.JournalEntry, error) bool) { yield(unit.JournalEntry{}, err) }
	}
	m, ok := c.machine(machineID)
	if !ok {
		return fail(fmt.Errorf("no machine %s", machineID))
	}
	s, err := m.running()
	if err != nil {
		return fail(err)
	}
	return s.units.Journal(ctx, name, opts)
}

// close powers everything off.
func (c *cluster) close() error {
	c.cancel()
	c.cycles.Wait()
	if c.view != nil {
		c.view.Close()
	}
	var wg sync.WaitGroup
	for _, m := range c.machines {
		wg.Go(m.halt)
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	errs := make([]error, len(c.machines))
	for i, m := range c.machines {
		if m.etcd != nil {
			wg.Go(func() { errs[i] = m.etcd.stop(ctx) })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}
