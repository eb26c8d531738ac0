//go:build linux

package lab_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strakeproject/strake/examples/lab/disklab"
	"github.com/strakeproject/strake/examples/lab/netlab"
)

var cut = netlab.Link{Cut: true}

// isolate separates a member from all others, in the directions that are true:
// what it sends, and what it hears.
func (c *cluster) isolate(m *machine, sends, hears netlab.Link) {
	for _, other := range c.machines {
		if other != m {
			c.net.Set(m.host, other.host, sends)
			c.net.Set(other.host, m.host, hears)
		}
	}
}

// part separates members in one of six ways, and returns those that go on.
func (c *cluster) part(way int, leader *machine, others []*machine) (able []*machine) {
	switch way {
	case 0:
		c.isolate(leader, cut, cut)
	case 1:
		c.isolate(leader, cut, netlab.Link{}) // it hears, and is not heard
	case 2:
		c.isolate(leader, netlab.Link{}, cut) // it is heard, and does not hear
	case 3:
		c.isolate(others[0], cut, cut)
		return []*machine{leader, others[1]}
	case 4:
		c.isolate(others[0], cut, netlab.Link{})
		return []*machine{leader, others[1]}
	case 5:
		// Two do not reach each other, and both reach the third.
		c.net.SetBoth(leader.host, others[0].host, cut)
		return others[1:]
	}
	return others
}

func TestPartitionsLeaveHistoriesSound(t *testing.T) {
	r := scenario(t)
	c := newCluster(t, 3)
	w := c.startWorkload(c.machines...)
	for round := range rounds(6) {
		w.progress(50, c.machines...)
		leader, others := c.leader()
		able := c.part(round%6, leader, others)
		t.Logf("round %d: leader %s, fault %d", round, leader.name, round%6)
		w.progress(50+r.IntN(100), able...)
		c.net.Heal()
		for _, m := range c.machines {
			w.progress(3, m)
		}
		w.epoch.Add(1)
	}
	w.check()
}

func TestASlowAndLossyNetworkLeavesHistoriesSound(t *testing.T) {
	scenario(t)
	c := newCluster(t, 3)
	w := c.startWorkload(c.machines...)
	w.progress(50, c.machines...)
	links := []netlab.Link{
		{Delay: 20 * time.Millisecond, Jitter: 20 * time.Millisecond},
		{Loss: 0.1},
		{Loss: 0.05, Delay: 5 * time.Millisecond, Jitter: 30 * time.Millisecond},
	}
	for round := range rounds(len(links)) {
		for _, from := range c.machines {
			for _, to := range c.machines {
				c.net.Set(from.host, to.host, links[round%len(links)])
			}
		}
		w.progress(100, c.machines...)
		w.epoch.Add(1)
	}
	c.net.Heal()
	w.check()
}

func TestKilledMembersLoseNothingThatWasAcknowledged(t *testing.T) {
	r := scenario(t)
	// States go to disk often, and there is log enough to continue from there.
	c := newCluster(t, 3, "--keep-log", "262144")
	w := c.startWorkload(c.machines...)
	for round := range rounds(5) {
		w.progress(50+r.IntN(100), c.machines...)
		leader, others := c.leader()
		killed := []*machine{leader}
		switch round % 5 {
		case 1, 3:
			killed = others[:1]
		case 4:
			killed = c.machines
		}
		for _, m := range killed {
			c.end(m)
		}
		if alive := c.running(); len(alive) > 0 {
			w.progress(50+r.IntN(200), alive...)
		}
		for _, m := range killed {
			c.restart(m)
		}
		for _, m := range c.machines {
			w.progress(3, m)
		}
		w.epoch.Add(1)
	}
	w.check()
}

// keepLittle makes members copy the state to those that were away for a while.
var keepLittle = []string{"--keep-log", "65536"}

func TestCopiesOfTheStateSurviveKills(t *testing.T) {
	r := scenario(t)
	c := newCluster(t, 3, keepLittle...)
	w := c.startWorkload(c.machines...)
	for round := range rounds(3) {
		w.progress(20, c.machines...)
		leader, others := c.leader()
		away := others[0]
		var before status
		c.until(func() (err error) {
			before, err = c.status(away)
			return err
		})
		copies := away.copies()
		c.end(away)
		w.progress(50, leader, others[1])
		c.awaitTruncation(before)
		c.restart(away)
		switch round % 3 {
		case 0: // nothing comes between
		case 1: // the receiver is killed at some point of it, and once more
			for range 2 {
				time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
				c.restart(away)
			}
		case 2: // the sender
			time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
			c.restart(leader)
		}
		w.progress(3, away)
		c.awaitCopy(away, copies+1)
		w.epoch.Add(1)
	}
	w.check()
}

