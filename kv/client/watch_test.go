package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
)

// collector ranges over a watch in a goroutine.
type collector struct {
	mu   sync.Mutex
	keys []string // "KEY=INDEX" of what came since take
	err  error
	done chan struct{}
}

func collect(w *kv.Watch) *collector {
	c := &collector{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		for ev, err := range w.Events {
			c.mu.Lock()
			if c.err = err; err == nil {
				c.keys = append(c.keys, fmt.Sprintf("%s=%d", ev.Node.Key, ev.Index))
			}
			c.mu.Unlock()
		}
	}()
	return c
}

// take returns what has come once everything stands still.
func (c *collector) take() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := c.keys
	c.keys = nil
	return keys
}

func (c *collector) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := c.take(); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func set(t *testing.T, s kv.Store, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if _, err := s.Set(t.Context(), k, "v", kv.SetOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func watch(t *testing.T, ctx context.Context, s kv.Store, key string, opts kv.WatchOptions) *kv.Watch {
	t.Helper()
	w, err := s.Watch(ctx, key, opts)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAWatchMissesNothingFromTheMomentItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net network
		store := newLocal(t)
		net.serve(t, "a", api(store))
		c := net.client(t, client.Config{}, "a")
		set(t, store, "/d/a", "/d/b")
		ctx, cancel := context.WithCancel(t.Context())
		w := watch(t, ctx, c, "/d", kv.WatchOptions{Recursive: true})
		if w.Index != 2 {
			t.Errorf("the watch began at %d, want 2", w.Index)
		}
		set(t, store, "/d/c", "/x", "/d/d", "/d/_hidden/x", "/dd", "/d/e") // nobody reads yet
		got := collect(w)
		got.expect(t, "/d/c=3", "/d/d=5", "/d/e=8")
		set(t, store, "/d/f")
		if _, err := store.Delete(t.Context(), "/d", kv.DeleteOptions{Recursive: true}); err != nil {
			t.Fatal(err)
		}
		got.expect(t, "/d/f=9", "/d=10")
		cancel()
		<-got.done
		if e, ok := errors.AsType[*kv.WatchError](got.err); !ok || e.Resume != 11 || !errors.Is(e, context.Canceled) {
			t.Errorf("the watch ended with %v, want canceled, resume from 11", got.err)
		}
	})
}

func TestAWatchOfThePastBeginsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net network
		store := newLocal(t)
		net.serve(t, "a", api(store))
		set(t, store, "/a", "/b", "/a")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		got := collect(watch(t, ctx, net.client(t, client.Config{}, "a"), "/a", kv.WatchOptions{From: 1}))
		got.expect(t, "/a=1", "/a=3")
		set(t, store, "/a")
		got.expect(t, "/a=4")
		cancel()
		<-got.done
	})
}

func TestLeavingTheLoopEndsTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net network
		store := newLocal(t)
		net.serve(t, "a", api(store))
		w := watch(t, t.Context(), net.client(t, client.Config{}, "a"), "/a", kv.WatchOptions{})
		set(t, store, "/a", "/a")
		for ev, err := range w.Events {
			if err != nil || ev.Index != 1 {
				t.Errorf("got %+v, %v; want event 1", ev, err)
			}
			break
		}
	}) // which fails if a goroutine is left
}

func TestAWatchOutlivesItsServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net network
		store := newLocal(t)
		stop := net.serve(t, "a", api(store))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		got := collect(watch(t, ctx, net.client(t, client.Config{}, "a", "b"), "/k", kv.WatchOptions{}))
		set(t, store, "/k")
		got.expect(t, "/k=1")
		stop()
		set(t, store, "/k", "/other", "/k")
		time.Sleep(time.Hour) // without a server
		got.expect(t)
		net.serve(t, "b", api(store))
		time.Sleep(time.Minute)
		got.expect(t, "/k=2", "/k=4")
		cancel()
		<-got.done
	})
}

func TestEmptyAndCutAnswersArePolledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net network
		var mu sync.Mutex
		var asked []string
		bodies := []string{"", "\n", `{"action":"se`, `{"action":"set","node":{"key":"/a","modifiedIndex":12}}`, ""}
		net.serve(t, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			asked = append(asked, r.URL.Query().Get("waitIndex"))
			body := ""
			if len(bodies) > 0 {
				body, bodies = bodies[0], bodies[1:]
			}
			mu.Unlock()
			w.Header().Set("X-Etcd-Index", "7")
			fmt.Fprint(w, body)
		}))
		ctx, cancel := context.WithCancel(t.Context())
		got := collect(watch(t, ctx, net.client(t, client.Config{}, "a"), "/a", kv.WatchOptions{}))
		time.Sleep(time.Minute)
		got.expect(t, "/a=12")
		cancel()
		<-got.done
		if want := []string{"", "8", "8", "8", "13", "13"}; !slices.Equal(asked[:len(want)], want) {
			t.Errorf("asked from %q, want %q first", asked, want)
		}
		if len(asked) > 40 {
			t.Errorf("%d polls in a minute, want fewer: they should become rare", len(asked))
		}
	})
}

