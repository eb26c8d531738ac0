package faulttest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
)

var (
	sweepSeed  = flag.Uint64("faulttest.sweepseed", 1, "what of the unsynced survives in the sweep")
	sweepEvery = flag.Int("faulttest.sweepevery", 12, "restart the whole cluster at one of that many operations")
)

// TestCrashesAtEverySyncAndRename runs one workload with everything in it that
// a member does to its disk, and looks right before and right after each sync,
// rename and directory sync what a loss of power would leave. Each of these
// leftovers is then opened; and of some moments those of all members together.
func TestCrashesAtEverySyncAndRename(t *testing.T) {
	s := &sweep{rng: rand.New(rand.NewPCG(*sweepSeed, 0)), counts: make(map[string]int)}
	synctest.Test(t, func(t *testing.T) { s.run(t) })
	t.Logf("%d leftovers of single disks, %d of all; operations: %v", len(s.lone), len(s.all), s.counts)
	for _, kind := range []string{"a sync", "a rename", "a syncdir", "install", "roll", "trim", "replace", "join"} {
		if s.counts[kind] == 0 {
			t.Errorf("the workload has no %s", kind)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		for _, left := range s.lone {
			if err := s.reopen(t, left); err != nil {
				t.Errorf("%s %s %s of %s, operation %d, keeping %d%%: %v",
					left.host.name, when(left.op), left.op.Kind, left.op.Path, left.number, left.keep, err)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		for _, left := range s.all {
			if err := s.restart(t, left); err != nil {
				t.Errorf("all at operation %d of %s, keeping %d%%: %v", left.number, left.name, left.keep, err)
			}
		}
	})
}

func when(op raftsim.Op) string {
	if op.Done {
		return "right after"
	}
	return "right before"
}

// sweep collects leftovers.
type sweep struct {
	c   *cluster
	mu  sync.Mutex // held while a leftover is taken
	rng *rand.Rand

	// Protected by mu.
	number int
	lone   []leftover
	all    []leftovers
	counts map[string]int
}

// did notes that the workload did something.
func (s *sweep) did(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

// leftover is what a loss of power would leave of one disk.
type leftover struct {
	number        int
	keep          int
	op            raftsim.Op
	host          *host
	disk          *raftsim.Disk
	seen          *record
	log           *raftsim.LogRecorder // nil before the log was opened
	before, after raftsim.LogMark
	durable       uint64 // what the state machine has said
}

// leftovers is what a loss of power would leave of all disks.
type leftovers struct {
	number int
	name   string // whose operation it was
	keep   int
	hosts  []*host
	disks  []*raftsim.Disk
	seen   *record
}

func (s *sweep) run(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.tune = func(cfg *raftstore.Config) {
		cfg.LogRetainBytes, cfg.LogCapBytes = 4<<10, 16<<10
		cfg.FlushBytes, cfg.FlushInterval = 32<<10, 5*time.Second
	}
	s.c = c
	for _, h := range c.hosts {
		s.watch(h)
	}
	c.start("a", "b", "c")
	leader := c.leader("a", "b", "c")
	c.write("b", "plain", 10, 100)

	// The tail of a leader that was cut off is replaced.
	others := slices.DeleteFunc(c.names(), func(name string) bool { return name == leader })
	c.net.Isolate(leader, others...)
	for i := range 3 {
		_ = c.propose(leader, fmt.Sprint("cut off ", i), 10*time.Millisecond)
	}
	c.leader(others...)
	c.write(others[0], "majority", 5, 100)
	c.net.Heal()
	c.leader("a", "b", "c")
	s.did("replace")
	c.write("a", "healed", 5, 100)

	// A follower that was cut off for too long gets a snapshot.
	leader = c.leader("a", "b", "c")
	others = slices.DeleteFunc(c.names(), func(name string) bool { return name == leader })
	c.net.Isolate(others[0], leader, others[1])
	for i := range 12 {
		c.write(leader, fmt.Sprint("long ", i), 3, 2000)
		time.Sleep(time.Second)
	}
	if c.node(leader).Status().First > 20 {
		s.did("trim")
	}
	behind := c.node(others[0]).Status().Last
	c.net.Heal()
	c.leader("a", "b", "c")
	c.write(others[0], "caught up", 3, 100)
	if c.node(others[0]).Status().First > behind {
		s.did("install")
	}

	// A member that starts again goes on in new files of its log, at once or soon.
	if err := c.halt(others[1]); err != nil {
		t.Fatal(err)
	}
	file := s.newestFile(t, others[1])
	c.start(others[1])
	c.write(others[1], "again", 12, 2000)
	if s.newestFile(t, others[1]) > file {
		s.did("roll")
	}

	s.join(t)
	c.write("d", "end", 5, 100)
	if err := c.check("b", "c", "d"); err != nil {
		t.Error(err)
	}
	for _, h := range c.hosts {
		h.disk.Watch(nil)
	}
	_ = c.halt("a") // it was removed
	c.stop()
}

// newestFile returns the name of the newest table or segment of a member's log.
func (s *sweep) newestFile(t *testing.T, name string) (newest string) {
	names, err := s.c.host(name).disk.PebbleFS().List("log")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range names {
		if strings.HasSuffix(file, ".sst") || strings.HasSuffix(file, ".seg") {
			newest = max(newest, file)
		}
	}
	return newest
}

// join replaces member a by d.
func (s *sweep) join(t *testing.T) {
	c := s.c
	ctx, cancel := within(time.Minute)
	defer cancel()
	leader := c.node(c.leader("a", "b", "c"))
	m, err := leader.AddLearner(ctx, "d", []string{"sim://d"})
	if err != nil {
		t.Fatal(err)
	}
	known := leader.Cluster()
	d := &host{name: "d", disk: raftsim.NewDisk(), join: &known}
	c.mu.Lock()
	c.hosts = append(c.hosts, d)
	c.mu.Unlock()
	s.watch(d)
	c.start("d")
	for err = leader.Promote(ctx, m.ID); errors.Is(err, raftstore.ErrNotCaughtUp); err = leader.Promote(ctx, m.ID) {
		time.Sleep(100 * time.Millisecond)
	}
	if err == nil {
		a := c.node("a").Status().ID
		err = c.node("b").Remove(ctx, a)
	}
	if err == nil {
		err = c.node("c").UpdatePeer(ctx, m.ID, []string{"sim://d", "sim://e"})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.did("join")
}

func (s *sweep) watch(h *host) {
	h.disk.Watch(func(op raftsim.Op) {
		if op.Kind == raftsim.OpSync || op.Kind == raftsim.OpSyncDir || op.Kind == raftsim.OpRename {
			s.take(h, op)
		}
	})
}

// take notes what a crash right now would leave.
func (s *sweep) take(h *host, op raftsim.Op) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	s.counts["a "+string(op.Kind)]++
	s.c.mu.Lock()
	log, state := h.log, h.state
	s.c.mu.Unlock()
	left := leftover{number: s.number, op: op, host: h, seen: s.c.seen.fork(), log: log}
	if state != nil {
		left.durable = state.Durable()
	}
	if log != nil {
		left.before = log.Mark()
	}
	// Half of the leftovers hold only what was synced, which is the hardest.
	if s.number%2 == 0 {
		left.keep = s.rng.IntN(101)
	}
	left.disk = raftsim.AfterCrash(left.keep, s.rng, h.disk)[0]
	if log != nil {
		left.after = log.Mark()
	}
	s.lone = append(s.lone, left)
	if s.number%*sweepEvery == 0 {
		s.takeAll(h.name)
	}
}

func (s *sweep) takeAll(name string) {
	left := leftovers{number: s.number, name: name, keep: s.rng.IntN(2) * s.rng.IntN(101), seen: s.c.seen.fork()}
	s.c.mu.Lock()
	left.hosts = slices.Clone(s.c.hosts)
	s.c.mu.Unlock()
	for _, h := range left.hosts {
		left.disks = append(left.disks, h.disk)
	}
	left.disks = raftsim.AfterCrash(left.keep, s.rng, left.disks...)
	s.all = append(s.all, left)
}

// reopen checks what a crash has left of one disk, alone.
func (s *sweep) reopen(t *testing.T, left leftover) error {
	if left.log != nil {
		log, err := s.c.openLog(&host{name: left.host.name, disk: left.disk})
		if err != nil {
			return err
		}
		if err := errors.Join(left.log.CheckSurvivor(log, left.before, left.after), log.Close()); err != nil {
			return err
		}
	}
	c := s.c.onDisks(t, []*host{left.host}, []*raftsim.Disk{left.disk}, left.seen)
	h := c.hosts[0]
	if err := c.open(h); err != nil {
		if errors.Is(err, raftstore.ErrRemoved) && h.name == "a" {
			return nil
		}
		return fmt.Errorf("open: %w", err)
	}
	pos, err := h.state.position()
	if err == nil && pos < left.durable {
		err = fmt.Errorf("state is at index %d, was durable at %d", pos, left.durable)
	}
	cmds, errRead := h.state.commands()
	errStop := h.node.Stop(context.Background())
	if errors.Is(errStop, raftstore.ErrRemoved) && h.name == "a" {
		return nil // it has read so in its log
	}
	return errors.Join(err, errRead, c.seen.checkPart(cmds), errStop)
}

// restart checks that the cluster goes on after all have crashed.
func (s *sweep) restart(t *testing.T, left leftovers) error {
	c := s.c.onDisks(t, left.hosts, left.disks, left.seen)
	defer func() {
		for _, h := range c.hosts {
			_ = c.halt(h.name)
		}
	}()
	var up []string
	for _, h := range c.hosts {
		switch err := c.open(h); {
		case errors.Is(err, raftstore.ErrRemoved) && h.name == "a":
		case err != nil:
			return fmt.Errorf("open %s: %w", h.name, err)
		default:
			up = append(up, h.name)
		}
	}
	// Whoever of a and d does not belong to the cluster, or not yet, has nothing
	// to say.
	voters := slices.DeleteFunc(up, func(name string) bool { return name == "a" || name == "d" })
	c.write(voters[0], fmt.Sprint("restart ", left.number), 1, 10)
	return c.check(voters...)
}

// onDisks returns a cluster of the same members on other disks.
func (c *cluster) onDisks(t testing.TB, hosts []*host, disks []*raftsim.Disk, seen *record) *cluster {
	twin := &cluster{t: t, net: raftsim.NewNetwork(), initial: c.initial, seen: seen, tune: c.tune, openLog: c.openLog}
	for i, h := range hosts {
		twin.hosts = append(twin.hosts, &host{name: h.name, disk: disks[i], join: h.join})
	}
	return twin
}

func (l *ledger) position() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.db == nil {
		return 0, errLedgerClosed
	}
	return l.head.Pos.Index, nil
}
