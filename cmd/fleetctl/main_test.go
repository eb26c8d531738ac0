package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/agent"
	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/schedule/engine"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
	"github.com/strakeproject/strake/unit/process"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fleetctl": main})
}

// TestScripts runs fleetctl against a cluster in the test's own process: a store
// in memory, the API on a Unix socket, and as many machines as a script asks
// for, with an engine from the first one on. Commands of scripts:
//
//	machine DIGIT [k=v...]   a machine whose ID is that digit, with metadata, and
//	                         a capacity for "cpu"
//	leave DIGIT              that machine signs off
//	sshd HOST                an SSH server on loopback at $SSHPORT, and an agent
//	await UNIT DIGIT STATE   until the machine says that the unit is active, ...
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			c, err := newCluster(filepath.Join(env.WorkDir, ".fleet.sock"))
			if err != nil {
				return err
			}
			env.Defer(func() {
				if err := c.close(); err != nil {
					t.Errorf("close cluster: %v", err)
				}
			})
			env.Values["cluster"] = c
			env.Setenv("FLEETCTL_ENDPOINT", "unix://"+c.socket)
			env.Setenv("TZ", "UTC")
			env.Setenv("ETCD", c.etcd)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"machine": func(ts *testscript.TestScript, neg bool, args []string) {
				ts.Check(ts.Value("cluster").(*cluster).join(args[0], args[1:]))
			},
			"leave": func(ts *testscript.TestScript, neg bool, args []string) {
				ts.Check(ts.Value("cluster").(*cluster).leave(args[0]))
			},
			"sshd": func(ts *testscript.TestScript, neg bool, args []string) { startSSHD(ts, args[0]) },
			"await": func(ts *testscript.TestScript, neg bool, args []string) {
				ts.Check(ts.Value("cluster").(*cluster).await(args[0], args[1], args[2]))
			},
		},
	})
}

// cluster is all that fleetctl talks to.
type cluster struct {
	socket  string
	etcd    string // URL of the store
	store   *tree.Local
	reg     *registry.Registry
	cancel  context.CancelFunc
	running sync.WaitGroup
	errs    chan error // from what runs

	mu       sync.Mutex
	machines map[string]*machine // by ID; protected by mu
}

type machine struct {
	runner *process.Runner
	agent  *agent.Agent
}

func newCluster(socket string) (*cluster, error) {
	store, err := tree.NewLocal()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &cluster{
		socket:   socket,
		store:    store,
		reg:      registry.New(store, registry.Options{}),
		cancel:   cancel,
		errs:     make(chan error, 100),
		machines: make(map[string]*machine),
	}
	server, err := api.NewServer(api.ServerConfig{Registry: c.reg, Version: version, Journal: c})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	c.running.Go(func() { c.errs <- server.Serve(ctx, l) })
	keys, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c.etcd = "http://" + keys.Addr().String()
	srv := &http.Server{Handler: httpapi.New(httpapi.Config{Store: store})}
	c.running.Go(func() {
		if err := srv.Serve(keys); !errors.Is(err, http.ErrServerClosed) {
			c.errs <- err
		}
	})
	context.AfterFunc(ctx, func() { srv.Close() })
	return c, nil
}

func (c *cluster) close() error {
	c.cancel()
	var all error
	for digit := range c.machines {
		all = errors.Join(all, c.leave(digit))
	}
	c.running.Wait()
	close(c.errs)
	for err := range c.errs {
		all = errors.Join(all, err)
	}
	return errors.Join(all, c.store.Close())
}

func machineID(digit string) string { return strings.Repeat(digit, 32) }

// join adds a machine, with an engine of its own, and waits until it is there.
func (c *cluster) join(digit string, metadata []string) error {
	runner, err := process.New(process.Config{MachineID: machineID(digit)})
	if err != nil {
		return err
	}
	m := registry.Machine{ID: machineID(digit), PublicIP: netip.MustParseAddr("127.0.0." + digit), Metadata: make(map[string]string)}
	for _, pair := range metadata {
		k, v, _ := strings.Cut(pair, "=")
		if cpu, err := unit.ParseCPU(v); k == "cpu" && err == nil {
			m.Capacity = &schedule.Resources{CPU: cpu, Memory: 1 << 30}
			continue
		}
		m.Metadata[k] = v
	}
	a, err := agent.New(agent.Config{Registry: c.reg, Runner: runner, Machine: m})
	if err != nil {
		return err
	}
	e, err := engine.New(engine.Config{Registry: c.reg, MachineID: m.ID})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.running.Go(func() { c.errs <- e.Run(ctx) })
	c.running.Go(func() {
		defer cancel()
		c.errs <- a.Run(ctx)
	})
	c.mu.Lock()
	c.machines[digit] = &machine{runner: runner, agent: a}
	c.mu.Unlock()
	<-a.Joined()
	return nil
}

// leave signs a machine off and stops its units.
func (c *cluster) leave(digit string) error {
	c.mu.Lock()
	m := c.machines[digit]
	delete(c.machines, digit)
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(m.agent.Shutdown(ctx), m.runner.Close(ctx))
}

// await waits until a machine has published an active state of a unit.
func (c *cluster) await(name, digit, active string) error {
	view, err := c.reg.Follow(context.Background(), registry.Scope{States: true})
	if err != nil {
		return err
	}
	defer view.Close()
	for range view.Changed() {
		view.Take()
		for _, s := range view.States(name) {
			if s.Machine == machineID(digit) && s.State.Active == active {
				return nil
			}
		}
	}
	return nil
}

// Journal gives the journal of a machine's runner.
func (c *cluster) Journal(ctx context.Context, id, name string, opts unit.JournalOptions) iter.Seq2[unit.JournalEntry, error] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.machines[id[:1]]; m != nil {
		return m.runner.Journal(ctx, name, opts)
	}
	return func(yield func(unit.JournalEntry, error) bool) {
		yield(unit.JournalEntry{}, fmt.Errorf("machine %s: %w", id, os.ErrNotExist))
	}
}
