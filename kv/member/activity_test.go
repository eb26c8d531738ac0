package member_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/member"
)

func TestActivityShowsWhatPassesBetweenMembers(t *testing.T) {
	c := newCluster(t, 3)
	begun := time.Now()
	for i := range 20 {
		if _, err := c.members[0].Set(t.Context(), fmt.Sprintf("/k%d", i), "v", kv.SetOptions{TTL: time.Second}); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range c.members {
		waitFor(t, func() bool {
			leads := m.ID() == m.Leader() // which may change while this waits
			a := m.Activity()
			if len(a.Peers) != 2 || a.Expired != 20 || a.Leading != leads {
				return false
			}
			for _, p := range a.Peers {
				if leads && (p.Appends == 0 || p.RoundTrip.Current == 0) {
					return false
				}
			}
			return leads && a.Sent.Messages >= 2 || a.Received.Messages > 0
		})
		a := m.Activity()
		if a.Opened.After(begun) || a.LeaderSince.Before(a.Opened) || a.LeaderSince.After(time.Now()) {
			t.Errorf("member %d: opened %v, leader since %v; members were open at %v", i, a.Opened, a.LeaderSince, begun)
		}
		for _, p := range a.Peers {
			if s := p.RoundTrip; s.Min > s.Average || s.Average > s.Max || s.Min > s.Current || s.Current > s.Max {
				t.Errorf("member %d, peer %x: round trips do not fit together: %+v", i, p.ID, s)
			}
		}
	}
}

func TestAMemberAloneHasNothingToSend(t *testing.T) {
	m, err := member.Open(t.Context(), member.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop(t.Context())
	<-m.Ready()
	waitFor(t, func() bool { return m.Activity().Leading })
	if a := m.Activity(); a.Sent.Messages != 0 || a.Received.Messages != 0 || len(a.Peers) != 0 {
		t.Errorf("activity is %+v, want none", a)
	}
}
