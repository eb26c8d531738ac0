package kv_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
)

// candidate campaigns for the one seat that a key stands for. Whoever makes the
// key leads for as long as he refreshes it; the others wait until it goes.
type candidate struct {
	store kv.Store
	key   string
	name  string
	ttl   time.Duration
}

// campaign returns when the candidate leads, with the index that is his proof:
// what he does as a leader can be made conditional on it.
func (c *candidate) campaign(ctx context.Context) (index uint64, err error) {
	for {
		ev, err := c.store.Create(ctx, c.key, c.name, kv.CreateOptions{TTL: c.ttl})
		if err == nil {
			return ev.Index, nil
		}
		taken, ok := errors.AsType[*kv.Error](err)
		if !ok || taken.Code != kv.CodeKeyExists {
			return 0, err
		}
		// From right after that answer, so that no end of a term is missed.
		if err := c.waitForEnd(ctx, taken.Index+1); err != nil {
			return 0, err
		}
	}
}

func (c *candidate) waitForEnd(ctx context.Context, from uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := c.store.Watch(ctx, c.key, kv.WatchOptions{From: from})
	if errors.Is(err, kv.ErrHistoryCleared) {
		return nil // too much has happened to tell: look again
	}
	if err != nil {
		return err
	}
	for ev, err := range w.Events {
		if err != nil && !errors.Is(err, kv.ErrHistoryCleared) {
			return err
		}
		if err != nil || ev.Action == kv.ActionDelete || ev.Action == kv.ActionExpire || ev.Action == kv.ActionCompareAndDelete {
			return nil
		}
	}
	return nil
}

// renew is to be called well before the TTL is over. When it fails, somebody
// else may lead.
func (c *candidate) renew(ctx context.Context, index uint64) (uint64, error) {
	ev, err := c.store.CompareAndSwap(ctx, c.key, "", kv.Condition{PrevIndex: index},
		kv.UpdateOptions{TTL: c.ttl, Refresh: true})
	return ev.Index, err
}

// resign gives the seat up, if it is still the candidate's.
func (c *candidate) resign(ctx context.Context, index uint64) error {
	_, err := c.store.CompareAndDelete(ctx, c.key, kv.Condition{PrevIndex: index})
	return err
}

// Elect a leader: a key that only one can make, that dies with him, and that the
// others watch.
func Example_leaderElection() {
	store, err := tree.NewLocal()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	ctx := context.Background()

	alice := &candidate{store: store, key: "/election/leader", name: "alice", ttl: time.Minute}
	bob := &candidate{store: store, key: "/election/leader", name: "bob", ttl: time.Minute}

	term, err := alice.campaign(ctx)
	fmt.Println("alice leads", err)
	var next sync.WaitGroup
	next.Go(func() {
		term, err := bob.campaign(ctx) // waits
		fmt.Println("bob leads", err)
		_, err = bob.renew(ctx, term)
		fmt.Println("bob goes on", err)
	})
	term, err = alice.renew(ctx, term)
	fmt.Println("alice goes on", err)
	if err := alice.resign(ctx, term); err != nil {
		log.Fatal(err)
	}
	next.Wait()
	_, err = alice.renew(ctx, term)
	fmt.Println("alice is out:", errors.Is(err, kv.ErrCompareFailed))
	// Output:
	// alice leads <nil>
	// alice goes on <nil>
	// bob leads <nil>
	// bob goes on <nil>
	// alice is out: true
}

// register says where an instance of a service is, until ctx ends: with a time
// to live that goes on being refreshed, so that it does not outlive a crash for
// long. Refreshing wakes nobody who watches.
func register(ctx context.Context, store kv.Store, key, addr string, ttl time.Duration) error {
	if _, err := store.Set(ctx, key, addr, kv.SetOptions{TTL: ttl}); err != nil {
		return err
	}
	tick := time.NewTicker(ttl / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, err := store.Set(ctx, key, "", kv.SetOptions{TTL: ttl, Refresh: true})
			if errors.Is(err, kv.ErrKeyNotFound) { // it came too late, or somebody removed it
				_, err = store.Set(ctx, key, addr, kv.SetOptions{TTL: ttl})
			}
			if err != nil && ctx.Err() == nil {
				return err
			}
		case <-ctx.Done():
			// Who leaves in order is not missed for the rest of his time.
			_, err := store.Delete(context.WithoutCancel(ctx), key, kv.DeleteOptions{})
			return err
		}
	}
}

