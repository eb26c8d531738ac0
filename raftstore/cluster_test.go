package raftstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
	"github.com/strakeproject/strake/raftstore/seglog"
)

// journal is a state machine that remembers every command, and its position if
// it is kept across restarts.
type journal struct {
	mu   sync.Mutex
	cmds []string
	pos  raftstore.Position
}

func (j *journal) Open(context.Context, string) (raftstore.Position, error) { return j.pos, nil }

func (j *journal) Apply(cmds []raftstore.Command, pos raftstore.Position) ([][]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	results := make([][]byte, len(cmds))
	for i, c := range cmds {
		j.cmds = append(j.cmds, string(c.Data))
		results[i] = fmt.Appendf(nil, "%d:%s", len(j.cmds), c.Data)
	}
	j.pos = pos
	return results, nil
}

func (j *journal) Close() error { return nil }

func (j *journal) commands() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.cmds...)
}

// cluster runs members a, b, c ... in one process.
type cluster struct {
	t       testing.TB
	net     *raftsim.Network
	dir     string
	initial []raftstore.InitialMember
	nodes   map[string]*raftstore.Node
	states  map[string]recorder
	lead    func(name string) func(context.Context, uint64)
	tune    func(*raftstore.Config)
}

// recorder is a state machine that tells which commands it has applied.
type recorder interface {
	raftstore.StateMachine
	commands() []string
}

func newCluster(t testing.TB, names ...string) *cluster {
	c := &cluster{
		t: t, net: raftsim.NewNetwork(), dir: t.TempDir(),
		nodes: make(map[string]*raftstore.Node), states: make(map[string]recorder),
	}
	for _, name := range names {
		c.initial = append(c.initial, raftstore.InitialMember{Name: name, URLs: []string{"http://" + name}})
	}
	t.Cleanup(c.stopAll)
	return c
}

func (c *cluster) startAll() *cluster {
	for _, m := range c.initial {
		c.start(m.Name, &journal{})
	}
	return c
}

