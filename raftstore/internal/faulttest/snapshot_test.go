package faulttest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

// slowRoad is a transport whose snapshots wait to be let through.
type slowRoad struct {
	raftstore.Transport
	held chan struct{} // receives when a snapshot has come to the gate
	gate chan struct{} // closed to let all through
}

func (r *slowRoad) SendSnapshot(ctx context.Context, to uint64, head []byte, dir string) error {
	r.held <- struct{}{}
	select {
	case <-r.gate:
		return r.Transport.SendSnapshot(ctx, to, head, dir)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestTheLogStaysForWhoIsBeingSentASnapshot has a snapshot take a long time, in
// which so much is written that the log would be trimmed past it: one snapshot is
// enough nevertheless.
func TestTheLogStaysForWhoIsBeingSentASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		road := &slowRoad{held: make(chan struct{}, 100), gate: make(chan struct{})}
		c.tune = func(cfg *raftstore.Config) {
			flushOften(cfg)
			cfg.LogRetainBytes, cfg.LogCapBytes = 4<<10, 16<<10
			cfg.Transport = &slowRoad{Transport: cfg.Transport, held: road.held, gate: road.gate}
		}
		c.start(c.names()...)
		defer c.stop()
		leader := c.leader(c.names()...)
		names := others(c.names(), leader)
		behind, other := names[0], names[1]
		c.net.Isolate(behind, leader, other)
		fill := func(what string) {
			for i := range 15 {
				c.write(leader, fmt.Sprint(what, " ", i), 4, 2000)
				time.Sleep(time.Second)
			}
		}
		fill("missed")
		c.net.Heal()
		<-road.held
		taken := c.node(leader).Status().Last
		fill("meanwhile")
		if first := c.node(leader).Status().First; first > taken+1 {
			t.Errorf("the log begins at index %d, a snapshot of index %d at most is on its way", first, taken)
		}
		close(road.gate)
		if err := c.check(c.names()...); err != nil {
			t.Error(err)
		}
		if got := c.node(behind).Stats().SnapshotsReceived; got != 1 {
			t.Errorf("%s got %d snapshots, want 1", behind, got)
		}
		fill("afterwards")
		if first := c.node(leader).Status().First; first <= taken {
			t.Errorf("the log still begins at index %d", first)
		}
	})
}

// TestACallerIsNotToldThatWhatASnapshotHoldsWasDropped cuts the leader off from
// all answers: what it has sent is committed by the others, and has left their
// log by the time it hears of that.
func TestACallerIsNotToldThatWhatASnapshotHoldsWasDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		c.tune = func(cfg *raftstore.Config) {
			flushOften(cfg)
			cfg.LogRetainBytes, cfg.LogCapBytes = 4<<10, 16<<10
		}
		c.start(c.names()...)
		defer c.stop()
		leader := c.leader(c.names()...)
		rest := others(c.names(), leader)
		for _, name := range rest {
			c.net.Cut(name, leader)
		}
		var caller sync.WaitGroup
		caller.Go(func() {
			// Noted with its answer, which is compared with what was applied.
			_ = c.propose(leader, "unheard", 10*time.Minute)
		})
		time.Sleep(10 * time.Second)
		c.leader(rest...)
		for i := range 15 {
			c.write(rest[0], fmt.Sprint("meanwhile ", i), 4, 2000)
			time.Sleep(time.Second)
		}
		c.net.Heal()
		caller.Wait()
		if got := c.node(leader).Stats(); got.SnapshotsReceived != 1 || got.Unknown != 1 {
			t.Errorf("%d snapshots were installed and %d outcomes unknown, want 1 and 1", got.SnapshotsReceived, got.Unknown)
		}
		if err := c.check(c.names()...); err != nil {
			t.Error(err)
		}
	})
}
