package faulttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
)

// flushOften has a member touch its state's disk soon.
func flushOften(cfg *raftstore.Config) {
	cfg.LogRetainBytes, cfg.LogCapBytes = 64<<10, 256<<10
	cfg.FlushBytes, cfg.FlushInterval = 32<<10, 3*time.Second
}

// threeMembers returns a cluster whose leader is the first of names.
func threeMembers(t *testing.T) (c *cluster, names []string) {
	c = newCluster(t, "a", "b", "c")
	c.tune = flushOften
	c.start(c.names()...)
	leader := c.leader(c.names()...)
	names = slices.DeleteFunc(c.names(), func(name string) bool { return name == leader })
	names = append([]string{leader}, names...)
	c.write(leader, "before", 5, 100)
	return c, names
}

// TestAFailingDiskEndsItsMemberAlone fails one operation of one member, later
// ones would succeed: the member ends with the disk's error, the others go on,
// and it comes back with all that it had, with or without a loss of power.
func TestAFailingDiskEndsItsMemberAlone(t *testing.T) {
	hit := make(map[raftsim.OpKind]int)
	for _, role := range []string{"leader", "follower"} {
		for _, path := range []string{"log/", "member/"} {
			for _, kind := range []raftsim.OpKind{raftsim.OpSync, raftsim.OpWrite, raftsim.OpCreate, raftsim.OpSyncDir, raftsim.OpRename} {
				for _, power := range []bool{true, false} {
					f := raftsim.Fault{Kind: kind, Path: path, After: 2, Times: 1, Err: syscall.EIO}
					synctest.Test(t, func(t *testing.T) {
						if failMember(t, role == "leader", power, f) {
							hit[kind]++
						}
					})
				}
			}
		}
	}
	t.Log(hit)
	for _, kind := range []raftsim.OpKind{raftsim.OpSync, raftsim.OpWrite, raftsim.OpCreate} {
		if hit[kind] == 0 {
			t.Errorf("no %s was ever hit", kind)
		}
	}
}

// failMember reports whether the fault hit.
func failMember(t *testing.T, leader, power bool, f raftsim.Fault) bool {
	c, names := threeMembers(t)
	defer c.stop()
	victim, other := names[0], names[1]
	if !leader {
		victim, other = names[1], names[0]
	}
	h := c.host(victim)
	h.disk.Inject(f)
	for i := range 60 {
		c.write(other, fmt.Sprint("big ", i), 1, 16<<10)
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(5 * time.Second)
	err := h.node.Err()
	if err == nil {
		return false // nothing of that kind is done to that path
	}
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("%+v: the member ended with %v, want EIO", f, err)
	}
	c.write(other, "without", 3, 10)
	if power {
		c.crash(0, nil, victim)
	} else {
		_ = c.halt(victim) // the error again
		h.disk.Heal()
	}
	c.start(victim)
	if err := c.check(c.names()...); err != nil {
		t.Errorf("%+v, restarted: %v", f, err)
	}
	return true
}

func TestAFullDiskEndsItsMemberUntilThereIsSpace(t *testing.T) {
	for _, first := range []int{0, 1, 2, 5, 10, 20} {
		synctest.Test(t, func(t *testing.T) {
			c, names := threeMembers(t)
			defer c.stop()
			h := c.host(names[0])
			for _, kind := range []raftsim.OpKind{raftsim.OpWrite, raftsim.OpCreate, raftsim.OpMkdir, raftsim.OpLink} {
				h.disk.Inject(raftsim.Fault{Kind: kind, After: first, Err: syscall.ENOSPC})
			}
			c.write(names[1], "full", 30, 100)
			<-h.node.Done()
			if err := h.node.Err(); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("the member ended with %v, want ENOSPC", err)
			}
			_ = c.halt(names[0])
			if err := c.open(h); err == nil {
				t.Error("the member opens on a full disk")
			} else if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("open on a full disk: %v, want ENOSPC", err)
			}
			h.disk.Heal()
			c.start(names[0])
			if err := c.check(c.names()...); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheOnlyMemberWithAFailingDiskAcknowledgesNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.start("a")
		c.write("a", "before", 5, 100)
		h := c.host("a")
		h.disk.Inject(raftsim.Fault{Kind: raftsim.OpSync, Times: 1, Err: syscall.EIO})
		for i := range 3 {
			if err := c.propose("a", fmt.Sprint("after ", i), time.Minute); err == nil {
				t.Errorf("command %d was acknowledged on a disk that failed", i)
			}
		}
		<-h.node.Done()
		if err := h.node.Err(); !errors.Is(err, syscall.EIO) {
			t.Errorf("the member ended with %v, want EIO", err)
		}
		c.crash(0, nil, "a")
		c.start("a")
		if err := c.check("a"); err != nil {
			t.Error(err)
		}
		c.stop()
	})
}

