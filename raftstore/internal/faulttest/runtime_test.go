package faulttest

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTheRuntimeRunsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := newCluster(t, "a", "b", "c").start("a", "b", "c")
		leader := c.leader("a", "b", "c")
		c.write("a", "first", 20, 10)
		c.crash(0, nil, leader)
		var rest []string
		for _, name := range c.names() {
			if name != leader {
				rest = append(rest, name)
			}
		}
		c.leader(rest...)
		c.write(rest[0], "second", 20, 10)
		c.start(leader)
		c.write(leader, "third", 20, 10)
		if err := c.check("a", "b", "c"); err != nil {
			t.Error(err)
		}
		c.stop()
		t.Logf("%v of the bubble's time", time.Since(start))
	})
}