func TestLostHistoryEndsAWatch(t *testing.T) {
	const lost = `{"errorCode":401,"message":"x","cause":"the requested history has been cleared [9/8]","index":2000}`
	synctest.Test(t, func(t *testing.T) {
		var net network
		polls := 0
		net.serve(t, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if polls++; polls > 1 {
				http.Error(w, lost, http.StatusBadRequest)
				return
			}
			w.Header().Set("X-Etcd-Index", "7")
		}))
		c := net.client(t, client.Config{}, "a")
		got := collect(watch(t, t.Context(), c, "/a", kv.WatchOptions{}))
		<-got.done
		if e, ok := errors.AsType[*kv.WatchError](got.err); !ok || e.Resume != 8 || !errors.Is(e, kv.ErrHistoryCleared) {
			t.Errorf("the watch ended with %v, want history cleared, resume from 8", got.err)
		}
		if _, err := c.Watch(t.Context(), "/a", kv.WatchOptions{From: 8}); !errors.Is(err, kv.ErrHistoryCleared) {
			t.Errorf("a new watch: got %v, want %v", err, kv.ErrHistoryCleared)
		}
	})
}

func TestAWatchThatNoEndpointTakesFails(t *testing.T) {
	var net network
	_, err := net.client(t, client.Config{}, "a").Watch(t.Context(), "/a", kv.WatchOptions{})
	if _, ok := errors.AsType[*client.UnavailableError](err); !ok {
		t.Errorf("got %v, want an UnavailableError", err)
	}
}

func TestAnIdleWatchIsNotTimedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net network
		store := newLocal(t)
		polls := 0
		inner := api(store)
		net.serve(t, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.RawQuery, "wait=true") {
				polls++
			}
			inner.ServeHTTP(w, r)
		}))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		got := collect(watch(t, ctx, net.client(t, client.Config{Timeout: time.Second, WatchRenewal: 48 * time.Hour}, "a"), "/a", kv.WatchOptions{}))
		time.Sleep(24 * time.Hour)
		set(t, store, "/a")
		got.expect(t, "/a=1")
		cancel()
		<-got.done
		if polls != 2 {
			t.Errorf("%d polls, want 2", polls)
		}
	})
}

// polls is a server that never has an event to tell. It keeps where each poll
// began, and knows a leader or not.
type polls struct {
	index atomic.Int64 // X-Etcd-Index
	alone atomic.Bool

	mu   sync.Mutex
	from []string
}

func (p *polls) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v2/members/leader" {
		if p.alone.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, `{"message":"During election"}`)
		return
	}
	p.mu.Lock()
	p.from = append(p.from, r.URL.Query().Get("waitIndex"))
	p.mu.Unlock()
	w.Header().Set("X-Etcd-Index", fmt.Sprint(p.index.Load()))
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func (p *polls) take() []string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	from := p.from
	p.from = nil
	return from
}

func TestAQuietWatchDoesNotGrowOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net network
		a, b := new(polls), new(polls)
		stopA, stopB := net.serve(t, "a", a), net.serve(t, "b", b)
		defer stopB()
		defer stopA()
		c := net.client(t, client.Config{WatchRenewal: time.Minute}, "a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		expect := func(p *polls, want ...string) {
			t.Helper()
			if got := p.take(); !slices.Equal(got, want) {
				t.Errorf("polls from %q, want %q", got, want)
			}
		}
		a.index.Store(10)
		b.index.Store(900)
		seen := collect(watch(t, ctx, c, "/quiet", kv.WatchOptions{From: 7}))
		expect(a, "7")
		a.index.Store(500) // others write
		time.Sleep(61 * time.Second)
		expect(a, "11") // all up to 10 would have come at once
		time.Sleep(time.Minute)
		expect(a, "501")
		expect(b)
		// A member that follows nobody may wait for ever.
		a.alone.Store(true)
		time.Sleep(time.Minute)
		expect(a)
		expect(b, "501")
		time.Sleep(time.Minute)
		expect(b, "901")
		seen.expect(t)
		cancel()
		<-seen.done
		if e, ok := errors.AsType[*kv.WatchError](seen.err); !ok || e.Resume != 901 || !errors.Is(e, context.Canceled) {
			t.Errorf("watch ended with %v, want %v and 901 to resume from", seen.err, context.Canceled)
		}
		c.Close()
	})
}
