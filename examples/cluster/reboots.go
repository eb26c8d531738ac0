package main

import (
	"sync"
	"time"
)

// rebootLog knows the machines that are down for a reboot.
type rebootLog struct {
	back chan string // names of machines that are up again

	mu   sync.Mutex
	down map[*machine]struct{}
	most int // machines that were down at once
}

func newRebootLog() *rebootLog {
	return &rebootLog{back: make(chan string, 100), down: make(map[*machine]struct{})}
}

func (l *rebootLog) goesDown(m *machine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down[m] = struct{}{}
	l.most = max(l.most, len(l.down))
}

// isUp tells of a machine that works, which may not have been down.
func (l *rebootLog) isUp(m *machine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.down[m]; ok {
		delete(l.down, m)
		l.back <- m.name
	}
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
// until it says that it works, which is before it lets another one go down.
func (c *cluster) powerCycle(m *machine) {
	c.reboots.goesDown(m)
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
		}
	})
}