func (c *cluster) start(name string, sm recorder) *raftstore.Node {
	c.t.Helper()
	dir := filepath.Join(c.dir, name)
	log, err := seglog.Open(filepath.Join(dir, "log"), seglog.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := raftstore.Config{
		Dir: dir, Name: name, Initial: c.initial,
		StateMachine: sm, Log: log, Transport: c.net.Transport(),
		TickInterval: 10 * time.Millisecond,
	}
	if c.lead != nil {
		cfg.Lead = c.lead(name)
	}
	if c.tune != nil {
		c.tune(&cfg)
	}
	n, err := raftstore.Open(context.Background(), cfg)
	if err != nil {
		c.t.Fatalf("open %s: %v", name, err)
	}
	c.nodes[name], c.states[name] = n, sm
	return n
}

func (c *cluster) stop(name string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.nodes[name].Stop(ctx); err != nil {
		c.t.Errorf("stop %s: %v", name, err)
	}
	delete(c.nodes, name)
}

func (c *cluster) stopAll() {
	for name := range c.nodes {
		c.stop(name)
	}
}

// leader waits for all given members to follow one of them.
func (c *cluster) leader(names ...string) string {
	c.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		leaders := make(map[uint64]int)
		for _, name := range names {
			leaders[c.nodes[name].Status().Leader]++
		}
		for _, name := range names {
			if leaders[c.nodes[name].Status().ID] == len(names) {
				return name
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	c.t.Fatalf("no leader among %v", names)
	return ""
}

func (c *cluster) propose(name, cmd string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	result, err := c.nodes[name].Propose(ctx, []byte(cmd))
	if err != nil {
		c.t.Fatalf("propose %q on %s: %v", cmd, name, err)
	}
	return string(result)
}

func (c *cluster) barrier(name string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := c.nodes[name].ReadBarrier(ctx); err != nil {
		c.t.Fatalf("read barrier on %s: %v", name, err)
	}
}

func (c *cluster) others(name string) []string {
	var names []string
	for _, m := range c.initial {
		if m.Name != name {
			names = append(names, m.Name)
		}
	}
	return names
}

func TestEveryMemberTakesCommandsAndSeesItsOwn(t *testing.T) {
	c := newCluster(t, "a", "b", "c").startAll()
	for i, name := range []string{"a", "b", "c", "a"} {
		cmd := fmt.Sprintf("x%d", i)
		if got, want := c.propose(name, cmd), fmt.Sprintf("%d:%s", i+1, cmd); got != want {
			t.Errorf("propose on %s = %q, want %q", name, got, want)
		}
		if cmds := c.states[name].commands(); len(cmds) != i+1 || cmds[i] != cmd {
			t.Errorf("%s has %q right after its own %q", name, cmds, cmd)
		}
	}
}

func TestReadBarrierShowsWhatWasAcknowledgedElsewhere(t *testing.T) {
	c := newCluster(t, "a", "b", "c").startAll()
	for i := range 20 {
		writer, reader := c.initial[i%3].Name, c.initial[(i+1)%3].Name
		c.propose(writer, fmt.Sprint(i))
		c.barrier(reader)
		if got := len(c.states[reader].commands()); got != i+1 {
			t.Fatalf("%s has %d commands after its barrier, want %d", reader, got, i+1)
		}
	}
}

func TestConcurrentCommandsAreAppliedOnceAndInTheSameOrder(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	// A busy machine must not depose the leader: outcomes would be unknown.
	c.tune = func(cfg *raftstore.Config) { cfg.TickInterval = 100 * time.Millisecond }
	c.startAll()
	var wg sync.WaitGroup
	for w := range 30 {
		wg.Go(func() {
			for i := range 50 {
				c.propose(c.initial[w%3].Name, fmt.Sprintf("%d-%d", w, i))
			}
		})
	}
	wg.Wait()
	c.barrier("a") // the last command may have come through another member
	want := c.states["a"].commands()
	if len(want) != 1500 {
		t.Fatalf("a has %d commands, want 1500", len(want))
	}
	seen := make(map[string]bool)
	for _, cmd := range want {
		if seen[cmd] {
			t.Errorf("command %s was applied twice", cmd)
		}
		seen[cmd] = true
	}
	for _, name := range []string{"b", "c"} {
		c.barrier(name)
		got := c.states[name].commands()
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("%s differs from a at command %d of %d", name, i, len(want))
			}
		}
	}
}

func TestMembersRestartFromDiskWithAndWithoutTheirState(t *testing.T) {
	c := newCluster(t, "a", "b", "c").startAll()
	for i := range 10 {
		c.propose("a", fmt.Sprint(i))
	}
	c.stopAll()
	kept := c.states["a"]
	c.start("a", kept)       // a state that was durable
	c.start("b", &journal{}) // a state that was lost with the power
	c.start("c", &journal{})
	c.propose("b", "more")
	for _, name := range []string{"a", "b", "c"} {
		c.barrier(name)
		if got := c.states[name].commands(); len(got) != 11 || got[0] != "0" || got[10] != "more" {
			t.Errorf("%s has %q after the restart", name, got)
		}
	}
}

func TestSingleMemberLeadsAtOnce(t *testing.T) {
	c := newCluster(t, "a").startAll()
	if got := c.propose("a", "x"); got != "1:x" {
		t.Errorf("propose = %q, want 1:x", got)
	}
}

func TestStoppedLeaderHandsOver(t *testing.T) {
	c := newCluster(t, "a", "b", "c").startAll()
	leader := c.leader("a", "b", "c")
	rest := c.others(leader)
	c.propose(rest[0], "before")
	c.stop(leader)
	if got := c.propose(rest[0], "after"); got != "2:after" {
		t.Errorf("propose after hand-over = %q, want 2:after", got)
	}
}

func TestIsolatedLeaderNeverAcknowledgesAndCatchesUp(t *testing.T) {
	c := newCluster(t, "a", "b", "c").startAll()
	old := c.leader("a", "b", "c")
	rest := c.others(old)
	c.propose(old, "1")
	c.net.Isolate(old, rest...)

	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := c.nodes[old].Propose(ctx, []byte("lost"))
	if !errors.Is(err, raftstore.ErrOutcomeUnknown) && !errors.Is(err, raftstore.ErrDropped) && !errors.Is(err, raftstore.ErrNoLeader) {
		t.Errorf("propose on the isolated leader: %v, want an unknown or dropped outcome", err)
	}
	if _, err := c.nodes[old].ReadBarrier(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read barrier on the isolated leader: %v, want the deadline", err)
	}
	c.leader(rest...)
	if got := c.propose(rest[0], "2"); got != "2:2" {
		t.Errorf("propose on the majority = %q, want 2:2", got)
	}
	c.net.Heal()
	c.leader("a", "b", "c")
	c.barrier(old)
	if got := c.states[old].commands(); len(got) < 2 || got[0] != "1" || got[1] != "2" {
		t.Errorf("old leader has %q after the partition", got)
	}
}

func TestCommandsOnAFollowerSurviveTheLossOfTheLeader(t *testing.T) {
	c := newCluster(t, "a", "b", "c").startAll()
	old := c.leader("a", "b", "c")
	rest := c.others(old)
	var acked, unknown atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				_, err := c.nodes[rest[w%2]].Propose(ctx, fmt.Appendf(nil, "%d-%d", w, i))
				cancel()
				switch {
				case err == nil:
					acked.Add(1)
				case errors.Is(err, raftstore.ErrOutcomeUnknown):
					unknown.Add(1)
				default:
					t.Errorf("propose: %v, want success or an unknown outcome", err)
					return
				}
			}
		})
	}
	waitFor(t, func() bool { return acked.Load() > 100 })
	c.net.Isolate(old, rest...)
	c.leader(rest...)
	before := acked.Load()
	waitFor(t, func() bool { return acked.Load() > before+100 })
	close(stop)
	wg.Wait()
	c.barrier(rest[0])
	applied := int64(len(c.states[rest[0]].commands()))
	if applied < acked.Load() || applied > acked.Load()+unknown.Load() {
		t.Errorf("%d commands applied, want %d acknowledged to %d with unknown ones", applied, acked.Load(), acked.Load()+unknown.Load())
	}
}

