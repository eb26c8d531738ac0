package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
	"github.com/strakeproject/strake/overlay"
	"github.com/strakeproject/strake/reboot"
	"github.com/strakeproject/strake/schedule/agent"
	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/schedule/engine"
	"github.com/strakeproject/strake/schedule/engine/enginemetrics"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit/process"
)

// apiPort is where each machine serves fleet's API, by custom.
const apiPort = "49153"

// machine is one machine of the rack. What it runs while it is up:
//
//	agent ──> process.Runner ──> the cluster's units
//	engine, overlay network, reboot coordinator, fleet API
//	a second Runner for the units that its cloud-config brings itself
//
// All of these reach the key-value store through one client and one cable.
type machine struct {
	machineConfig
	id   string
	dir  string
	log  *slog.Logger
	net  *cable
	rack api.JournalSource
	// onReboot is called when the machine wants to go down and up again, onReady
	// when it works, which is before it gives back the slot of a reboot.
	onReboot, onReady func(*machine)

	etcd *etcd // nil while stopped, and on machines without a member

	mu sync.Mutex
	up *session // nil while down
	// needReboot holds a value while an update wants a reboot.
	needReboot chan struct{}
}

// session is a machine from one boot to the next halt.
type session struct {
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	store   *client.Client
	units   *process.Runner // the cluster's
	own     *process.Runner // the machine's own
	agent   *agent.Agent
	network *overlay.Network
}

func newMachine(mc machineConfig, dir string, rack api.JournalSource, log *slog.Logger) (*machine, error) {
	m := &machine{
		machineConfig: mc, dir: filepath.Join(dir, mc.name), rack: rack, net: newCable(),
		log: log.With("machine", mc.name), needReboot: make(chan struct{}, 1),
	}
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	m.id, err = machineID(filepath.Join(m.dir, "machine-id"))
	return m, err
}

// boot brings the machine up. It returns when all is started, not when it has
// joined.
func (m *machine) boot(ctx context.Context) (err error) {
	m.net.plug()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &session{cancel: cancel}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", m.name, err)
			s.end()
		}
	}()
	fleet := m.CoreOS.Fleet
	s.store, err = client.New(client.Config{
		Endpoints: strings.Split(fleet.Lookup("FLEET_ETCD_SERVERS"), ","),
		Timeout:   time.Second,
		Transport: &http.Transport{DialContext: m.net.dial, MaxIdleConnsPerHost: 16},
		Logger:    m.log,
	})
	if err != nil {
		return err
	}
	if s.units, err = m.runner("units"); err != nil {
		return err
	}
	if s.own, err = m.runner("own"); err != nil {
		return err
	}
	if err := m.startFleet(ctx, s); err != nil {
		return err
	}
	if err := m.startLocksmith(ctx, s); err != nil {
		return err
	}
	for _, u := range m.CoreOS.Units {
		if err := m.startOwn(ctx, s, u.Name, u.Content); err != nil {
			return err
		}
	}
	if err := m.startFlannel(ctx, s); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.up = s
	return nil
}

func (m *machine) runner(name string) (*process.Runner, error) {
	return process.New(process.Config{
		Dir: filepath.Join(m.dir, name), MachineID: m.id, Hostname: m.Hostname, Logger: m.log,
	})
}

// startFleet starts what fleetd does: agent, engine and API.
func (m *machine) startFleet(ctx context.Context, s *session) error {
	fleet := m.CoreOS.Fleet
	ttl, err := time.ParseDuration(option(fleet, "FLEET_AGENT_TTL", "30s"))
	if err != nil {
		return fmt.Errorf("agent-ttl: %w", err)
	}
	interval, err := time.ParseDuration(option(fleet, "FLEET_ENGINE_RECONCILE_INTERVAL", "2") + "s")
	if err != nil {
		return fmt.Errorf("engine-reconcile-interval: %w", err)
	}
	reg := registry.New(s.store, registry.Options{Timeout: 2 * time.Second, Logger: m.log})
	s.agent, err = agent.New(agent.Config{
		Registry: reg, Runner: s.units, TTL: ttl, Logger: m.log,
		Machine: registry.Machine{
			ID: m.id, PublicIP: m.ip, Metadata: pairs(fleet.Lookup("FLEET_METADATA")), Version: "strake", Identity: m.id,
		},
	})
	if err != nil {
		return err
	}
	eng, err := engine.New(engine.Config{Registry: reg, MachineID: m.id, Interval: interval, Logger: m.log})
	if err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(enginemetrics.New(eng))
	server, err := api.NewServer(api.ServerConfig{
		Registry: reg, Journal: m.rack, Metrics: promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}),
	})
	if err != nil {
		return err
	}
	l, err := listen(ctx, func() (net.Listener, error) {
		return net.Listen("tcp", net.JoinHostPort(m.ip.String(), apiPort))
	})
	if err != nil {
		return err
	}
	s.run(ctx, m.log, "fleet API", func(ctx context.Context) error { return server.Serve(ctx, m.net.wrap(l)) })
	s.run(ctx, m.log, "agent", s.agent.Run)
	s.run(ctx, m.log, "engine", eng.Run)
	return nil
}

