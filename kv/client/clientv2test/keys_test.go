package clientv2test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/v2"
)

// show spells a response out, without what differs from run to run.
func show(r *client.Response, err error) string {
	if err != nil {
		if c := code(err); c != 0 {
			return fmt.Sprint("error ", c)
		}
		return "error: " + err.Error()
	}
	s := r.Action
	if r.Node != nil {
		s += " " + showNode(r.Node)
	}
	if r.PrevNode != nil {
		s += " was " + showNode(r.PrevNode)
	}
	return s
}

func showNode(n *client.Node) string {
	s := n.Key + "=" + n.Value
	if n.Dir {
		s = n.Key + "/"
	}
	if n.Expiration != nil {
		s += " for a time"
	}
	if len(n.Nodes) > 0 {
		var all []string
		for _, c := range n.Nodes {
			all = append(all, showNode(c))
		}
		slices.Sort(all)
		s += " {" + strings.Join(all, " ") + "}"
	}
	return s
}

func TestKeys(t *testing.T) {
	onBoth(t, func(t *testing.T, _ server, c client.Client) {
		ctx, keys := within(t), client.NewKeysAPI(c)
		set := func(key, value string, o client.SetOptions) func() (*client.Response, error) {
			return func() (*client.Response, error) { return keys.Set(ctx, key, value, &o) }
		}
		get := func(key string, o client.GetOptions) func() (*client.Response, error) {
			return func() (*client.Response, error) { return keys.Get(ctx, key, &o) }
		}
		del := func(key string, o client.DeleteOptions) func() (*client.Response, error) {
			return func() (*client.Response, error) { return keys.Delete(ctx, key, &o) }
		}
		for _, c := range []struct {
			do   func() (*client.Response, error)
			want string
		}{
			{set("/a", "1", client.SetOptions{}), "set /a=1"},
			{set("/a", "2", client.SetOptions{TTL: time.Hour}), "set /a=2 for a time was /a=1"},
			{get("/a", client.GetOptions{}), "get /a=2 for a time"},
			{set("/a", "", client.SetOptions{TTL: time.Hour, Refresh: true, PrevExist: client.PrevExist}), "update /a=2 for a time was /a=2 for a time"},
			{set("/a", "x", client.SetOptions{TTL: time.Hour, Refresh: true}), "error 211"},
			{set("/a", "", client.SetOptions{Refresh: true}), "error 212"},
			{set("/none", "", client.SetOptions{TTL: time.Hour, Refresh: true}), "error 100"},
			{func() (*client.Response, error) { return keys.Create(ctx, "/a", "3") }, "error 105"},
			{func() (*client.Response, error) { return keys.Create(ctx, "/b", "1") }, "create /b=1"},
			{func() (*client.Response, error) { return keys.Update(ctx, "/a", "3") }, "update /a=3 was /a=2 for a time"},
			{func() (*client.Response, error) { return keys.Update(ctx, "/none", "3") }, "error 100"},
			{set("/a", "4", client.SetOptions{PrevValue: "3"}), "compareAndSwap /a=4 was /a=3"},
			{set("/a", "5", client.SetOptions{PrevValue: "3"}), "error 101"},
			{set("/a", "5", client.SetOptions{PrevIndex: 1 << 40}), "error 101"},
			{set("/a", "5", client.SetOptions{PrevExist: client.PrevNoExist}), "error 105"},
			{set("/a", "6", client.SetOptions{NoValueOnSuccess: true}), "set"},
			{del("/a", client.DeleteOptions{PrevValue: "5"}), "error 101"},
			{del("/a", client.DeleteOptions{PrevValue: "6"}), "compareAndDelete /a= was /a=6"},
			{del("/b", client.DeleteOptions{}), "delete /b= was /b=1"},
			{del("/b", client.DeleteOptions{}), "error 100"},
			{set("/d", "", client.SetOptions{Dir: true}), "set /d/"},
			{set("/d", "", client.SetOptions{Dir: true}), "error 102"},
			{set("/d/x", "1", client.SetOptions{}), "set /d/x=1"},
			{set("/d/y/z", "a&b=c d+é\n", client.SetOptions{}), "set /d/y/z=a&b=c d+é\n"},
			{set("/d/_h", "1", client.SetOptions{}), "set /d/_h=1"},
			{set("/d/x/y", "1", client.SetOptions{}), "error 104"},
			{get("/d", client.GetOptions{Sort: true}), "get /d/ {/d/x=1 /d/y/}"},
			{get("/d", client.GetOptions{Recursive: true, Quorum: true}), "get /d/ {/d/x=1 /d/y/ {/d/y/z=a&b=c d+é\n}}"},
			{del("/d", client.DeleteOptions{}), "error 102"},
			{del("/d", client.DeleteOptions{Dir: true}), "error 108"},
			{del("/d", client.DeleteOptions{Recursive: true}), "delete /d/ was /d/"},
			{set("/", "", client.SetOptions{}), "error 107"},
			{get("/", client.GetOptions{}), "get /"},
		} {
			if got := show(c.do()); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		}
	})
}

func TestKeysInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, _ server, c client.Client) {
		ctx, keys := within(t), client.NewKeysAPI(c)
		var made []string
		for i := range 5 {
			r, err := keys.CreateInOrder(ctx, "/q", fmt.Sprint(i), &client.CreateInOrderOptions{TTL: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			made = append(made, r.Node.Key)
		}
		r, err := keys.Get(ctx, "/q", &client.GetOptions{Sort: true})
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range r.Node.Nodes {
			if n.Key != made[i] || n.Value != fmt.Sprint(i) {
				t.Errorf("item %d is %s=%s, want %s=%d", i, n.Key, n.Value, made[i], i)
			}
		}
	})
}

func TestWatches(t *testing.T) {
	onBoth(t, func(t *testing.T, _ server, c client.Client) {
		ctx, keys := within(t), client.NewKeysAPI(c)
		first, err := keys.Set(ctx, "/w/a", "1", nil)
		if err != nil {
			t.Fatal(err)
		}
		// From the past on, and into what is yet to come.
		w := keys.Watcher("/w", &client.WatcherOptions{AfterIndex: first.Index - 1, Recursive: true})
		wrote := make(chan error, 1)
		next := func(want string) {
			t.Helper()
			if got := show(w.Next(ctx)); got != want {
				t.Errorf("event %s, want %s", got, want)
			}
		}
		next("set /w/a=1")
		go func() {
			_, err := keys.Set(ctx, "/other", "1", nil)
			_, err2 := keys.Set(ctx, "/w/b", "2", &client.SetOptions{TTL: time.Hour})
			_, err3 := keys.Set(ctx, "/w/b", "", &client.SetOptions{TTL: time.Hour, Refresh: true, PrevExist: client.PrevExist})
			_, err4 := keys.Delete(ctx, "/w/b", nil)
			_, err5 := keys.Set(ctx, "/w/c", "3", &client.SetOptions{TTL: time.Second})
			wrote <- errors.Join(err, err2, err3, err4, err5)
		}()
		next("set /w/b=2 for a time")
		next("delete /w/b= was /w/b=2 for a time")
		next("set /w/c=3 for a time")
		next("expire /w/c= was /w/c=3 for a time")
		if err := <-wrote; err != nil {
			t.Error(err)
		}

		// A watch ends with its context.
		brief, cancel := context.WithCancel(ctx)
		done := make(chan error)
		go func() {
			_, err := keys.Watcher("/never", nil).Next(brief)
			done <- err
		}()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("a watch whose context is over: got %v", err)
		}
	})
}
