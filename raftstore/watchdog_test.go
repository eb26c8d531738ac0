package raftstore_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

func TestEventsTellOfLeadersAndMembers(t *testing.T) {
	c := newCluster(t, "a")
	c.start("a", &journal{})
	c.leader("a")
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	events := c.nodes["a"].Events(ctx)
	if _, err := c.nodes["a"].AddLearner(within(t), "b", []string{"http://b"}); err != nil {
		t.Fatal(err)
	}
	for ev := range events {
		if ev.Kind == raftstore.EventMembership {
			if ev.Index == 0 {
				t.Errorf("event %+v has no index", ev)
			}
			break
		}
	}
	c.stop("a")
	for range events {
		t.Error("an event after the node has stopped")
	}
}

func TestRecordingShowsWhatHappened(t *testing.T) {
	c := newCluster(t, "a", "b", "c").startAll()
	c.propose("a", "x")
	var lines []string
	for line := range c.nodes["a"].Recording() {
		lines = append(lines, line)
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{"MsgApp", "term", "leader"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in the recording:\n%s", want, text)
		}
	}
}

// hanging is a log whose syncs hang while told to.
type hanging struct {
	raftstore.LogStore
	gate atomic.Pointer[chan struct{}]
}

func (h *hanging) hang() (release func()) {
	gate := make(chan struct{})
	h.gate.Store(&gate)
	return func() {
		h.gate.Store(nil)
		close(gate)
	}
}

func (h *hanging) Append(g raftstore.LogGroup, sync bool) error {
	if gate := h.gate.Load(); gate != nil && sync {
		<-*gate
	}
	return h.LogStore.Append(g, sync)
}

func TestLeaderWhoseDiskHangsLosesLeadership(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	disks := make(map[string]*hanging)
	c.tune = func(cfg *raftstore.Config) {
		disks[cfg.Name] = &hanging{LogStore: cfg.Log}
		cfg.Log = disks[cfg.Name]
	}
	c.startAll()
	old := c.leader("a", "b", "c")
	c.propose(old, "before")
	release := disks[old].hang()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var stuck sync.WaitGroup
	stuck.Go(func() { _, _ = c.nodes[old].Propose(ctx, []byte("stuck")) })

	rest := c.others(old)
	waitFor(t, func() bool {
		id := c.nodes[old].Status().ID
		return c.nodes[rest[0]].Status().Leader != id && c.nodes[rest[1]].Status().Leader != id
	})
	c.leader(rest...)
	c.propose(rest[0], "meanwhile")
	release()
	stuck.Wait()
	c.barrier(old)
	if got := c.states[old].commands(); len(got) < 2 || got[0] != "before" {
		t.Errorf("%s has %q after its disk came back", old, got)
	}
}