// startFlannel sets the network's configuration as the drop-in of
// flanneld.service says, and joins it.
func (m *machine) startFlannel(ctx context.Context, s *session) error {
	flannel := m.CoreOS.Flannel
	publicIP, err := netip.ParseAddr(option(flannel, "FLANNELD_PUBLIC_IP", m.ip.String()))
	if err != nil {
		return fmt.Errorf("flannel public-ip: %w", err)
	}
	reg := overlay.NewRegistry(s.store, overlay.RegistryOptions{Prefix: flannel.Lookup("FLANNELD_ETCD_PREFIX"), Logger: m.log})
	s.network, err = overlay.NewNetwork(overlay.NetworkOptions{
		Registry: reg, PublicIP: publicIP, MachineID: m.id, Logger: m.log,
		SubnetFile: filepath.Join(m.dir, "subnet.env"),
		Backend: func(c overlay.Config) (overlay.Backend, error) {
			if c.BackendType != "alloc" {
				return nil, fmt.Errorf("backend %q needs root; this example moves no packets and takes alloc", c.BackendType)
			}
			return overlay.Alloc{MTU: 1500}, nil
		},
	})
	if err != nil {
		return err
	}
	sets, err := flannelSets(m.CoreOS.Units)
	if err != nil {
		return err
	}
	s.run(ctx, m.log, "overlay network", func(ctx context.Context) error {
		for _, set := range sets {
			if err := m.persist(ctx, "set "+set.key, func(ctx context.Context) error {
				_, err := s.store.Set(ctx, set.key, set.value, kv.SetOptions{})
				return err
			}); err != nil {
				return err
			}
		}
		return s.network.Run(ctx)
	})
	return nil
}

// startLocksmith starts the reboot coordinator, which gives back the slot of the
// last reboot once the agent has joined.
func (m *machine) startLocksmith(ctx context.Context, s *session) error {
	if m.CoreOS.Update.RebootStrategy != "etcd-lock" {
		return nil
	}
	sem, err := reboot.NewSemaphore(s.store, reboot.SemaphoreOptions{Logger: m.log})
	if err != nil {
		return err
	}
	c, err := reboot.NewCoordinator(reboot.CoordinatorOptions{
		Semaphore: sem, Source: m, Rebooter: m, Holder: m.id, Logger: m.log,
		Ready: func(ctx context.Context) error {
			if err := await(ctx, s.agent.Joined()); err != nil {
				return err
			}
			m.onReady(m)
			return nil
		},
		Drain: s.agent.Shutdown,
	})
	if err != nil {
		return err
	}
	s.run(ctx, m.log, "reboot coordinator", func(ctx context.Context) error {
		return m.persist(ctx, "reboot coordinator", c.Run)
	})
	return nil
}

// startOwn runs a unit that the cloud-config brings with it.
func (m *machine) startOwn(ctx context.Context, s *session, name, content string) error {
	if content == "" {
		return nil // one of the services that this process is
	}
	u, err := parseUnit(name, []byte(content))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := s.own.Load(ctx, u); err != nil {
		return err
	}
	return s.own.Start(ctx, name)
}

// WaitNeedReboot makes the machine its own reboot.UpdateSource. A reboot that
// does not take place is needed still.
func (m *machine) WaitNeedReboot(ctx context.Context) error {
	if err := await(ctx, m.needReboot); err != nil {
		return err
	}
	select {
	case m.needReboot <- struct{}{}:
	default: // needed once more by now
	}
	return nil
}

// Reboot makes the machine its own reboot.Rebooter.
func (m *machine) Reboot(context.Context) error {
	select {
	case <-m.needReboot:
	default:
	}
	m.onReboot(m)
	return nil
}

// halt powers the machine off with all it runs. Nobody is told.
func (m *machine) halt() {
	m.mu.Lock()
	s := m.up
	m.up = nil
	m.mu.Unlock()
	m.net.pull()
	if s != nil {
		s.end()
	}
}

// running returns what the machine runs, or an error while it is down.
func (m *machine) running() (*session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.up == nil {
		return nil, fmt.Errorf("machine %s is down", m.name)
	}
	return m.up, nil
}

// run starts a task that ends with ctx.
func (s *session) run(ctx context.Context, log *slog.Logger, what string, f func(context.Context) error) {
	s.tasks.Go(func() {
		if err := f(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			log.Error(what+" ended", "err", err)
		}
	})
}

// restartPause is how long systemd would wait before it starts a service anew.
const restartPause = time.Second

// persist repeats a service until it succeeds or ctx ends, as systemd does with
// Restart=on-failure: the store may be between two leaders for a while.
func (m *machine) persist(ctx context.Context, what string, f func(context.Context) error) error {
	for {
		err := f(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		m.log.Warn(what+" failed, runs again", "err", err)
		select {
		case <-time.After(restartPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end kills what the session runs and waits until it is gone.
func (s *session) end() {
	s.cancel()
	for _, r := range []*process.Runner{s.units, s.own} {
		if r != nil {
			r.Kill()
		}
	}
	s.tasks.Wait()
}

func await(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
