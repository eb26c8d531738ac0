package member_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/member"
	"github.com/strakeproject/strake/raftstore"
)

func TestAClusterGrowsToThreeAndShrinksToOne(t *testing.T) {
	c := newCluster(t, 1)
	set(t, c.members[0], "/before", "1")
	// One that does not come costs nothing.
	ghost, err := c.members[0].AddMember(t.Context(), []string{"http://127.0.0.1:1"})
	if err != nil || !ghost.Learner || ghost.ID == 0 {
		t.Fatalf("add member: %+v, %v", ghost, err)
	}
	set(t, c.members[0], "/while", "2")
	if err := c.members[0].RemoveMember(t.Context(), ghost.ID); err != nil {
		t.Fatal(err)
	}
	one := c.add(0)
	c.awaitVote(one)
	two := c.add(one)
	c.awaitVote(two)
	for _, i := range []int{one, two} {
		wantValue(t, c.members[i], "/before", "1", kv.GetOptions{Quorum: true})
		set(t, c.members[i], fmt.Sprintf("/from%d", i), "3")
	}
	for range 2 {
		leader, other := c.leader()
		c.remove(leader, leader)
		m := c.members[leader]
		<-m.Done()
		if err := m.Err(); !errors.Is(err, member.ErrMemberRemoved) {
			t.Errorf("a removed member ended with %v", err)
		}
		if err := m.Stop(context.Background()); !errors.Is(err, member.ErrMemberRemoved) {
			t.Errorf("stop of a removed member: %v", err)
		}
		c.members[leader] = nil
		set(t, c.members[other], "/after", "4")
	}
}

func TestARemovedMemberIsTold(t *testing.T) {
	c := newCluster(t, 3)
	leader, other := c.leader()
	// While it is away and when it comes back.
	id := c.members[other].ID()
	c.halt(other)
	if err := c.members[leader].RemoveMember(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	m, err := member.Open(t.Context(), c.config(other, listen(t, c.addrs[other])))
	if err == nil {
		<-m.Done()
		err = m.Err()
	}
	if !errors.Is(err, member.ErrMemberRemoved) {
		t.Errorf("a member that was removed while it was away ends with %v", err)
	}
	if m, err = member.Open(t.Context(), c.config(other, listen(t, c.addrs[other]))); err == nil {
		<-m.Done()
		err = m.Err()
	}
	if !errors.Is(err, member.ErrMemberRemoved) {
		t.Errorf("started once more it ends with %v", err)
	}
}

func TestWhatARemovedMemberPublishedIsForgotten(t *testing.T) {
	c := newCluster(t, 3)
	for _, m := range c.members {
		<-m.Ready()
	}
	leader, other := c.leader()
	id := c.members[other].ID()
	waitFor(t, func() bool { return c.members[leader].Published(id) })
	c.halt(other)
	if err := c.members[leader].RemoveMember(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return !c.members[leader].Published(id) })
}

func TestChangesOfMembersThatAreRefusedSayWhy(t *testing.T) {
	c := newCluster(t, 3)
	leader, other := c.leader()
	m := c.members[leader]
	ghost, err := m.AddMember(t.Context(), []string{"http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	add := func(url string) error { _, err := m.AddMember(t.Context(), []string{url}); return err }
	remove := func(id uint64) error { return m.RemoveMember(t.Context(), id) }
	update := func(id uint64, url string) error { return m.UpdateMember(t.Context(), id, []string{url}) }
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"add a URL that is taken", add(c.initial[other].URLs[0]), member.ErrMemberExists},
		{"update to a URL that is taken", update(ghost.ID, c.initial[other].URLs[0]), member.ErrMemberExists},
		{"update to its own URL", update(ghost.ID, "http://127.0.0.1:1"), nil},
		{"update a stranger", update(7, "http://127.0.0.1:2"), member.ErrMemberNotFound},
		{"remove a stranger", remove(7), member.ErrMemberNotFound},
		{"remove", remove(ghost.ID), nil},
		{"remove again", remove(ghost.ID), member.ErrMemberRemoved},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.err, tt.want)
		}
		if tt.err != nil && strings.Contains(tt.err.Error(), "\n") {
			t.Errorf("%s: the error has several lines: %q", tt.name, tt.err)
		}
	}
	for url, want := range map[string]string{
		"http://127.0.0.1":    `URL address does not have the form "host:port": http://127.0.0.1`,
		"ftp://127.0.0.1:1":   "URL scheme must be http, https, unix, or unixs: ftp://127.0.0.1:1",
		"http://127.0.0.1:1/": "URL must not contain a path: http://127.0.0.1:1/",
	} {
		if err := add(url); err == nil || err.Error() != want {
			t.Errorf("add %s: %v, want %s", url, err, want)
		}
	}
	if _, err := m.AddMember(t.Context(), nil); err == nil || err.Error() != "no valid URLs given" {
		t.Errorf("add without a URL: %v", err)
	}
	// With one of three gone the others are needed.
	third := 3 - leader - other
	gone := c.members[third].ID()
	c.halt(third)
	waitFor(t, func() bool { return !m.Hears(gone) })
	if err := remove(c.members[other].ID()); !errors.Is(err, member.ErrUnhealthy) {
		t.Errorf("remove one of two that are left: %v, want %v", err, member.ErrUnhealthy)
	}
}

