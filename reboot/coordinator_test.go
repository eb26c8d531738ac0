package reboot_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/reboot"
)

// fleet is machines that share a store. A machine that reboots is down for a
// minute and ready another minute after that.
type fleet struct {
	t     *testing.T
	store *tree.Local

	mu      sync.Mutex
	away    map[string]bool // from the reboot until ready
	most    int             // machines away at once
	reboots []string        // in order
}

// machine is one of them: its own UpdateSource and Rebooter.
type machine struct {
	*fleet
	name   string
	need   chan struct{}
	halt   context.CancelFunc // of this boot
	broken bool
}

func (m *machine) WaitNeedReboot(ctx context.Context) error {
	select {
	case <-m.need:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *machine) Reboot(context.Context) error {
	if m.broken {
		return errors.New("access denied")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away[m.name] = true
	m.most = max(m.most, len(m.away))
	m.reboots = append(m.reboots, m.name)
	m.halt()
	return nil
}

func (m *machine) ready(ctx context.Context) error {
	select {
	case <-time.After(time.Minute):
	case <-ctx.Done():
		return ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.away, m.name)
	return nil
}

// live boots the machine again and again until ctx ends.
func (m *machine) live(ctx context.Context) {
	for ctx.Err() == nil {
		boot, halt := context.WithCancel(ctx)
		m.halt = halt
		err := m.coordinator(nil).Run(boot)
		if !errors.Is(err, context.Canceled) {
			m.t.Errorf("%s: Run = %v", m.name, err)
			return
		}
		select {
		case <-time.After(time.Minute):
		case <-ctx.Done():
		}
	}
}

func (m *machine) coordinator(drain func(context.Context) error) *reboot.Coordinator {
	c, err := reboot.NewCoordinator(reboot.CoordinatorOptions{
		Semaphore: newSemaphore(m.t, m.store),
		Source:    m,
		Rebooter:  m,
		Holder:    m.name,
		Ready:     m.ready,
		Drain:     drain,
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

func (f *fleet) machine(name string) *machine {
	return &machine{fleet: f, name: name, need: make(chan struct{}, 1), halt: func() {}}
}

// inFleet runs a test in a bubble.
func inFleet(t *testing.T, test func(t *testing.T, f *fleet)) {
	synctest.Test(t, func(t *testing.T) {
		test(t, &fleet{t: t, store: newStore(t), away: map[string]bool{}})
	})
}

func TestSixMachinesRebootOneAfterAnother(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var names []string
		for i := range 6 {
			m := f.machine(fmt.Sprint("node", i+1))
			names = append(names, m.name)
			m.need <- struct{}{}
			running.Go(func() { m.live(ctx) })
		}
		// Each is away for two minutes; the first ones to be ready need one more.
		time.Sleep(13*time.Minute + time.Second)
		cancel()
		running.Wait()
		if f.most != 1 {
			t.Errorf("%d machines were away at once, want 1", f.most)
		}
		if got := slices.Sorted(slices.Values(f.reboots)); !slices.Equal(got, names) {
			t.Errorf("reboots were %v, want each of %v once", f.reboots, names)
		}
		st, err := newSemaphore(t, f.store).Status(t.Context())
		if err != nil || st.Free != 1 || len(st.Holders) != 0 {
			t.Errorf("in the end Status = %+v, %v, want the slot free", st, err)
		}
	})
}

func TestSlotIsKeptUntilTheMachineIsReadyAgain(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		m := f.machine("node1")
		sem := newSemaphore(t, f.store)
		if err := sem.Lock(t.Context(), m.name); err != nil {
			t.Fatal(err)
		}
		m.need <- struct{}{} // the next one is due already
		ctx, cancel := context.WithCancel(t.Context())
		m.halt = cancel
		ended := make(chan error)
		go func() { ended <- m.coordinator(nil).Run(ctx) }()
		time.Sleep(59 * time.Second)
		if err := sem.Lock(t.Context(), "node2"); err == nil {
			t.Error("another machine got the slot before this one was ready")
		}
		if err := <-ended; !errors.Is(err, context.Canceled) || len(f.reboots) != 1 {
			t.Errorf("Run = %v after %d reboots, want one", err, len(f.reboots))
		}
	})
}

func TestSlotOfARebootThatFailsIsGivenBack(t *testing.T) {
	for _, c := range []struct {
		name, want string
		drain      func(context.Context) error
		broken     bool
	}{
		{"drain", "drain: units will not stop", func(context.Context) error { return errors.New("units will not stop") }, false},
		{"reboot", "reboot: access denied", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				m := f.machine("node1")
				m.broken = c.broken
				m.need <- struct{}{}
				err := m.coordinator(c.drain).Run(t.Context())
				if err == nil || err.Error() != c.want {
					t.Errorf("Run = %v, want %q", err, c.want)
				}
				if st, err := newSemaphore(t, f.store).Status(t.Context()); err != nil || st.Free != 1 {
					t.Errorf("Status = %+v, %v, want the slot free", st, err)
				}
			})
		})
	}
}

