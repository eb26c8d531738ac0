package member_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/member"
	"github.com/strakeproject/strake/raftstore"
)

func TestASingleMemberNeedsNobody(t *testing.T) {
	dir := t.TempDir()
	open := func() *member.Member {
		m, err := member.Open(t.Context(), member.Config{DataDir: dir, HeartbeatInterval: heartbeat, ElectionTimeout: election})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open()
	ev := set(t, m, "/a", "1")
	wantValue(t, m, "/a", "1", kv.GetOptions{})
	wantValue(t, m, "/a", "1", kv.GetOptions{Quorum: true})
	if _, err := m.Create(t.Context(), "/a", "2", kv.CreateOptions{}); !errors.Is(err, kv.ErrKeyExists) {
		t.Errorf("create of an existing key: %v", err)
	}
	id, clusterID := m.ID(), m.ClusterID()
	if err := m.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Get(t.Context(), "/a", kv.GetOptions{}); !errors.Is(err, kv.ErrInternal) {
		t.Errorf("get from a stopped member: %v", err)
	}
	if _, err := m.Set(t.Context(), "/a", "", kv.SetOptions{}); !errors.Is(err, kv.ErrNotApplied) {
		t.Errorf("set on a stopped member: %v", err)
	}

	m = open()
	defer m.Stop(context.Background())
	if m.ID() != id || m.ClusterID() != clusterID {
		t.Errorf("restarted as member %x of %x, was %x of %x", m.ID(), m.ClusterID(), id, clusterID)
	}
	got, err := m.Get(t.Context(), "/a", kv.GetOptions{Quorum: true})
	if err != nil || !reflect.DeepEqual(got.Node, ev.Node) {
		t.Errorf("after a restart /a is %+v, %v, want %+v", got.Node, err, ev.Node)
	}
}

func TestAnyMemberTakesWritesAndReadsThemBack(t *testing.T) {
	c := newCluster(t, 3)
	for i, m := range c.members {
		key := fmt.Sprintf("/k%d", i)
		set(t, m, key, "v")
		wantValue(t, m, key, "v", kv.GetOptions{}) // local, yet its own write
		for _, other := range c.members {
			wantValue(t, other, key, "v", kv.GetOptions{Quorum: true})
		}
	}
}

func TestMembersKnowEachOther(t *testing.T) {
	c := newCluster(t, 3)
	for _, m := range c.members {
		<-m.Ready()
	}
	for _, m := range c.members {
		if err := m.CheckHealth(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := m.Members()
		if len(got) != 3 {
			t.Fatalf("members: %+v", got)
		}
		for _, info := range got {
			i := strings.TrimPrefix(info.Name, "m")
			want := []string{"http://client" + i}
			if !reflect.DeepEqual(info.ClientURLs, want) || len(info.PeerURLs) != 1 {
				t.Errorf("member %+v, want client URLs %v", info, want)
			}
		}
		if !reflect.DeepEqual(got, c.members[0].Members()) {
			t.Errorf("members differ: %+v and %+v", got, c.members[0].Members())
		}
	}
}

func TestTheClusterOutlivesItsLeader(t *testing.T) {
	c := newCluster(t, 3)
	leader, other := c.leader()
	set(t, c.members[other], "/before", "1")
	c.halt(leader)
	set(t, c.members[other], "/while", "2")
	c.start(leader)
	for _, key := range []string{"/before", "/while"} {
		if _, err := c.members[leader].Get(t.Context(), key, kv.GetOptions{Quorum: true}); err != nil {
			t.Errorf("after its return the old leader has no %s: %v", key, err)
		}
	}
	set(t, c.members[leader], "/after", "3")
}

func TestAllMembersComeBackFromDisk(t *testing.T) {
	c := newCluster(t, 3)
	last := uint64(0)
	for i := range 20 {
		last = set(t, c.members[i%3], fmt.Sprintf("/k%d", i), "v").Index
	}
	for i := range c.members {
		c.halt(i)
	}
	// With data at hand the initial cluster does not count.
	c.initial = []raftstore.InitialMember{{Name: "m0"}, {Name: "m1"}, {Name: "m2"}}
	for i := range c.members {
		c.start(i)
	}
	for _, m := range c.members {
		ev, err := m.Get(t.Context(), "/", kv.GetOptions{Quorum: true})
		if err != nil || len(ev.Node.Nodes) != 20 || ev.Index < last {
			t.Errorf("after a restart the root has %d nodes at index %d, %v", len(ev.Node.Nodes), ev.Index, err)
		}
	}
}

func TestAFollowerDeliversWatchesInOrder(t *testing.T) {
	c := newCluster(t, 3)
	leader, follower := c.leader()
	w, err := c.members[follower].Watch(t.Context(), "/q", kv.WatchOptions{Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	const n = 50
	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(func() {
		for i := range n {
			_, err := c.members[leader].CreateInOrder(context.Background(), "/q", fmt.Sprint(i), kv.CreateOptions{})
			if err != nil {
				t.Error(err)
			}
		}
	})
	i, index := 0, uint64(0)
	for ev, err := range w.Events {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Node.Value != fmt.Sprint(i) || ev.Index <= index {
			t.Fatalf("event %d is %+v, after index %d", i, ev, index)
		}
		index = ev.Index
		if i++; i == n {
			break
		}
	}
	c.halt(follower)
	if _, err := c.members[leader].Get(t.Context(), "/q", kv.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestATTLSurvivesTheLeaderAndRunsOutOnce(t *testing.T) {
	c := newCluster(t, 3)
	leader, other := c.leader()
	m := c.members[other]
	w, err := m.Watch(t.Context(), "/ttl", kv.WatchOptions{Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := m.Set(t.Context(), fmt.Sprintf("/ttl/%d", i), "v", kv.SetOptions{TTL: time.Second}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Set(t.Context(), "/ttl/late", "v", kv.SetOptions{TTL: 2 * time.Second}); err != nil {
		t.Fatal(err)
	}
	c.halt(leader)
	var expired []string
	for ev, err := range w.Events {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Action != kv.ActionExpire {
			continue
		}
		if early := time.Until(ev.PrevNode.Expiration); early > 0 {
			t.Errorf("%s expired %v early", ev.Node.Key, early)
		}
		if expired = append(expired, ev.Node.Key); ev.Node.Key == "/ttl/late" {
			break
		}
	}
	if got, want := strings.Join(expired, " "), "/ttl/0 /ttl/1 /ttl/2 /ttl/late"; got != want {
		t.Errorf("expired %s, want %s", got, want)
	}
}

func TestWithoutAQuorumReadsGoOnAndWritesFail(t *testing.T) {
	c := newCluster(t, 3)
	leader, other := c.leader()
	set(t, c.members[leader], "/a", "1")
	c.net.isolate(leader)
	c.net.isolate(other)
	wantValue(t, c.members[leader], "/a", "1", kv.GetOptions{})
	for _, i := range []int{leader, other} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*election)
		_, err := c.members[i].Set(ctx, "/a", "2", kv.SetOptions{})
		cancel()
		e, ok := errors.AsType[*kv.Error](err)
		if !ok || e.Code != kv.CodeRaftInternal || !strings.HasPrefix(e.Cause, "etcdserver: request timed out") {
			t.Errorf("write without a quorum: %v", err)
		}
		if errors.Is(err, kv.ErrNotApplied) == errors.Is(err, kv.ErrOutcomeUnknown) {
			t.Errorf("write without a quorum: outcome is neither known nor unknown: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 3*election)
		_, err = c.members[i].Get(ctx, "/a", kv.GetOptions{Quorum: true})
		cancel()
		if !errors.Is(err, kv.ErrInternal) {
			t.Errorf("quorum read without a quorum: %v", err)
		}
	}
	c.net.heal()
	set(t, c.members[other], "/a", "3")
}

func TestMistakesOfBootstrapAreNamed(t *testing.T) {
	parse := func(s string) []raftstore.InitialMember {
		ms, err := member.ParseCluster(s)
		if err != nil {
			t.Fatal(err)
		}
		return ms
	}
	for _, tt := range []struct {
		name string
		cfg  member.Config
		want string
	}{
		{
			"own name missing",
			member.Config{Name: "x", InitialCluster: parse("a=http://127.0.0.1:1")},
			`couldn't find local name "x" in the initial cluster configuration`,
		},
		{
			"other URL advertised",
			member.Config{Name: "a", InitialCluster: parse("a=http://127.0.0.1:1"), AdvertisePeerURLs: []string{"http://127.0.0.1:2"}},
			"--initial-cluster has a=http://127.0.0.1:1 but missing from --initial-advertise-peer-urls=http://127.0.0.1:2",
		},
		{
			"more URLs advertised",
			member.Config{Name: "a", InitialCluster: parse("a=http://127.0.0.1:1"), AdvertisePeerURLs: []string{"http://127.0.0.1:1", "http://127.0.0.1:2"}},
			"--initial-advertise-peer-urls has http://127.0.0.1:2 but missing from --initial-cluster=a=http://127.0.0.1:1",
		},
		{
			"election timeout too short",
			member.Config{Name: "a", HeartbeatInterval: time.Second, ElectionTimeout: 2 * time.Second},
			"--election-timeout[2000ms] should be at least as 5 times as --heartbeat-interval[1000ms]",
		},
		{
			"election timeout too long",
			member.Config{Name: "a", ElectionTimeout: time.Minute},
			"--election-timeout[60000ms] is too long, and should be set less than 50000ms",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.DataDir = t.TempDir()
			tt.cfg.PeerListeners = []net.Listener{listen(t, "127.0.0.1:0")}
			m, err := member.Open(t.Context(), tt.cfg)
			if err == nil {
				m.Stop(context.Background())
			}
			if err == nil || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if _, err := tt.cfg.PeerListeners[0].Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the listener is left open: %v", err)
			}
		})
	}
}

func TestNamesInURLsAreAsGoodAsAddresses(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(l.Addr().String())
	ms, err := member.ParseCluster("a=http://localhost:" + port)
	if err != nil {
		t.Fatal(err)
	}
	m, err := member.Open(t.Context(), member.Config{
		Name: "a", DataDir: t.TempDir(), PeerListeners: []net.Listener{l},
		InitialCluster: ms, AdvertisePeerURLs: []string{"http://127.0.0.1:" + port},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestAMemberThatLostItsDataIsRefused(t *testing.T) {
	c := newCluster(t, 3)
	for _, m := range c.members {
		<-m.Ready()
		if err := m.CheckHealth(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	id := c.members[1].ID()
	c.halt(1)
	cfg := c.config(1, listen(t, c.addrs[1]))
	cfg.DataDir, cfg.Existing = t.TempDir(), false
	m, err := member.Open(t.Context(), cfg)
	if err == nil {
		m.Stop(context.Background())
	}
	if want := fmt.Sprintf("member %x has already been bootstrapped", id); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestPeersAreToldTheMembers(t *testing.T) {
	c := newCluster(t, 1)
	<-c.members[0].Ready()
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/members", 200},
		{"GET", "/version", 200},
		{"POST", "/version", 405},
		{"POST", "/members", 405},
		{"GET", "/v2/keys", 404},
		{"GET", "/raft/v1/stream", 412},
	} {
		req, _ := http.NewRequest(tt.method, "http://"+c.addrs[0]+tt.path, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("%s %s: status %d, want %d", tt.method, tt.path, resp.StatusCode, tt.status)
		}
		if got, want := resp.Header.Get("X-Etcd-Cluster-Id"), fmt.Sprintf("%x", c.members[0].ClusterID()); got != want {
			t.Errorf("%s %s: cluster id %q, want %q", tt.method, tt.path, got, want)
		}
	}
}