// A process that is stopped does not know that time has passed when it goes on.
func TestALeaderThatWasStoppedAnswersNothingStale(t *testing.T) {
	r := scenario(t)
	c := newCluster(t, 3)
	w := c.startWorkload(c.machines...)
	for range rounds(3) {
		w.progress(50, c.machines...)
		leader, others := c.leader()
		c.signal(leader, syscall.SIGSTOP)
		w.progress(50+r.IntN(200), others...)
		// Reads that reach it while it stands still have to be answered with what
		// the others have acknowledged meanwhile.
		reads := make(chan outcome)
		const patient = 20
		epoch := w.epoch.Load()
		for i := range patient {
			go func() {
				o := op{kind: "get", name: registerName(epoch, i%registers)}
				reads <- w.do(clients+1+i, leader, o, patience)
			}()
		}
		w.progress(50, others...)
		c.signal(leader, syscall.SIGCONT)
		answered := 0
		for range patient {
			if out := <-reads; out.kind == "done" {
				answered++
			}
		}
		t.Logf("%d of %d reads answered after the stop", answered, patient)
		w.progress(3, leader)
		w.epoch.Add(1)
	}
	w.check()
}

func TestMembersAreReplacedUnderLoad(t *testing.T) {
	r := scenario(t)
	c := newCluster(t, 3, keepLittle...)
	w := c.startWorkload(c.machines...)
	for round := range rounds(4) {
		w.progress(50+r.IntN(100), c.machines...)
		leader, others := c.leader()
		gone, via := leader, others[0]
		if round%2 == 1 {
			gone, via = others[0], leader
		}
		c.remove(via, gone)
		if said := c.await(gone); !strings.Contains(said, "removed from the cluster") {
			t.Errorf("%s does not say why it ended:\n%s", gone.name, said)
		}
		if err := os.RemoveAll(gone.dir); err != nil {
			t.Fatal(err)
		}
		copies := gone.copies()
		c.awaitTruncation(status{Last: 1}) // the log is not enough for a new member
		c.join(via, gone)
		w.progress(3, gone)
		if gone.copies() == copies {
			t.Errorf("%s joined without a copy of the state", gone.name)
		}
		w.epoch.Add(1)
	}
	w.check()
}

func TestMembersJoinAndLeaveThroughInterruptions(t *testing.T) {
	r := scenario(t)
	c := newCluster(t, 3, keepLittle...)
	w := c.startWorkload(c.machines...)
	for range rounds(3) {
		w.progress(50, c.machines...)
		leader, others := c.leader()
		// One is removed behind its back, and hears of it when it is back.
		gone := others[0]
		c.isolate(gone, cut, cut)
		c.remove(leader, gone)
		w.progress(20, leader, others[1])
		c.net.Heal()
		if said := c.await(gone); !strings.Contains(said, "removed from the cluster") {
			t.Errorf("%s does not say why it ended:\n%s", gone.name, said)
		}
		// It does not come back by being started again.
		c.start(gone, gone.args...)
		if said := c.await(gone); !strings.Contains(said, "removed from the cluster") {
			t.Errorf("%s does not say why it ended again:\n%s", gone.name, said)
		}
		if err := os.RemoveAll(gone.dir); err != nil {
			t.Fatal(err)
		}
		// Its successor is killed whenever it gets somewhere.
		c.add(leader, gone)
		for range 4 {
			time.Sleep(time.Duration(r.IntN(150)) * time.Millisecond)
			c.restart(gone)
		}
		c.promote(leader, gone)
		w.progress(3, gone)
		w.epoch.Add(1)
	}
	w.check()
}

func TestAMemberWithAWipedDiskIsRefused(t *testing.T) {
	scenario(t)
	c := newCluster(t, 3)
	leader, others := c.leader()
	c.awaitStorage(leader)
	w := c.startWorkload(c.machines...)
	wiped := others[0]
	w.progress(50, c.machines...)
	c.end(wiped)
	if err := os.RemoveAll(wiped.dir); err != nil {
		t.Fatal(err)
	}
	c.restart(wiped)
	if said := c.await(wiped); !strings.Contains(said, "another disk") {
		t.Errorf("%s does not say why it ended:\n%s", wiped.name, said)
	}
	// It comes back as a new member.
	c.remove(leader, wiped)
	if err := os.RemoveAll(wiped.dir); err != nil {
		t.Fatal(err)
	}
	c.join(leader, wiped)
	w.progress(20, wiped)
	w.check()
}