func TestSlotIsGivenBackWhenTheCoordinatorEndsWhileDraining(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		m := f.machine("node1")
		m.need <- struct{}{}
		ctx, cancel := context.WithCancel(t.Context())
		err := m.coordinator(func(ctx context.Context) error {
			cancel()
			return ctx.Err()
		}).Run(ctx)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v, want %v", err, context.Canceled)
		}
		if st, err := newSemaphore(t, f.store).Status(t.Context()); err != nil || st.Free != 1 {
			t.Errorf("Status = %+v, %v, want the slot free", st, err)
		}
	})
}

// deafStore answers a write as if the connection broke: after it took place, or
// before, in turn.
type deafStore struct {
	kv.Store
	writes int
}

func (s *deafStore) lose(ev kv.Event, err error) (kv.Event, error) {
	if s.writes++; s.writes%2 == 1 && err == nil {
		return kv.Event{}, fmt.Errorf("connection reset: %w", kv.ErrOutcomeUnknown)
	}
	return ev, err
}

func (s *deafStore) Create(ctx context.Context, key, value string, opts kv.CreateOptions) (kv.Event, error) {
	return s.lose(s.Store.Create(ctx, key, value, opts))
}

func (s *deafStore) CompareAndSwap(ctx context.Context, key, value string, cond kv.Condition, opts kv.UpdateOptions) (kv.Event, error) {
	return s.lose(s.Store.CompareAndSwap(ctx, key, value, cond, opts))
}

func TestLostAnswersAreNoFailures(t *testing.T) {
	local := newStore(t)
	sem := newSemaphore(t, &deafStore{Store: local})
	for _, step := range []struct {
		name string
		do   func(context.Context, string) error
	}{{"Lock", sem.Lock}, {"Unlock", sem.Unlock}, {"LockWait", sem.LockWait}} {
		if err := step.do(t.Context(), "node1"); err != nil {
			t.Errorf("%s = %v although it took place", step.name, err)
		}
	}
	if err := sem.Lock(t.Context(), "node1"); !errors.Is(err, reboot.ErrHolderExists) {
		t.Errorf("Lock of a holder = %v, want %v", err, reboot.ErrHolderExists)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	store := newStore(t)
	sem := newSemaphore(t, store)
	m := (&fleet{t: t}).machine("node1")
	for _, c := range []struct {
		opts reboot.CoordinatorOptions
		want string
	}{
		{reboot.CoordinatorOptions{}, "Semaphore"},
		{reboot.CoordinatorOptions{Semaphore: sem}, "Source"},
		{reboot.CoordinatorOptions{Semaphore: sem, Source: m}, "Rebooter"},
		{reboot.CoordinatorOptions{Semaphore: sem, Source: m, Rebooter: m}, "Holder"},
	} {
		if _, err := reboot.NewCoordinator(c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("NewCoordinator(%+v) = %v, want an error that names %s", c.opts, err, c.want)
		}
	}
}
