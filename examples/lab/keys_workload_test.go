//go:build linux

package lab_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/strakeproject/strake/kv"
)

// keyWorkload is clients that use the key space, and others that watch it.
//
//	clients ----- keys below keysRoot/eN ------> history: one key after the other could be so
//	        ----- bell ------------------------> watched by itself, too
//	mortals ----- keys below keysRoot/ttl -----> never gone early
//	watchers <--- all of it -------------------> same order for all, no gap, nothing twice
type keyWorkload struct {
	load
	padding string // of every value
	mortals mortals

	watchers []*watcher
	watching sync.WaitGroup
	unwatch  func() // ends watchers, which outlast the clients
}

const (
	keysRoot = "/lab"
	keys     = 6
	// bell is a key that is only ever set.
	bell = keysRoot + "/bell"
	// end is the last key to be set.
	end = keysRoot + "/end"
)

// startKeys starts clients and watchers of a cluster that nobody has written to
// yet. Each value has so many bytes more than it needs.
func (c *cluster) startKeys(padding int) *keyWorkload {
	c.t.Helper()
	w := &keyWorkload{padding: strings.Repeat("x", padding)}
	var from uint64
	c.until(func() error {
		for _, m := range c.machines {
			ctx, cancel := context.WithTimeout(c.t.Context(), forbearing)
			defer cancel()
			ev, err := c.store(m).Get(ctx, "/", kv.GetOptions{Quorum: true})
			if err != nil {
				return err
			}
			from = ev.Index + 1
		}
		return nil
	})
	ctx := w.begin(c, c.machines)
	w.startWatchers(from)
	for id := range clients {
		w.wg.Go(func() { w.client(ctx, id) })
	}
	for id := range mortalClients {
		w.wg.Go(func() { w.makeMortals(ctx, id) })
	}
	return w
}

func (w *keyWorkload) client(ctx context.Context, id int) {
	r := rand.New(rand.NewPCG(*seed, uint64(id)))
	timeout := impatient
	if id >= clients/2 {
		timeout *= 3
	}
	stores := w.stores()
	for n := 0; ctx.Err() == nil; n++ {
		m := w.pick(r, id)
		switch out := w.do(id, stores[m], w.choose(r, id, n), timeout); {
		case out.kind == "lost" || out.kind == "unknown":
			time.Sleep(20 * pause) // it will be no better at once
		case out.index > 0:
			w.ack(m)
		}
		time.Sleep(pause)
	}
}

// stores makes a client for each member.
func (w *keyWorkload) stores() map[*machine]kv.Store {
	stores := make(map[*machine]kv.Store)
	for _, m := range w.members {
		stores[m] = w.c.store(m)
	}
	return stores
}

// do performs an operation and records it.
func (w *keyWorkload) do(client int, s kv.Store, o keyOp, timeout time.Duration) keyOutcome {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	call := time.Now()
	out, err := o.perform(ctx, s)
	w.record(client, call, o, out, out.kind, err)
	return out
}

// mortal reports whether a key is one with a time to live.
func mortal(key string) bool { return strings.HasPrefix(key, keysRoot+"/ttl/") }

// mortals are keys with a time to live.
type mortals struct {
	mu sync.Mutex
	// deadline is when each may go at the earliest.
	deadline map[string]time.Time // protected by mu
}

const (
	mortalClients = 4
	lifetime      = time.Second
)

// live notes that a key may go after the deadline at the earliest.
func (m *mortals) live(key string, deadline time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deadline == nil {
		m.deadline = make(map[string]time.Time)
	}
	m.deadline[key] = deadline
}

// makeMortals makes one key with a time to live after the other, extends the life of
// some, and waits until they are gone. A life begins with the request at the
// earliest.
func (w *keyWorkload) makeMortals(ctx context.Context, id int) {
	r := rand.New(rand.NewPCG(*seed, uint64(clients+id)))
	stores := w.stores()
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("%s/ttl/%d-%d", keysRoot, id, n)
		extend := func(write func(context.Context, kv.Store) error) error {
			ctx, cancel := context.WithTimeout(ctx, impatient)
			defer cancel()
			from := time.Now()
			err := write(ctx, stores[w.pick(r, id)])
			if err == nil {
				w.mortals.live(key, from.Add(lifetime))
			}
			return err
		}
		err := extend(func(ctx context.Context, s kv.Store) error {
			_, err := s.Set(ctx, key, "", kv.SetOptions{TTL: lifetime})
			return err
		})
		for range r.IntN(3) {
			time.Sleep(lifetime / 3)
			err = errors.Join(err, extend(func(ctx context.Context, s kv.Store) error {
				_, err := s.Update(ctx, key, "", kv.UpdateOptions{TTL: lifetime, Refresh: true})
				return err
			}))
		}
		if err == nil { // else it may have been extended by who was told nothing
			w.awaitDeath(ctx, stores[w.pick(r, id)], key)
		}
	}
}

