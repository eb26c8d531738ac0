package member_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
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
	members []*member.Member // nil when stopped
}

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), net: newNetwork(), members: make([]*member.Member, n)}
	var ls []net.Listener
	for i := range n {
		l := listen(t, "127.0.0.1:0")
		ls = append(ls, l)
		addr := l.Addr().String()
		c.addrs = append(c.addrs, addr)
		c.net.name(addr, i)
		c.initial = append(c.initial, raftstore.InitialMember{Name: fmt.Sprintf("m%d", i), URLs: []string{"http://" + addr}})
	}
	var wg sync.WaitGroup
	for i, l := range ls {
		wg.Go(func() { c.open(i, l) })
	}
	wg.Wait()
	t.Cleanup(c.stop)
	if t.Failed() {
		t.FailNow()
	}
	return c
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
	return member.Config{
		Name: c.initial[i].Name, DataDir: filepath.Join(c.dir, c.initial[i].Name),
		PeerListeners: []net.Listener{l}, DialPeer: c.net.dialer(i),
		AdvertisePeerURLs: c.initial[i].URLs, InitialCluster: c.initial,
		AdvertiseClientURLs: []string{fmt.Sprintf("http://client%d", i)},
		HeartbeatInterval:   heartbeat, ElectionTimeout: election,
	}
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