func TestSlowAndStuckDisksLeaveHistoriesSound(t *testing.T) {
	r := scenario(t)
	c := newCluster(t, 3)
	w := c.startWorkload(c.machines...)
	for round := range rounds(4) {
		w.progress(50, c.machines...)
		leader, others := c.leader()
		switch round % 4 {
		case 0:
			for _, m := range c.machines {
				m.disk.Set(disklab.Fault{Delay: time.Duration(5+r.IntN(20)) * time.Millisecond})
			}
			w.progress(100, c.machines...)
		case 1:
			others[0].disk.Set(disklab.Fault{Stuck: true})
			w.progress(50, leader, others[1])
		case 2:
			// It goes on sending heartbeats, which take no disk.
			leader.disk.Set(disklab.Fault{Stuck: true})
			w.progress(50, others...)
		case 3:
			// Killed with a stuck flush under way.
			others[1].disk.Set(disklab.Fault{Stuck: true})
			w.progress(20, leader, others[0])
			c.restart(others[1])
		}
		for _, m := range c.machines {
			m.disk.Set(disklab.Fault{})
		}
		for _, m := range c.machines {
			w.progress(3, m)
		}
		w.epoch.Add(1)
	}
	w.check()
}

func TestAMemberWhoseDiskFailsStops(t *testing.T) {
	scenario(t)
	c := newCluster(t, 3)
	w := c.startWorkload(c.machines...)
	w.progress(50, c.machines...)
	leader, others := c.leader()
	leader.disk.Set(disklab.Fault{Err: syscall.EIO})
	if said := c.await(leader); !strings.Contains(said, "input/output error") {
		t.Errorf("%s does not say why it ended:\n%s", leader.name, said)
	}
	w.progress(50, others...)
	c.restart(leader)
	w.progress(3, leader)
	w.check()
}

// Five members, of which at most two are in trouble at a time, of any kind.
func TestAnythingMayHappenAtOnce(t *testing.T) {
	r := scenario(t)
	c := newCluster(t, 5, keepLittle...)
	w := c.startWorkload(c.machines...)
	for round := range rounds(4) {
		w.progress(20, c.machines...)
		order := r.Perm(len(c.machines))
		var healthy []*machine
		for _, i := range order[2:] {
			healthy = append(healthy, c.machines[i])
		}
		for _, i := range order[:2] {
			m := c.machines[i]
			fault := faults[r.IntN(len(faults))]
			t.Logf("round %d: %s is %s", round, m.name, fault.name)
			fault.begin(c, m)
		}
		w.progress(50+r.IntN(150), healthy...)
		c.net.Heal()
		for _, i := range order[:2] {
			m := c.machines[i]
			m.disk.Set(disklab.Fault{})
			c.signal(m, syscall.SIGCONT)
			if r.IntN(3) == 0 {
				c.restart(m)
			}
		}
		for _, m := range c.machines {
			w.progress(2, m)
		}
		w.epoch.Add(1)
	}
	w.check()
}

// faults are what may happen to a member. Healing the network, its disk and its
// process ends them all.
var faults = []struct {
	name  string
	begin func(c *cluster, m *machine)
}{
	{"isolated", func(c *cluster, m *machine) { c.isolate(m, cut, cut) }},
	{"deaf", func(c *cluster, m *machine) { c.isolate(m, netlab.Link{}, cut) }},
	{"mute", func(c *cluster, m *machine) { c.isolate(m, cut, netlab.Link{}) }},
	{"far away", func(c *cluster, m *machine) {
		far := netlab.Link{Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.02}
		c.isolate(m, far, far)
	}},
	{"restarted", func(c *cluster, m *machine) { c.restart(m) }},
	{"stopped", func(c *cluster, m *machine) { c.signal(m, syscall.SIGSTOP) }},
	{"slow to flush", func(_ *cluster, m *machine) { m.disk.Set(disklab.Fault{Delay: 30 * time.Millisecond}) }},
	{"stuck in a flush", func(_ *cluster, m *machine) { m.disk.Set(disklab.Fault{Stuck: true}) }},
}