func TestAMemberMovesToAnotherAddress(t *testing.T) {
	c := newCluster(t, 3)
	leader, other := c.leader()
	id := c.members[other].ID()
	c.halt(other)
	l := listen(t, "127.0.0.1:0")
	c.addrs[other] = l.Addr().String()
	c.net.name(c.addrs[other], other)
	c.initial[other].URLs = []string{"http://" + c.addrs[other]}
	if err := c.members[leader].UpdateMember(t.Context(), id, c.initial[other].URLs); err != nil {
		t.Fatal(err)
	}
	// The vote of the moved one is needed now.
	third := 3 - leader - other
	c.halt(third)
	c.open(other, l)
	set(t, c.members[other], "/moved", "1")
	for _, info := range c.members[leader].Members() {
		if info.ID == id && !slices.Equal(info.PeerURLs, c.initial[other].URLs) {
			t.Errorf("moved member is %+v", info)
		}
	}
}

func TestMistakesOfJoiningAreNamed(t *testing.T) {
	c := newCluster(t, 1)
	<-c.members[0].Ready()
	l := c.place()
	join := func(change func(*member.Config)) error {
		l := listen(t, "127.0.0.1:0")
		cfg := c.config(1, l)
		change(&cfg)
		m, err := member.Open(t.Context(), cfg)
		if err == nil {
			m.Stop(context.Background())
			return nil
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener is left open: %v", err)
		}
		return err
	}
	same := func(*member.Config) {}
	other := func(cfg *member.Config) {
		cfg.InitialCluster = []raftstore.InitialMember{c.initial[0], {Name: "m1", URLs: []string{"http://127.0.0.1:1"}}}
		cfg.AdvertisePeerURLs = []string{"http://127.0.0.1:1"}
	}
	type mistake struct {
		name   string
		change func(*member.Config)
		want   string
	}
	check := func(mistakes ...mistake) {
		t.Helper()
		for _, tt := range mistakes {
			if err := join(tt.change); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
		}
	}
	check(
		mistake{"not added", same, "member count is unequal"},
		mistake{
			"nobody to ask", func(cfg *member.Config) { cfg.InitialCluster = cfg.InitialCluster[1:] },
			"cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs",
		},
		mistake{"nobody answers", func(cfg *member.Config) {
			cfg.InitialCluster = slices.Clone(cfg.InitialCluster)
			cfg.InitialCluster[0].URLs = []string{"http://127.0.0.1:1"}
		}, "could not retrieve cluster information from the given URLs"},
		mistake{"not listed", func(cfg *member.Config) { cfg.Name = "x" }, `couldn't find local name "x" in the initial cluster configuration`},
		mistake{
			"listed elsewhere", func(cfg *member.Config) { cfg.AdvertisePeerURLs = []string{"http://127.0.0.1:1"} },
			"but missing from --initial-advertise-peer-urls=http://127.0.0.1:1",
		},
	)
	added, err := c.members[0].AddMember(t.Context(), c.initial[1].URLs)
	if err != nil {
		t.Fatal(err)
	}
	check(
		mistake{"added elsewhere", other, fmt.Sprintf("PeerURLs: no match found for existing member (%x, %v)", added.ID, added.PeerURLs)},
		mistake{"added elsewhere", other, fmt.Sprintf("error validating peerURLs {ClusterID:%x", c.members[0].ClusterID())},
	)
	c.open(1, l)
	c.awaitVote(1)
	<-c.members[1].Ready()
	c.halt(1)
	lost := fmt.Sprintf("member %x has already been bootstrapped", added.ID)
	check(
		mistake{"data lost", func(cfg *member.Config) { cfg.DataDir = t.TempDir() }, lost},
		mistake{"data lost, taken for new", func(cfg *member.Config) { cfg.DataDir, cfg.Existing = t.TempDir(), false }, lost},
	)
}

// tight keeps little of the log.
func tight(cfg *member.Config) { cfg.LogRetainBytes, cfg.LogCapBytes = 8<<10, 16<<10 }

// outrun writes until a member that is away cannot catch up from any log.
func (c *cluster) outrun(away int) {
	c.t.Helper()
	_, last := c.members[away].Log()
	c.halt(away)
	leader, _ := c.leader()
	m := c.members[leader]
	value := strings.Repeat("v", 2<<10)
	for i := 0; ; i++ {
		set(c.t, m, fmt.Sprintf("/outrun/%d", i%10), value)
		if first, _ := m.Log(); first > last+1 {
			return
		}
	}
}

func TestAMemberThatWasAwayLongCatchesUp(t *testing.T) {
	c := newTunedCluster(t, 3, tight)
	_, away := c.leader()
	set(t, c.members[away], "/before", "1")
	c.outrun(away)
	c.start(away)
	w, err := c.members[away].Watch(t.Context(), "/", kv.WatchOptions{Recursive: true, From: 1})
	if err != nil {
		t.Fatal(err)
	}
	leader, _ := c.leader()
	end := set(t, c.members[leader], "/end", "1")
	next := uint64(0)
	for ev, err := range w.Events {
		if err != nil {
			t.Fatal(err)
		}
		// Publishing of members takes indexes, too, and has no event.
		if ev.Index <= next {
			t.Fatalf("event %d after event %d", ev.Index, next)
		}
		if next = ev.Index; next == end.Index {
			break
		}
	}
	if got := c.members[away].Snapshots(); got == 0 {
		t.Error("no snapshot was installed")
	}
	c.halt(away)
	c.start(away)
	wantValue(t, c.members[away], "/end", "1", kv.GetOptions{Quorum: true})
	// A new one needs a snapshot from the beginning.
	i := c.add(away)
	c.awaitVote(i)
	wantValue(t, c.members[i], "/before", "1", kv.GetOptions{Quorum: true})
	if got := c.members[i].Snapshots(); got == 0 {
		t.Error("the new member installed no snapshot")
	}
}
