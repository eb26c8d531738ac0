package main

import (
	"sync"
	"time"
)

// rebootLog counts the machines that are down for a reboot.
type rebootLog struct {
	back chan string // names of machines that are up again

	mu         sync.Mutex
	down, most int
}

func newRebootLog() *rebootLog { return &rebootLog{back: make(chan string, 100)} }

func (l *rebootLog) change(by int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down += by
	l.most = max(l.most, l.down)
}

func (l *rebootLog) mostDown() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.most
}

// bootTime is how long a machine is off in a reboot.
const bootTime = 300 * time.Millisecond

// powerCycle reboots a machine: its agent has moved its units away, everything
// it runs ends, and after a moment it boots again. A machine counts as down
// until its agent has joined.
func (c *cluster) powerCycle(m *machine) {
	log := c.reboots.Load()
	log.change(1)
	c.cycles.Go(func() {
		m.halt()
		off := time.NewTimer(bootTime)
		defer off.Stop()
		select {
		case <-off.C:
		case <-c.ctx.Done():
			return
		}
		if err := m.boot(c.ctx); err != nil {
			m.log.Error("machine does not boot", "err", err)
			return
		}
		s, err := m.running()
		if err != nil {
			return
		}
		if await(c.ctx, s.agent.Joined()) == nil {
			log.change(-1)
			log.back <- m.name
		}
	})
}
