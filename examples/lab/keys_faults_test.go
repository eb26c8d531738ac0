//go:build linux

package lab_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

func TestTheKeySpaceStaysSoundThroughPartitions(t *testing.T) {
	r := scenario(t)
	c := newKeyCluster(t)
	w := c.startKeys(0)
	for round := range rounds(6) {
		w.progress(50, c.machines...)
		leader, others := c.leader()
		t.Logf("round %d: leader %s", round, leader.name)
		able := c.part(round%6, leader, others)
		w.progress(50+r.IntN(100), able...)
		c.net.Heal()
		for _, m := range c.machines {
			w.progress(3, m)
		}
		w.epoch.Add(1)
	}
	w.check()
}

func TestTheKeySpaceStaysSoundThroughKillsAndPauses(t *testing.T) {
	r := scenario(t)
	c := newKeyCluster(t)
	w := c.startKeys(0)
	for round := range rounds(5) {
		w.progress(50+r.IntN(100), c.machines...)
		leader, others := c.leader()
		t.Logf("round %d: leader %s", round, leader.name)
		switch round % 5 {
		case 0:
			c.end(leader)
			w.progress(50, others...)
			c.restart(leader)
		case 1:
			c.signal(leader, syscall.SIGSTOP)
			w.progress(50+r.IntN(100), others...)
			c.signal(leader, syscall.SIGCONT)
		case 2:
			c.end(others[0])
			w.progress(50, leader, others[1])
			c.restart(others[0])
		case 3:
			// What waits at it when it goes on has to be answered with what the others
			// have acknowledged meanwhile.
			c.signal(others[0], syscall.SIGSTOP)
			w.progress(50, leader, others[1])
			c.restart(leader)
			c.signal(others[0], syscall.SIGCONT)
		case 4:
			for _, m := range c.machines {
				c.end(m)
			}
			for _, m := range c.machines {
				c.restart(m)
			}
		}
		for _, m := range c.machines {
			w.progress(3, m)
		}
		w.epoch.Add(1)
	}
	w.check()
}

// A member without room on its disk says so and ends, or takes no more writes. It
// comes back with all that it had.
func TestTheKeySpaceStaysSoundThroughFullDisks(t *testing.T) {
	scenario(t)
	c := newKeyCluster(t)
	w := c.startKeys(16 << 10) // which soon asks for room
	for round := range rounds(3) {
		w.progress(50, c.machines...)
		leader, others := c.leader()
		full := [][]*machine{{leader}, {others[0]}, c.machines}[round%3]
		for _, m := range full {
			if err := m.volume.Fill(); err != nil {
				t.Fatal(err)
			}
		}
		ended := c.awaitAny(full)
		if len(full) == 1 {
			w.progress(50, c.running()...)
		}
		// It does not come back before there is room, and breaks nothing by trying.
		if err := ended.volume.Fill(); err != nil {
			t.Fatal(err)
		}
		c.start(ended)
		c.awaitFull(ended)
		for _, m := range full {
			if err := m.volume.Free(); err != nil {
				t.Fatal(err)
			}
			c.revive(m)
		}
		for _, m := range c.machines {
			w.progress(3, m)
		}
		w.epoch.Add(1)
	}
	w.check()
}

// awaitAny waits until the member of one of the machines ends for want of room.
func (c *cluster) awaitAny(ms []*machine) *machine {
	c.t.Helper()
	var ended *machine
	c.until(func() error {
		for _, m := range ms {
			select {
			case <-m.process.Done():
				ended = m
				return nil
			default:
			}
		}
		return errors.New("all go on without room")
	})
	c.awaitFull(ended)
	return ended
}

// awaitFull waits until the member of a machine ends for want of room.
func (c *cluster) awaitFull(m *machine) {
	c.t.Helper()
	if said := c.await(m); !strings.Contains(said, "no space left on device") {
		c.t.Errorf("%s does not say why it ended:\n%s", m.name, said)
	}
}

// revive starts the member of a machine, which may have ended or be about to.
func (c *cluster) revive(m *machine) {
	c.t.Helper()
	if m.process != nil {
		m.process.Kill()
		c.await(m)
	}
	c.start(m)
}
