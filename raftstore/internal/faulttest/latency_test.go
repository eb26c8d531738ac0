package faulttest

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

// proposeEach proposes n commands on a member, one each interval, and returns how
// long the slowest took.
func (c *cluster) proposeEach(name string, n int, interval time.Duration) time.Duration {
	var (
		wg      sync.WaitGroup
		slowest atomic.Int64
	)
	for i := range n {
		wg.Go(func() {
			begin := time.Now()
			if err := c.propose(name, "each "+strconv.Itoa(i), time.Minute); err != nil {
				c.t.Errorf("command %d: %v", i, err)
			}
			for took := int64(time.Since(begin)); ; {
				if old := slowest.Load(); took <= old || slowest.CompareAndSwap(old, took) {
					return
				}
			}
		})
		time.Sleep(interval)
	}
	wg.Wait()
	return time.Duration(slowest.Load())
}

func TestFramesGrowWithTheLatencyOfTheQuorum(t *testing.T) {
	for _, tt := range []struct {
		name            string
		delay           time.Duration // one way
		commands        int
		interval        time.Duration
		frames, slowest int64 // at most; in microseconds
	}{
		{name: "near", delay: 200 * time.Microsecond, commands: 500, interval: 10 * time.Microsecond, frames: 20, slowest: 900},
		{name: "far", delay: 25 * time.Millisecond, commands: 1000, interval: 100 * time.Microsecond, frames: 110, slowest: 51_100},
		{name: "rare", delay: 200 * time.Microsecond, commands: 20, interval: 10 * time.Millisecond, frames: 20, slowest: 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, names := threeMembers(t)
				defer c.stop()
				c.write(names[0], "first", 1, 10)
				c.net.Delay(tt.delay)
				time.Sleep(time.Second)
				before := c.node(names[0]).Stats()
				slowest := c.proposeEach(names[0], tt.commands, tt.interval)
				after := c.node(names[0]).Stats()
				if got := int64(after.Commands - before.Commands); got != int64(tt.commands) {
					t.Errorf("%d commands were framed, not %d", got, tt.commands)
				}
				if got := int64(after.Frames - before.Frames); got > tt.frames {
					t.Errorf("%d commands took %d frames, more than %d", tt.commands, got, tt.frames)
				}
				if slowest.Microseconds() > tt.slowest {
					t.Errorf("the slowest took %v, more than %d µs", slowest, tt.slowest)
				}
				c.net.Delay(0)
				if err := c.check(names...); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// counted is a transport that counts messages.
type counted struct {
	raftstore.Transport
	sent *atomic.Int64
}

func (c counted) Send(m raftstore.Message) {
	c.sent.Add(1)
	c.Transport.Send(m)
}

// TestAFrameTellsOfTheOneBefore would have a leader send two messages for each
// frame, were not those left out that tell only of what was committed.
func TestAFrameTellsOfTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := make(map[string]*atomic.Int64)
		c := newCluster(t, "a", "b", "c")
		c.tune = func(cfg *raftstore.Config) {
			sent[cfg.Name] = new(atomic.Int64)
			cfg.Transport = counted{cfg.Transport, sent[cfg.Name]}
		}
		c.start("a", "b", "c")
		defer c.stop()
		leader := c.leader("a", "b", "c")
		c.write(leader, "first", 1, 10)
		c.net.Delay(200 * time.Microsecond)
		time.Sleep(time.Second)
		frames, messages := c.node(leader).Stats().Frames, sent[leader].Load()
		c.proposeEach(leader, 5000, 10*time.Microsecond)
		frames, messages = c.node(leader).Stats().Frames-frames, sent[leader].Load()-messages
		// A heartbeat or two, and what tells of the last frame.
		if most := 2*int64(frames) + 10; messages > most {
			t.Errorf("%d messages to two followers for %d frames, more than %d", messages, frames, most)
		}
	})
}

// deaf is a transport that loses messages to one member, but not the answers to
// what that one forwards.
type deaf struct {
	raftstore.Transport
	to *atomic.Uint64
}

func (d deaf) Send(m raftstore.Message) {
	if m.To != d.to.Load() {
		d.Transport.Send(m)
	}
}

func TestACallerWhoDoesNotWaitForItsOwnMemberGetsItsResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Uint64
		c := newCluster(t, "a", "b", "c")
		c.tune = func(cfg *raftstore.Config) { cfg.Transport = deaf{cfg.Transport, &lost} }
		c.start("a", "b", "c")
		defer c.stop()
		leader := c.leader("a", "b", "c")
		c.write(leader, "first", 1, 10)
		follower := others(c.names(), leader)[0]
		node := c.node(follower)
		lost.Store(node.Status().ID)
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		result, err := node.Propose(ctx, []byte("impatient"))
		if err != nil || len(result) == 0 || time.Since(begin) != 50*time.Millisecond {
			t.Errorf("after %v: %q, %v, want a result after 50ms", time.Since(begin), result, err)
		}
		shown := func() bool {
			commands, err := c.host(follower).state.commands()
			return err == nil && slices.Contains(commands, "impatient")
		}
		if shown() {
			t.Error("the follower applied what nobody told it of")
		}
		lost.Store(0)
		time.Sleep(time.Minute)
		if !shown() {
			t.Error("the follower has not applied the command")
		}
	})
}
