package member_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/member"
	"github.com/strakeproject/strake/raftstore"
)

// Short times keep the tests short; they pass with any.
const (
	heartbeat = 20 * time.Millisecond
	election  = 200 * time.Millisecond
)

// A cluster is several members in this process, on loopback and real files,
// over a network that can be cut.
type cluster struct {
	t       *testing.T
	dir     string
	initial []raftstore.InitialMember
	addrs   []string
	net     *network
	tune    func(*member.Config) // if not nil, changes how members are opened
	gone    map[int]bool         // removed members
	ready   bool                 // new members join from now on
	members []*member.Member     // nil when stopped
}

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	return newTunedCluster(t, n, nil)
}

func newTunedCluster(t *testing.T, n int, tune func(*member.Config)) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), net: newNetwork(), tune: tune, gone: map[int]bool{}}
	var ls []net.Listener
	for range n {
		ls = append(ls, c.place())
	}
	var wg sync.WaitGroup
	for i, l := range ls {
		wg.Go(func() { c.open(i, l) })
	}
	wg.Wait()
	c.ready = true
	t.Cleanup(c.stop)
	if t.Failed() {
		t.FailNow()
	}
	return c
}

// place makes a place for one more member.
func (c *cluster) place() net.Listener {
	c.t.Helper()
	i := len(c.members)
	l := listen(c.t, loopback()+":0")
	addr := l.Addr().String()
	c.addrs = append(c.addrs, addr)
	c.net.name(addr, i)
	c.initial = append(c.initial, raftstore.InitialMember{Name: fmt.Sprintf("m%d", i), URLs: []string{"http://" + addr}})
	c.members = append(c.members, nil)
	return l
}

// add adds a member through another one, starts it, and returns its place.
func (c *cluster) add(via int) int {
	c.t.Helper()
	i := len(c.members)
	l := c.place()
	if _, err := c.members[via].AddMember(c.t.Context(), c.initial[i].URLs); err != nil {
		c.t.Fatalf("add member: %v", err)
	}
	if c.open(i, l); c.members[i] == nil {
		c.t.FailNow()
	}
	return i
}

// remove removes a member through another one.
func (c *cluster) remove(via, i int) {
	c.t.Helper()
	id := c.id(i)
	if err := c.members[via].RemoveMember(c.t.Context(), id); err != nil {
		c.t.Fatalf("remove member %x: %v", id, err)
	}
	c.gone[i] = true
}

// id returns the id of a running member or of one that others know.
func (c *cluster) id(i int) uint64 {
	c.t.Helper()
	for _, m := range c.members {
		if m == nil {
			continue
		}
		for _, info := range m.Members() {
			if slices.Equal(info.PeerURLs, c.initial[i].URLs) {
				return info.ID
			}
		}
	}
	c.t.Fatalf("nobody knows %v", c.initial[i])
	return 0
}

// awaitVote waits until a member votes, by its own account.
func (c *cluster) awaitVote(i int) {
	c.t.Helper()
	m := c.members[i]
	waitFor(c.t, func() bool {
		return slices.ContainsFunc(m.Members(), func(info member.Info) bool { return info.ID == m.ID() && !info.Learner })
	})
}

// waitFor looks for something to become true that nothing tells of.
func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	for !cond() {
		select {
		case <-t.Context().Done():
			t.Fatal("the test ended first")
		case <-time.After(time.Millisecond):
		}
	}
}

// loopback is an address that belongs to this process: nobody takes a port of it
// while a member is down.
func loopback() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 64+pid>>14&63, pid>>7&127, 1+pid&127)
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (c *cluster) config(i int, l net.Listener) member.Config {
	cfg := member.Config{
		Name: c.initial[i].Name, DataDir: filepath.Join(c.dir, c.initial[i].Name),
		PeerListeners: []net.Listener{l}, DialPeer: c.net.dialer(i),
		AdvertisePeerURLs:   c.initial[i].URLs,
		AdvertiseClientURLs: []string{fmt.Sprintf("http://client%d", i)},
		HeartbeatInterval:   heartbeat, ElectionTimeout: election,
		Existing: c.ready,
	}
	for i, m := range c.initial {
		if !c.gone[i] {
			cfg.InitialCluster = append(cfg.InitialCluster, m)
		}
	}
	if c.tune != nil {
		c.tune(&cfg)
	}
	return cfg
}

func (c *cluster) open(i int, l net.Listener) {
	m, err := member.Open(context.Background(), c.config(i, l))
	if err != nil {
		c.t.Error(err)
		return
	}
	c.members[i] = m
}

// start opens a member that was stopped.
func (c *cluster) start(i int) {
	c.t.Helper()
	if c.open(i, listen(c.t, c.addrs[i])); c.members[i] == nil {
		c.t.FailNow()
	}
}

// halt stops a member.
func (c *cluster) halt(i int) {
	c.t.Helper()
	if err := c.members[i].Stop(context.Background()); err != nil {
		c.t.Error(err)
	}
	c.members[i] = nil
}

func (c *cluster) stop() {
	c.net.heal()
	var wg sync.WaitGroup
	for i, m := range c.members {
		if m != nil {
			wg.Go(func() { c.halt(i) })
		}
	}
	wg.Wait()
}

// leader waits until a running member knows a leader, and returns the leader's
// place and that of another running member.
func (c *cluster) leader() (leader, other int) {
	c.t.Helper()
	for {
		leader, other = -1, -1
		for i, m := range c.members {
			if m == nil {
				continue
			}
			if err := m.CheckHealth(c.t.Context()); err != nil {
				c.t.Fatal(err)
			}
			if m.Leader() == m.ID() {
				leader = i
			} else {
				other = i
			}
		}
		if leader >= 0 { // it may have changed between two members
			return leader, other
		}
	}
}

// network lets members dial each other, unless it is cut between them.
type network struct {
	mu    sync.Mutex
	place map[string]int // by address
	cut   map[int]bool   // members that reach nobody
	conns map[net.Conn][2]int
}

var errCut = errors.New("network is cut")

func newNetwork() *network {
	return &network{place: map[string]int{}, cut: map[int]bool{}, conns: map[net.Conn][2]int{}}
}

func (n *network) name(addr string, i int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.place[addr] = i
}

func (n *network) dialer(from int) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, proto, addr string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, proto, addr)
		if err != nil {
			return nil, err
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		to := n.place[addr]
		if n.cut[from] || n.cut[to] {
			return nil, errors.Join(errCut, conn.Close())
		}
		n.conns[conn] = [2]int{from, to}
		return conn, nil
	}
}

// isolate cuts a member off from all others.
func (n *network) isolate(i int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[i] = true
	for conn, ends := range n.conns {
		if ends[0] == i || ends[1] == i {
			conn.Close()
			delete(n.conns, conn)
		}
	}
}

func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
}

func set(t *testing.T, s kv.Store, key, value string) kv.Event {
	t.Helper()
	ev, err := s.Set(t.Context(), key, value, kv.SetOptions{})
	if err != nil {
		t.Fatalf("set %s: %v", key, err)
	}
	return ev
}

func wantValue(t *testing.T, s kv.Store, key, value string, opts kv.GetOptions) {
	t.Helper()
	ev, err := s.Get(t.Context(), key, opts)
	if err != nil || ev.Node.Value != value {
		t.Errorf("get %s = %q, %v, want %q", key, ev.Node.Value, err, value)
	}
}
