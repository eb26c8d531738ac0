package member_test

import (
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/member"
)

func TestTheLastMemberLeftGoesOnAlone(t *testing.T) {
	c := newCluster(t, 3)
	for i, m := range c.members {
		<-m.Ready()
		set(t, m, "/a", string(rune('0'+i)))
	}
	// The others may have agreed on the last value without the first.
	wantValue(t, c.members[0], "/a", "2", kv.GetOptions{Quorum: true})
	clusterID := c.members[0].ClusterID()
	lost := []uint64{c.members[1].ID(), c.members[2].ID()}
	for i := range c.members {
		c.halt(i)
	}
	c.gone[1], c.gone[2] = true, true
	c.tune = func(cfg *member.Config) { cfg.ForceNewCluster = true }
	c.start(0)
	m := c.members[0]
	wantValue(t, m, "/a", "2", kv.GetOptions{Quorum: true})
	set(t, m, "/b", "3")
	if got := m.Members(); len(got) != 1 || got[0].PeerURLs[0] != c.initial[0].URLs[0] {
		t.Errorf("members are %+v", got)
	}
	if m.ClusterID() == clusterID {
		t.Error("the cluster is still the one that the lost members belong to")
	}
	waitFor(t, func() bool { return !m.Published(lost[0]) && !m.Published(lost[1]) })
	// It grows again.
	c.tune = nil
	i := c.add(0)
	c.awaitVote(i)
	wantValue(t, c.members[i], "/b", "3", kv.GetOptions{Quorum: true})
}

func TestWithoutDataAForcedClusterIsAnOrdinaryOne(t *testing.T) {
	dir, logDir := t.TempDir(), t.TempDir()
	open := func() *member.Member {
		m, err := member.Open(t.Context(), member.Config{
			DataDir: dir, LogDir: logDir, ForceNewCluster: true, HeartbeatInterval: heartbeat, ElectionTimeout: election,
		})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if there, err := member.Exists(dir); there || err != nil {
		t.Errorf("before the first start there is a member: %v, %v", there, err)
	}
	m := open()
	if want := member.InitialID([]string{member.DefaultPeerURL}, member.DefaultToken); m.ID() != want {
		t.Errorf("id %x, want %x", m.ID(), want)
	}
	set(t, m, "/a", "1")
	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if there, err := member.Exists(dir); !there || err != nil {
		t.Errorf("after it there is none: %v, %v", there, err)
	}
	m = open()
	defer m.Stop(t.Context())
	wantValue(t, m, "/a", "1", kv.GetOptions{Quorum: true})
}
