package reboot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/reboot"
)

// The transcripts drive semaphores in one store, on the clock of a synctest
// bubble. Each command lets everything settle and then shows what it printed.
// Every command takes group=NAME.
//
//	lock HOLDER, unlock HOLDER, set-max N, status
//	wait HOLDER      LockWait in the background
//	cancel HOLDER    end that
//	sleep DURATION
//	put              write the input as the semaphore's value
//	remove           remove the key
//	store            show all keys and values
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &scene{t: t, store: newStore(t), cancel: map[string]context.CancelFunc{}}
				datadriven.RunTest(t, file, s.run)
				for _, cancel := range s.cancel {
					cancel()
				}
				synctest.Wait()
			})
		})
	}
}

type scene struct {
	t      *testing.T
	store  *tree.Local
	cancel map[string]context.CancelFunc

	mu  sync.Mutex
	out bytes.Buffer
}

const root = "/coreos.com/updateengine/rebootlock"

func (s *scene) run(t *testing.T, td *datadriven.TestData) string {
	if err := s.command(td); err != nil {
		s.printf("error: %v\n", err)
	}
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.out.String()
	s.out.Reset()
	if out == "" {
		return "ok\n"
	}
	return out
}

func (s *scene) command(td *datadriven.TestData) error {
	ctx := s.t.Context()
	group, arg := "", ""
	for _, a := range td.CmdArgs {
		switch {
		case a.Key == "group":
			group = a.Vals[0]
		case len(a.Vals) == 0:
			arg = a.Key
		}
	}
	sem, err := reboot.NewSemaphore(s.store, reboot.SemaphoreOptions{Group: group})
	if err != nil {
		return err
	}
	switch td.Cmd {
	case "lock":
		return sem.Lock(ctx, arg)
	case "unlock":
		return sem.Unlock(ctx, arg)
	case "set-max":
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		old, err := sem.SetMax(ctx, n)
		if err == nil {
			s.printf("was %d\n", old)
		}
		return err
	case "status":
		st, err := sem.Status(ctx)
		if err == nil {
			s.printf("%d of %d free, holders %q\n", st.Free, st.Max, st.Holders)
		}
		return err
	case "wait":
		ctx, cancel := context.WithCancel(ctx)
		s.cancel[arg] = cancel
		go func() { s.printf("%s: LockWait = %v\n", arg, sem.LockWait(ctx, arg)) }()
		return nil
	case "cancel":
		s.cancel[arg]()
		return nil
	case "sleep":
		d, err := time.ParseDuration(arg)
		time.Sleep(d)
		return err
	case "put":
		_, err := s.store.Set(ctx, root+"/semaphore", td.Input, kv.SetOptions{})
		return err
	case "remove":
		_, err := s.store.Delete(ctx, root+"/semaphore", kv.DeleteOptions{})
		return err
	case "store":
		ev, err := s.store.Get(ctx, root, kv.GetOptions{Recursive: true, Sorted: true})
		if errors.Is(err, kv.ErrKeyNotFound) {
			s.printf("empty\n")
			return nil
		}
		s.show(ev.Node)
		return err
	}
	return fmt.Errorf("unknown command %q", td.Cmd)
}

func (s *scene) show(n kv.Node) {
	if !n.Dir {
		s.printf("%s %s\n", strings.TrimPrefix(n.Key, root), n.Value)
	}
	for _, child := range n.Nodes {
		s.show(child)
	}
}

func (s *scene) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.out, format, args...)
}

func TestConcurrentLockersNeverExceedTheMaximum(t *testing.T) {
	const lockers, slots = 24, 3
	store := newStore(t)
	sem := newSemaphore(t, store)
	if _, err := sem.SetMax(t.Context(), slots); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	held, most := 0, 0
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		held += by
		most = max(most, held)
	}
	var running sync.WaitGroup
	for i := range lockers {
		running.Go(func() {
			holder := fmt.Sprintf("machine-%02d", i)
			sem := newSemaphore(t, store)
			for range 3 {
				if err := sem.LockWait(t.Context(), holder); err != nil {
					t.Errorf("LockWait(%s) = %v", holder, err)
				}
				count(1)
				if st, err := sem.Status(t.Context()); err != nil || len(st.Holders) > slots || st.Free+len(st.Holders) != slots {
					t.Errorf("Status = %+v, %v with %d slots", st, err, slots)
				}
				count(-1)
				if err := sem.Unlock(t.Context(), holder); err != nil {
					t.Errorf("Unlock(%s) = %v", holder, err)
				}
			}
		})
	}
	running.Wait()
	if most > slots {
		t.Errorf("%d machines held a slot at once, want at most %d", most, slots)
	}
	if st, err := sem.Status(t.Context()); err != nil || st.Free != slots || len(st.Holders) != 0 {
		t.Errorf("in the end Status = %+v, %v, want all %d slots free", st, err, slots)
	}
}