// TestAHungDiskCostsTheLeadership hangs the disk of the leader, which goes on
// otherwise: somebody else leads, and it takes part again when the disk does.
func TestAHungDiskCostsTheLeadership(t *testing.T) {
	for _, path := range []string{"log/", "member/"} {
		synctest.Test(t, func(t *testing.T) {
			c, names := threeMembers(t)
			defer c.stop()
			h := c.host(names[0])
			// What keeps a member busy is a batch that waits for the state's flush.
			h.disk.Inject(raftsim.Fault{Kind: raftsim.OpSync, Path: path, Hang: true})
			start := time.Now()
			c.write(names[1], "hung", 40, 4<<10)
			took := time.Since(start)
			t.Logf("%s: %v until the others had 40 commands more", path, took)
			if took > 15*time.Second {
				t.Errorf("%s: the others went on after %v, want it to take a few election timeouts", path, took)
			}
			if st := h.node.Status(); path == "log/" && st.Role == raftstore.Leader && st.Term == c.node(names[1]).Status().Term {
				t.Errorf("%s: the member still leads: %+v", path, st)
			}
			if err := h.node.Err(); err != nil {
				t.Errorf("%s: the member ended: %v", path, err)
			}
			h.disk.Heal()
			if err := c.check(c.names()...); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		})
	}
}

func TestAHungDiskOfAFollowerHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, names := threeMembers(t)
		defer c.stop()
		h := c.host(names[1])
		term := h.node.Status().Term
		h.disk.Inject(raftsim.Fault{Kind: raftsim.OpSync, Path: "log/", Hang: true})
		start := time.Now()
		c.write(names[0], "hung", 20, 100)
		if took := time.Since(start); took > time.Second {
			t.Errorf("20 commands took %v", took)
		}
		time.Sleep(30 * time.Second)
		h.disk.Heal()
		if err := c.check(c.names()...); err != nil {
			t.Error(err)
		}
		if now := c.node(names[0]).Status().Term; now != term {
			t.Errorf("term went from %d to %d for a follower's disk", term, now)
		}
	})
}

func TestStopDoesNotWaitForAHungDiskLongerThanItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.start("a")
		c.write("a", "before", 1, 1)
		h := c.host("a")
		h.disk.Inject(raftsim.Fault{Kind: raftsim.OpSync, Hang: true})
		if err := c.propose("a", "hangs", time.Second); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, raftstore.ErrOutcomeUnknown) {
			t.Errorf("propose: %v, want the deadline and an unknown outcome", err)
		}
		ctx, cancel := within(time.Second)
		defer cancel()
		if err := h.node.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop: %v, want the deadline", err)
		}
		h.disk.Heal()
		<-h.node.Done()
		if err := h.node.Err(); err != nil {
			t.Errorf("the member ended with %v", err)
		}
	})
}

// TestAFailedMemberEndsThoughItsDiskHangs has one part of a member fail while
// another waits for a disk that never answers.
func TestAFailedMemberEndsThoughItsDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, names := threeMembers(t)
		defer c.stop()
		h := c.host(names[1])
		h.disk.Inject(raftsim.Fault{Kind: raftsim.OpSync, Path: "member/", Hang: true})
		c.write(names[0], "flushed", 10, 16<<10)
		time.Sleep(10 * time.Second)
		if err := h.node.Err(); err != nil {
			t.Fatalf("the member ended: %v", err)
		}
		h.disk.Inject(raftsim.Fault{Kind: raftsim.OpSync, Path: "log/", Err: syscall.EIO})
		start := time.Now()
		c.write(names[0], "more", 1, 10)
		select {
		case <-h.node.Done():
		case <-time.After(time.Minute):
			t.Error("the member has not ended within a minute")
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("it took the member %v to end", took)
		}
		if err := c.halt(names[1]); !errors.Is(err, syscall.EIO) {
			t.Errorf("stop: %v, want EIO", err)
		}
		h.disk.Heal() // and what hung comes to its end
		c.write(names[0], "without", 3, 10)
	})
}

func TestASlowDiskIsOnlySlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, names := threeMembers(t)
		defer c.stop()
		term := c.node(names[0]).Status().Term
		for _, name := range names {
			c.host(name).disk.Inject(raftsim.Fault{Kind: raftsim.OpSync, Delay: 300 * time.Millisecond})
		}
		c.write(names[1], "slow", 20, 1000)
		if now := c.node(names[0]).Status().Term; now != term {
			t.Errorf("term went from %d to %d", term, now)
		}
		if err := c.check(names...); err != nil {
			t.Error(err)
		}
	})
}
