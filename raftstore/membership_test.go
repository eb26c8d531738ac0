package raftstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// add adds a learner through member via and starts it.
func (c *cluster) add(via, name string, sm recorder) raftstore.Member {
	c.t.Helper()
	m, err := c.nodes[via].AddLearner(within(c.t), name, []string{"http://" + name})
	if err != nil {
		c.t.Fatalf("add %s: %v", name, err)
	}
	c.join(via, name, sm)
	return m
}

// join starts a member that was added, with what member via tells it.
func (c *cluster) join(via, name string, sm recorder) *raftstore.Node {
	c.t.Helper()
	info := c.nodes[via].Cluster()
	tune := c.tune
	c.tune = func(cfg *raftstore.Config) {
		if tune != nil {
			tune(cfg)
		}
		cfg.Join, cfg.URLs = &info, []string{"http://" + name}
	}
	defer func() { c.tune = tune }()
	return c.start(name, sm)
}

// promote makes a learner a voter, as soon as it can be one.
func (c *cluster) promote(via string, id uint64) {
	c.t.Helper()
	ctx := within(c.t)
	for {
		err := c.nodes[via].Promote(ctx, id)
		if err == nil {
			return
		}
		if !errors.Is(err, raftstore.ErrNotCaughtUp) && !errors.Is(err, raftstore.ErrWouldLoseQuorum) {
			c.t.Fatalf("promote %x: %v", id, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestSingleMemberGrowsToThreeAndShrinksAgain(t *testing.T) {
	c := newCluster(t, "a")
	c.start("a", &journal{})
	c.propose("a", "1")
	b := c.add("a", "b", &journal{})
	c.promote("a", b.ID)
	d := c.add("b", "d", &journal{}) // through a member that need not lead
	c.promote("d", d.ID)             // through the new one itself
	c.propose("d", "2")
	for _, name := range []string{"a", "b", "d"} {
		c.barrier(name)
		if got := strings.Join(c.states[name].commands(), " "); got != "1 2" {
			t.Errorf("%s has %q, want all commands from the beginning", name, got)
		}
		if got := len(c.nodes[name].Members()); got != 3 {
			t.Errorf("%s knows %d members, want 3", name, got)
		}
	}
	// The leader itself goes, then another one.
	for _, id := range []uint64{c.nodes["a"].Status().ID, b.ID} {
		if err := c.nodes["d"].Remove(within(t), id); err != nil {
			t.Fatalf("remove %x: %v", id, err)
		}
	}
	for _, name := range []string{"a", "b"} {
		select {
		case <-c.nodes[name].Done():
			if err := c.nodes[name].Err(); !errors.Is(err, raftstore.ErrRemoved) {
				t.Errorf("%s ended with %v, want ErrRemoved", name, err)
			}
		case <-within(t).Done():
			t.Fatalf("removed member %s goes on", name)
		}
		delete(c.nodes, name)
	}
	if got := c.propose("d", "3"); got != "3:3" {
		t.Errorf("propose on the last member = %q, want 3:3", got)
	}
}

func TestLearnerReceivesEverythingAndDoesNotVote(t *testing.T) {
	c := newCluster(t, "a")
	c.start("a", &journal{})
	c.add("a", "b", &journal{})
	c.propose("a", "1")
	waitFor(t, func() bool { return len(c.states["b"].commands()) == 1 })
	c.stop("b")
	c.propose("a", "2") // a quorum without the learner
}

func TestImprudentChangesAreRefused(t *testing.T) {
	c := newCluster(t, "a", "b", "d").startAll()
	leader := c.leader("a", "b", "d")
	n := c.nodes[leader]
	rest := c.others(leader)
	url := func(name string) []string { return []string{"http://" + name} }
	ghost, err := n.AddLearner(within(t), "ghost", url("ghost"))
	if err != nil {
		t.Fatal(err)
	}
	other := c.nodes[rest[0]].Status().ID
	for _, tc := range []struct {
		name string
		do   func() error
		want error
	}{
		{"add with a URL that is taken", func() error { _, err := n.AddLearner(within(t), "x", url(rest[0])); return err }, raftstore.ErrMemberExists},
		{"promote a learner that never came", func() error { return n.Promote(within(t), ghost.ID) }, raftstore.ErrNotCaughtUp},
		{"promote a voter", func() error { return n.Promote(within(t), other) }, raftstore.ErrMemberExists},
		{"promote a stranger", func() error { return n.Promote(within(t), 12345) }, raftstore.ErrUnknownMember},
		{"remove a stranger", func() error { return n.Remove(within(t), 12345) }, raftstore.ErrUnknownMember},
		{"move to a URL that is taken", func() error { return n.UpdatePeer(within(t), ghost.ID, url(leader)) }, raftstore.ErrMemberExists},
	} {
		if err := tc.do(); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	if err := n.UpdatePeer(within(t), ghost.ID, url("elsewhere")); err != nil {
		t.Errorf("update: %v", err)
	}
	if err := n.Remove(within(t), ghost.ID); err != nil {
		t.Errorf("remove: %v", err)
	}
	if err := n.Remove(within(t), ghost.ID); !errors.Is(err, raftstore.ErrRemoved) {
		t.Errorf("remove again: %v, want ErrRemoved", err)
	}
	// With one voter down the other two are needed.
	gone := c.nodes[rest[1]].Status().ID
	c.stop(rest[1])
	waitFor(t, func() bool {
		return slices.ContainsFunc(n.Status().Peers, func(p raftstore.PeerStatus) bool { return p.ID == gone && !p.Active })
	})
	if err := n.Remove(within(t), other); !errors.Is(err, raftstore.ErrWouldLoseQuorum) {
		t.Errorf("remove one of two reachable voters: %v, want ErrWouldLoseQuorum", err)
	}
}

func TestMemberThatLostItsDiskIsRefused(t *testing.T) {
	c := newCluster(t, "a", "b", "d").startAll()
	leader := c.leader("a", "b", "d")
	victim := c.others(leader)[0]
	waitFor(t, func() bool { // until its disk is on record
		for _, m := range c.nodes[leader].Members() {
			if m.Name == victim && m.Storage != 0 {
				return true
			}
		}
		return false
	})
	c.stop(victim)
	if err := os.RemoveAll(filepath.Join(c.dir, victim)); err != nil {
		t.Fatal(err)
	}
	n := c.start(victim, &journal{})
	select {
	case <-n.Done():
		if err := n.Err(); !errors.Is(err, raftstore.ErrOtherStorage) {
			t.Errorf("member ended with %v, want ErrOtherStorage", err)
		}
	case <-within(t).Done():
		t.Fatal("a member with another disk goes on")
	}
	delete(c.nodes, victim)
	c.propose(leader, "still a quorum")
}

func TestMemberThatNeedsMoreThanTheLogGetsASnapshot(t *testing.T) {
	c := newCluster(t, "a", "b", "d")
	c.tune = func(cfg *raftstore.Config) {
		cfg.LogRetainBytes, cfg.LogCapBytes, cfg.FlushBytes = 64<<10, 128<<10, 32<<10
		// A leader that changes on a busy machine could need a snapshot itself, and
		// then not know what became of its commands.
		cfg.ElectionTicks = 100
	}
	for _, m := range c.initial {
		c.start(m.Name, &archive{})
	}
	leader := c.leader("a", "b", "d")
	away := c.others(leader)[0]
	c.propose(leader, "first")
	c.stop(away)
	padding := strings.Repeat("x", 32<<10)
	for i := range 40 {
		c.propose(leader, fmt.Sprintf("%d %s", i, padding))
	}
	waitFor(t, func() bool { return c.nodes[leader].Status().First > 30 })
	n := c.start(away, &archive{})
	c.barrier(away)
	if got := len(c.states[away].commands()); got != 41 {
		t.Errorf("%s has %d commands after it came back, want 41", away, got)
	}
	waitFor(t, func() bool { return n.Status().First > 30 }) // installed, not replayed
	// A new member, too, and both after a restart.
	fresh := c.add(leader, "fresh", &archive{})
	c.promote(leader, fresh.ID)
	c.propose("fresh", "last")
	for _, name := range []string{away, "fresh"} {
		c.stop(name)
		c.start(name, &archive{})
		c.barrier(name)
		if got := len(c.states[name].commands()); got != 42 {
			t.Errorf("%s has %d commands after its restart, want 42", name, got)
		}
	}
}

func TestLogIsKeptWhileTheStateIsNotDurable(t *testing.T) {
	c := newCluster(t, "a")
	c.tune = func(cfg *raftstore.Config) {
		cfg.LogRetainBytes, cfg.LogCapBytes, cfg.FlushBytes = 1<<10, 1<<10, 256<<10
	}
	sm := &archive{}
	c.start("a", sm)
	padding := strings.Repeat("x", 32<<10)
	for i := range 40 {
		c.propose("a", fmt.Sprintf("%d %s", i, padding))
	}
	waitFor(t, func() bool { return sm.Durable() > 1 && c.nodes["a"].Status().First > 2 })
	if first, durable := c.nodes["a"].Status().First, sm.Durable(); first > durable+1 {
		t.Errorf("log begins at %d, state is durable up to %d", first, durable)
	}
	c.stop("a")
	c.start("a", &archive{})
	c.barrier("a")
	if got := len(c.states["a"].commands()); got != 40 {
		t.Errorf("%d commands after a restart, want 40", got)
	}
}
