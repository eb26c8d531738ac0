package faulttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
)

// cluster runs members with everything real but the network, the disks and,
// inside a bubble, the time.
type cluster struct {
	t       testing.TB
	net     *raftsim.Network
	initial []raftstore.InitialMember
	seen    *record
	tune    func(*raftstore.Config)
	openLog openLog

	mu    sync.Mutex
	hosts []*host
}

// host is a machine: a disk, and while it is up a member on it.
type host struct {
	name string
	disk *raftsim.Disk
	join *raftstore.Cluster

	// Protected by the cluster's mu.
	node  *raftstore.Node // nil while down
	state *ledger
	log   *raftsim.LogRecorder
}

func newCluster(t testing.TB, names ...string) *cluster {
	c := &cluster{t: t, net: raftsim.NewNetwork(), seen: newRecord(), openLog: logsOfBothKinds}
	for _, name := range names {
		c.initial = append(c.initial, raftstore.InitialMember{Name: name, URLs: []string{"sim://" + name}})
		c.hosts = append(c.hosts, &host{name: name, disk: raftsim.NewDisk()})
	}
	return c
}

func (c *cluster) host(name string) *host {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.hosts, func(h *host) bool { return h.name == name })
	return c.hosts[i]
}

func (c *cluster) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, h := range c.hosts {
		names = append(names, h.name)
	}
	return names
}

// open starts the member on a host's disk.
func (c *cluster) open(h *host) error {
	log, err := c.openLog(h)
	if err != nil {
		return err
	}
	rec, err := raftsim.RecordLog(log)
	if err != nil {
		return errors.Join(err, log.Close())
	}
	state := newLedger(h.disk.PebbleFS(), c.seen)
	// Watchers look for these while the member opens.
	c.mu.Lock()
	h.log, h.state = rec, state
	c.mu.Unlock()
	cfg := raftstore.Config{
		Dir: "member", FS: h.disk.FS(), Name: h.name, Initial: c.initial, Join: h.join, URLs: []string{"sim://" + h.name},
		StateMachine: state, Log: rec, Transport: c.net.DiskTransport(h.disk),
	}
	if c.tune != nil {
		c.tune(&cfg)
	}
	node, err := raftstore.Open(context.Background(), cfg)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h.node = node
	return nil
}

func (c *cluster) start(names ...string) *cluster {
	c.t.Helper()
	for _, name := range names {
		if err := c.open(c.host(name)); err != nil {
			c.t.Fatalf("open %s: %v", name, err)
		}
	}
	return c
}

// node returns a member that is up; nil if it is not.
func (c *cluster) node(name string) *raftstore.Node {
	h := c.host(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	return h.node
}

// halt waits for a member to be gone, and returns how it ended.
func (c *cluster) halt(name string) error {
	h := c.host(name)
	c.mu.Lock()
	node := h.node
	h.node = nil
	c.mu.Unlock()
	if node == nil {
		return nil
	}
	return node.Stop(context.Background())
}

// crash takes the power from members.
func (c *cluster) crash(keep int, rng *rand.Rand, names ...string) {
	for _, name := range names {
		c.host(name).disk.Crash(keep, rng)
	}
	for _, name := range names {
		_ = c.halt(name) // how it ends is not what is of interest
	}
}

// stop ends all members in order.
func (c *cluster) stop() {
	c.t.Helper()
	for _, name := range c.names() {
		if err := c.halt(name); err != nil {
			c.t.Errorf("stop %s: %v", name, err)
		}
	}
}

// within is a context for what should take no time to speak of.
func within(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// leader waits until a majority of the given members follows one of them.
func (c *cluster) leader(names ...string) string {
	c.t.Helper()
	for range 1200 {
		votes := make(map[uint64]int)
		for _, name := range names {
			if node := c.node(name); node != nil {
				votes[node.Status().Leader]++
			}
		}
		for _, name := range names {
			if node := c.node(name); node != nil && votes[node.Status().ID] > len(names)/2 {
				return name
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.t.Fatalf("no leader among %v within two minutes", names)
	return ""
}

// propose has a member take a command, and notes the answer.
func (c *cluster) propose(name, cmd string, timeout time.Duration) error {
	node := c.node(name)
	if node == nil {
		return raftstore.ErrStopped
	}
	ctx, cancel := within(timeout)
	defer cancel()
	result, err := node.Propose(ctx, []byte(cmd))
	c.seen.answered(cmd, result, err)
	return err
}

// write has a member take n commands. It sends further ones for those that a
// change of leader took the answer of.
func (c *cluster) write(name, prefix string, n, size int) {
	c.t.Helper()
	for i := 0; n > 0; i++ {
		cmd := fmt.Sprintf("%s-%d-%s", prefix, i, strings.Repeat("x", size))
		switch err := c.propose(name, cmd, time.Minute); {
		case err == nil:
			n--
		case !errors.Is(err, raftstore.ErrOutcomeUnknown) || i > 100:
			c.t.Fatalf("propose on %s: %v", name, err)
		}
	}
}

// check waits for the given members to have all there is, and compares it with
// what callers were told.
func (c *cluster) check(names ...string) error {
	for _, name := range names {
		h := c.host(name)
		ctx, cancel := within(2 * time.Minute)
		_, err := h.node.ReadBarrier(ctx)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", name, errors.Join(err, h.node.Err()))
		}
		cmds, err := h.state.commands()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := c.seen.check(cmds); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// others returns the names but one.
func others(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
}