func TestLeadRunsOnOneMemberPerTermAndEndsWithIt(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	var mu sync.Mutex
	terms := make(map[uint64]string)
	var running atomic.Int32
	c.lead = func(name string) func(context.Context, uint64) {
		return func(ctx context.Context, term uint64) {
			mu.Lock()
			if other, ok := terms[term]; ok {
				t.Errorf("%s and %s both lead in term %d", other, name, term)
			}
			terms[term] = name
			mu.Unlock()
			running.Add(1)
			<-ctx.Done()
			running.Add(-1)
		}
	}
	c.startAll()
	leader := c.leader("a", "b", "c")
	waitFor(t, func() bool { return running.Load() == 1 })
	c.stop(leader)
	rest := c.others(leader)
	c.leader(rest...)
	waitFor(t, func() bool { return running.Load() == 1 })
	c.stopAll()
	if n := running.Load(); n != 0 {
		t.Errorf("%d Lead calls still run after Stop", n)
	}
}

func TestProposeWithoutALeaderIsNotApplied(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.start("a", &journal{})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := c.nodes["a"].Propose(ctx, []byte("x"))
	if !errors.Is(err, raftstore.ErrNoLeader) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, raftstore.ErrOutcomeUnknown) {
		t.Errorf("propose without a leader: %v, want no leader and the deadline", err)
	}
}

func TestCommandLimitsAreEnforced(t *testing.T) {
	c := newCluster(t, "a").startAll()
	_, err := c.nodes["a"].Propose(context.Background(), make([]byte, 10<<20+1))
	if !errors.Is(err, raftstore.ErrTooLarge) {
		t.Errorf("propose of 10 MiB + 1: %v, want ErrTooLarge", err)
	}
	if _, err := c.nodes["a"].Propose(context.Background(), make([]byte, 10<<20)); err != nil {
		t.Errorf("propose of 10 MiB: %v", err)
	}
}

func TestOpenRefusesAMisconfiguredMember(t *testing.T) {
	c := newCluster(t, "a", "b")
	for _, tc := range []struct {
		name string
		edit func(*raftstore.Config)
		want string
	}{
		{"unknown name", func(cfg *raftstore.Config) { cfg.Name = "z" }, `no member "z"`},
		{"shared URL", func(cfg *raftstore.Config) {
			cfg.Initial = []raftstore.InitialMember{{Name: "a", URLs: []string{"http://x"}}, {Name: "b", URLs: []string{"http://x"}}}
		}, "share the URL http://x"},
		{"no URL", func(cfg *raftstore.Config) { cfg.Initial = []raftstore.InitialMember{{Name: "a"}} }, `"a" has no URL`},
		{"ticks", func(cfg *raftstore.Config) { cfg.ElectionTicks, cfg.HeartbeatTicks = 2, 2 }, "ElectionTicks is 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			log, err := seglog.Open(filepath.Join(dir, "log"), seglog.Options{})
			if err != nil {
				t.Fatal(err)
			}
			cfg := raftstore.Config{Dir: dir, Name: "a", Initial: c.initial, StateMachine: &journal{}, Log: log, Transport: c.net.Transport()}
			tc.edit(&cfg)
			n, err := raftstore.Open(context.Background(), cfg)
			if err == nil {
				n.Stop(context.Background())
				t.Fatal("Open succeeded")
			}
			if got := err.Error(); !containsText(got, tc.want) {
				t.Errorf("Open: %q, want it to contain %q", got, tc.want)
			}
		})
	}
}

func TestProposeManyKeepsOrderAndAnswersEach(t *testing.T) {
	c := newCluster(t, "a", "b", "c").startAll()
	leader := c.leader("a", "b", "c")
	for i, name := range []string{leader, c.others(leader)[0]} {
		cmds := [][]byte{[]byte("1"), make([]byte, 10<<20+1), []byte("2"), []byte("3")}
		outs := c.nodes[name].ProposeMany(context.Background(), cmds)
		for j, want := range []string{"1", "", "2", "3"} {
			if want == "" {
				if !errors.Is(outs[j].Err, raftstore.ErrTooLarge) {
					t.Errorf("on %s: command %d: %v, want ErrTooLarge", name, j, outs[j].Err)
				}
				continue
			}
			at := i*3 + int(want[0]-'0')
			if got, want := string(outs[j].Result), fmt.Sprintf("%d:%s", at, want); got != want || outs[j].Err != nil {
				t.Errorf("on %s: command %d = %q, %v, want %q", name, j, got, outs[j].Err, want)
			}
		}
	}
	c.stop(leader)
	rest := c.others(leader)
	c.leader(rest...)
	for _, out := range c.nodes[rest[0]].ProposeMany(context.Background(), [][]byte{[]byte("x"), []byte("y")}) {
		if out.Err != nil || out.Index == 0 {
			t.Errorf("after a change of leader: index %d, %v", out.Index, out.Err)
		}
	}
}