func TestConcurrentLocksFillAllSlots(t *testing.T) {
	const lockers = 24
	store := newStore(t)
	sem := newSemaphore(t, store)
	if _, err := sem.SetMax(t.Context(), 50); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for i := range lockers {
		running.Go(func() {
			if err := sem.Lock(t.Context(), fmt.Sprint("machine-", i)); err != nil {
				t.Errorf("Lock(machine-%d) = %v", i, err)
			}
		})
	}
	running.Wait()
	st, err := sem.Status(t.Context())
	if err != nil || len(st.Holders) != lockers || !slices.IsSorted(st.Holders) {
		t.Errorf("Status = %+v, %v, want %d sorted holders", st, err, lockers)
	}
}

// Whatever is done to a semaphore, a slot is either free or held, and what is
// stored is what a plain set of holders would be.
func TestSlotsAreNeverLostOrMade(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		store, err := tree.NewLocal()
		if err != nil {
			r.Fatal(err)
		}
		defer func() { _ = store.Close() }()
		sem := newSemaphore(t, store)
		slots, held := 1, map[string]bool{}
		holder := rapid.SampledFrom([]string{"a", "b", "c", "d", ""})
		r.Repeat(map[string]func(*rapid.T){
			"lock": func(r *rapid.T) {
				h := holder.Draw(r, "holder")
				err := sem.Lock(t.Context(), h)
				_, full := errors.AsType[*reboot.FullError](err)
				if (err == nil) != (!held[h] && len(held) < slots) || full != (!held[h] && len(held) >= slots) {
					r.Fatalf("Lock(%q) = %v with %d slots and holders %v", h, err, slots, held)
				}
				held[h] = held[h] || err == nil
				if !held[h] {
					delete(held, h)
				}
			},
			"unlock": func(r *rapid.T) {
				h := holder.Draw(r, "holder")
				if err := sem.Unlock(t.Context(), h); (err == nil) != held[h] {
					r.Fatalf("Unlock(%q) = %v with holders %v", h, err, held)
				}
				delete(held, h)
			},
			"set max": func(r *rapid.T) {
				n := rapid.IntRange(-1, 4).Draw(r, "slots")
				if old, err := sem.SetMax(t.Context(), n); err != nil || old != slots {
					r.Fatalf("SetMax(%d) = %d, %v, want %d", n, old, err, slots)
				}
				slots = n
			},
			"": func(r *rapid.T) {
				st, err := sem.Status(t.Context())
				if err != nil || st.Max != slots || st.Free != slots-len(held) || !slices.Equal(st.Holders, slices.Sorted(maps.Keys(held))) {
					r.Fatalf("Status = %+v, %v with %d slots and holders %v", st, err, slots, held)
				}
			},
		})
	})
}

// FuzzState reads what anybody may have written to the key.
func FuzzState(f *testing.F) {
	for _, value := range []string{
		`{"semaphore":1,"max":1,"holders":null}`,
		`{"semaphore":-1,"max":1,"holders":["b","a"]}`,
		`{"SEMAPHORE":2,"Max":2,"holders":[],"later":true}`,
		`{}`, `{"semaphore":1.0}`, `{"semaphore":"1"}`, `[]`, ``,
	} {
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var st reboot.State
		if json.Unmarshal(data, &st) != nil {
			return
		}
		if !slices.IsSorted(st.Holders) {
			t.Errorf("holders of %q are not sorted: %q", data, st.Holders)
		}
		stored, err := json.Marshal(st)
		if err != nil {
			t.Fatalf("what was read from %q cannot be written: %v", data, err)
		}
		var back reboot.State
		if err := json.Unmarshal(stored, &back); err != nil || back.Free != st.Free || back.Max != st.Max || !slices.Equal(back.Holders, st.Holders) {
			t.Errorf("%q became %+v and then %+v, %v", data, st, back, err)
		}
	})
}

// newStore returns a store that is closed when the test ends.
func newStore(t *testing.T) *tree.Local {
	t.Helper()
	store, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func newSemaphore(t *testing.T, store kv.Store) *reboot.Semaphore {
	t.Helper()
	sem, err := reboot.NewSemaphore(store, reboot.SemaphoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return sem
}
