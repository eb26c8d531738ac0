package faulttest

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
)

var (
	chaosSeeds = flag.Int("faulttest.seeds", 12, "histories with random crashes")
	chaosFirst = flag.Uint64("faulttest.seed", 1, "first seed of them")
	chaosTime  = flag.Duration("faulttest.time", time.Minute, "how long each is, in its own time")
)

// TestAcknowledgedCommandsSurviveRandomCrashesOnce takes the power of one to all
// members at random moments, some while they start, keeps a random share of
// what was not synced, and cuts them off from each other, while clients write.
// The seed does not decide everything: the scheduler has its part.
func TestAcknowledgedCommandsSurviveRandomCrashesOnce(t *testing.T) {
	total := make(map[string]int)
	for i := range *chaosSeeds {
		seed := *chaosFirst + uint64(i)
		synctest.Test(t, func(t *testing.T) {
			ch := newChaos(t, seed)
			if err := ch.run(); err != nil {
				t.Errorf("%v\nagain with -faulttest.seed=%d -faulttest.seeds=1", err, seed)
			}
			for what, n := range ch.counts {
				total[what] += n
			}
		})
	}
	t.Log(total)
	for _, what := range []string{"crash", "crash while opening", "cut", "installed", "acked", "unknown"} {
		if total[what] == 0 && *chaosSeeds >= 10 {
			t.Errorf("%s never happened", what)
		}
	}
}

// chaos is one history.
type chaos struct {
	*cluster
	rng    *rand.Rand
	counts map[string]int // protected by the cluster's mu
	down   map[string]bool
}

func (ch *chaos) count(what string) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.counts[what]++
}

func newChaos(t *testing.T, seed uint64) *chaos {
	ch := &chaos{
		cluster: newCluster(t, "a", "b", "c"), rng: rand.New(rand.NewPCG(seed, 1)),
		counts: make(map[string]int), down: make(map[string]bool),
	}
	ch.tune = func(cfg *raftstore.Config) {
		cfg.LogRetainBytes, cfg.LogCapBytes = 4<<10, 16<<10
		cfg.FlushBytes, cfg.FlushInterval = 32<<10, 10*time.Second
	}
	return ch
}

func (ch *chaos) run() error {
	ch.start(ch.names()...)
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		rng := rand.New(rand.NewPCG(ch.rng.Uint64(), 2))
		clients.Go(func() { ch.client(i, rng, stop) })
	}
	var err error
	for end := time.Now().Add(*chaosTime); err == nil && time.Now().Before(end); {
		time.Sleep(time.Duration(ch.rng.IntN(3000)) * time.Millisecond)
		err = ch.fault()
	}
	close(stop)
	ch.net.Heal()
	for _, name := range ch.names() {
		if err == nil && ch.down[name] {
			err = ch.revive(name)
		}
	}
	clients.Wait()
	if err == nil {
		err = ch.check(ch.names()...)
	}
	ch.counts["acked"] += len(ch.seen.acked)
	for _, name := range ch.names() {
		if node := ch.node(name); node != nil {
			ch.counts["installed"] += ch.host(name).state.installed
		}
		if stopErr := ch.halt(name); err == nil && stopErr != nil {
			err = fmt.Errorf("stop %s: %w", name, stopErr)
		}
	}
	return err
}

// client writes unique commands to random members.
func (ch *chaos) client(id int, rng *rand.Rand, stop <-chan struct{}) {
	names := ch.names()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rng.IntN(100)) * time.Millisecond):
		}
		cmd := fmt.Sprintf("%d-%d-%0*d", id, i, rng.IntN(600), 0)
		err := ch.propose(names[rng.IntN(len(names))], cmd, time.Duration(1+rng.IntN(3000))*time.Millisecond)
		if errors.Is(err, raftstore.ErrOutcomeUnknown) {
			ch.count("unknown")
		}
	}
}

// fault does one bad or good thing.
func (ch *chaos) fault() error {
	names := ch.names()
	for _, name := range names {
		if node := ch.node(name); node != nil && node.Err() != nil {
			return fmt.Errorf("%s has ended: %w", name, node.Err())
		}
	}
	ch.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	switch n := ch.rng.IntN(10); {
	case n < 4:
		hit := names[:1]
		if ch.rng.IntN(4) == 0 {
			hit = names[:1+ch.rng.IntN(len(names))]
		}
		hit = slices.DeleteFunc(slices.Clone(hit), func(name string) bool { return ch.down[name] })
		keep := ch.rng.IntN(2) * ch.rng.IntN(101)
		ch.crash(keep, ch.rng, hit...)
		for _, name := range hit {
			ch.down[name] = true
			ch.count("crash")
		}
	case n < 8:
		for _, name := range names {
			if ch.down[name] {
				return ch.revive(name)
			}
		}
	case n == 8:
		ch.count("cut")
		ch.net.Isolate(names[0], names[1:]...)
	default:
		ch.net.Heal()
	}
	return nil
}

// revive opens a member that crashed, sometimes with another crash on the way.
func (ch *chaos) revive(name string) error {
	h := ch.host(name)
	for ch.rng.IntN(3) == 0 {
		h.disk.Inject(raftsim.Fault{After: ch.rng.IntN(60), Err: raftsim.ErrPowerLoss})
		err := ch.open(h)
		if err != nil && !errors.Is(err, raftsim.ErrPowerLoss) {
			return fmt.Errorf("open %s, which crashes meanwhile: %w", name, err)
		}
		if err != nil {
			ch.count("crash while opening")
		}
		ch.crash(ch.rng.IntN(101), ch.rng, name)
	}
	if err := ch.open(h); err != nil {
		return fmt.Errorf("open %s after a crash: %w", name, err)
	}
	ch.down[name] = false
	return nil
}