// awaitDeath waits until a key is gone.
func (w *keyWorkload) awaitDeath(ctx context.Context, s kv.Store, key string) {
	for ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(ctx, impatient)
		_, err := s.Get(ctx, key, kv.GetOptions{Quorum: true})
		cancel()
		if errors.Is(err, kv.ErrKeyNotFound) {
			w.mortals.gone(w.c.t, key, time.Now())
			return
		}
		time.Sleep(lifetime / 20)
	}
}

// gone judges that a key was seen to be gone.
func (m *mortals) gone(t failer, key string, at time.Time) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if early := m.deadline[key].Sub(at); early > 0 {
		t.Errorf("%s is gone %s before its time", key, early)
	}
}

// check ends the workload, lets all members agree, and judges what was seen.
func (w *keyWorkload) check() {
	t := w.c.t
	t.Helper()
	w.stop()
	last := w.sendEnd()
	w.awaitWatchers(last)
	nodes := w.finalNodes()
	w.judgeWatchers(last, nodes)
	w.judge(keyModel, w.history)
}

// sendEnd sets the keys that are the last ones for watchers, and returns their
// indexes.
func (w *keyWorkload) sendEnd() map[string]uint64 {
	w.c.t.Helper()
	last := make(map[string]uint64)
	s := w.c.store(w.members...)
	for _, key := range []string{bell, end} {
		n := 0
		w.c.until(func() error {
			n++
			out := w.do(clients, s, keyOp{kind: "set", key: key, value: fmt.Sprintf("last-%d", n)}, forbearing)
			last[key] = out.index
			if out.kind != "done" {
				return fmt.Errorf("the last write to %s is %s", key, out.kind)
			}
			return nil
		})
	}
	return last
}

// finalNodes returns all keys when those with a time to live have gone, on which
// all members agree, and adds them to the history.
func (w *keyWorkload) finalNodes() map[string]keyNode {
	w.c.t.Helper()
	nodes := make(map[string]keyNode)
	var call time.Time
	w.c.until(func() error {
		call = time.Now()
		ctx, cancel := context.WithTimeout(w.c.t.Context(), forbearing)
		defer cancel()
		all, err := w.c.store(w.members...).Get(ctx, keysRoot, kv.GetOptions{Recursive: true, Sorted: true, Quorum: true})
		if err != nil {
			return err
		}
		for _, m := range w.members {
			own, err := w.c.store(m).Get(ctx, keysRoot, kv.GetOptions{Recursive: true, Sorted: true})
			if err != nil {
				return err
			}
			if own.Index != all.Index {
				return fmt.Errorf("%s is at index %d, another member at %d", m.name, own.Index, all.Index)
			}
			if got, want := fmt.Sprintf("%+v", own.Node), fmt.Sprintf("%+v", all.Node); got != want {
				w.c.t.Fatalf("at index %d %s holds\n%s\nanother member\n%s", own.Index, m.name, got, want)
			}
		}
		clear(nodes)
		collect(nodes, &all.Node)
		for key := range nodes {
			if mortal(key) {
				return fmt.Errorf("%s lives on", key)
			}
		}
		return nil
	})
	var names []string
	for _, h := range w.history {
		names = append(names, h.Input.(keyOp).key)
	}
	slices.Sort(names)
	for _, key := range slices.Compact(names) {
		out := keyOutcome{kind: "done", seen: nodes[key]}
		if !out.seen.exists {
			out.kind = "missing"
		}
		w.history = append(w.history, porcupine.Operation{
			ClientId: clients, Input: keyOp{kind: "get", key: key}, Output: out,
			Call: call.Sub(w.start).Nanoseconds(), Return: time.Since(w.start).Nanoseconds(),
		})
	}
	return nodes
}

// collect gathers the files of a tree.
func collect(into map[string]keyNode, n *kv.Node) {
	if !n.Dir {
		into[n.Key] = nodeOf(n)
	}
	for i := range n.Nodes {
		collect(into, &n.Nodes[i])
	}
}