// Register the instances of a service, and find them.
func Example_serviceRegistration() {
	store, err := tree.NewLocal()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	ctx, leave := context.WithCancel(context.Background())
	defer leave()

	watch, err := store.Watch(context.Background(), "/services/web", kv.WatchOptions{Recursive: true})
	if err != nil {
		log.Fatal(err)
	}
	var instance sync.WaitGroup
	instance.Go(func() {
		if err := register(ctx, store, "/services/web/1", "10.0.0.1:80", 30*time.Second); err != nil {
			log.Print(err)
		}
	})
	for ev, err := range watch.Events {
		if err != nil {
			log.Fatal(err)
		}
		if ev.Action != kv.ActionSet {
			fmt.Println(ev.Node.Key, "is gone:", ev.Action)
			break
		}
		fmt.Println(ev.Node.Key, "is at", ev.Node.Value)
		list, err := store.Get(ctx, "/services/web", kv.GetOptions{Sorted: true})
		if err != nil {
			log.Fatal(err)
		}
		for _, n := range list.Node.Nodes {
			fmt.Println("found:", n.Value, "for some time:", !n.Expiration.IsZero())
		}
		leave()
	}
	instance.Wait()
	// Output:
	// /services/web/1 is at 10.0.0.1:80
	// found: 10.0.0.1:80 for some time: true
	// /services/web/1 is gone: delete
}

// take removes the first item of a queue, waiting for one if there is none. Of
// several takers each item goes to one.
func take(ctx context.Context, store kv.Store, queue string) (string, error) {
	for {
		list, err := store.Get(ctx, queue, kv.GetOptions{Sorted: true, Quorum: true})
		if err != nil {
			return "", err
		}
		for _, item := range list.Node.Nodes {
			// On condition, so that the value is that of what was removed.
			_, err := store.CompareAndDelete(ctx, item.Key, kv.Condition{PrevIndex: item.ModifiedIndex})
			if err == nil {
				return item.Value, nil
			}
			if !errors.Is(err, kv.ErrKeyNotFound) { // else somebody was faster
				return "", err
			}
		}
		if err := waitForChange(ctx, store, queue, list.Index+1); err != nil {
			return "", err
		}
	}
}

// waitForChange waits for the first change at or below a key from an index on.
func waitForChange(ctx context.Context, store kv.Store, key string, from uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := store.Watch(ctx, key, kv.WatchOptions{Recursive: true, From: from})
	if err == nil {
		for _, err = range w.Events {
			break
		}
	}
	if errors.Is(err, kv.ErrHistoryCleared) {
		return nil // there was one, long ago
	}
	return err
}

// Queue work: keys that the store numbers in order, each removed by who does it.
func Example_queue() {
	store, err := tree.NewLocal()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	ctx := context.Background()

	if _, err := store.Create(ctx, "/queue", "", kv.CreateOptions{Dir: true}); err != nil {
		log.Fatal(err)
	}
	var taker sync.WaitGroup
	taker.Go(func() {
		for range 3 {
			item, err := take(ctx, store, "/queue")
			fmt.Println(item, err)
		}
	})
	for _, item := range []string{"first", "second", "third"} {
		if _, err := store.CreateInOrder(ctx, "/queue", item, kv.CreateOptions{}); err != nil {
			log.Fatal(err)
		}
	}
	taker.Wait()
	// Output:
	// first <nil>
	// second <nil>
	// third <nil>
}

// follow calls apply with the value of a key, and again whenever that changes,
// until ctx ends. A value may be seen twice and one that was soon replaced not at
// all, but the latest always is: also when the watch breaks, or so much happens
// that the server forgets some of it.
func follow(ctx context.Context, store kv.Store, key string, apply func(value string)) error {
	for {
		ev, err := store.Get(ctx, key, kv.GetOptions{})
		from := ev.Index + 1
		switch missing, ok := errors.AsType[*kv.Error](err); {
		case err == nil:
			apply(ev.Node.Value)
		case ok && missing.Code == kv.CodeKeyNotFound:
			from = missing.Index + 1
		default:
			return err
		}
		w, err := store.Watch(ctx, key, kv.WatchOptions{From: from})
		if err == nil {
			for ev, err = range w.Events {
				if err != nil {
					break
				}
				apply(ev.Node.Value)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, kv.ErrHistoryCleared) {
			return err
		}
	}
}

// Follow a piece of configuration: read it, then watch it from there.
func Example_configuration() {
	store, err := tree.NewLocal()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	set := func(value string) {
		if _, err := store.Set(ctx, "/config/log-level", value, kv.SetOptions{}); err != nil {
			log.Fatal(err)
		}
	}

	set("info")
	seen := 0
	err = follow(ctx, store, "/config/log-level", func(value string) {
		fmt.Println("log level is", value)
		switch seen++; seen {
		case 1:
			set("debug")
		case 2:
			cancel()
		}
	})
	fmt.Println(errors.Is(err, context.Canceled))
	// Output:
	// log level is info
	// log level is debug
	// true
}
