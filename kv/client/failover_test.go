package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
)

// named answers every request with its name as the value.
func named(name string, calls *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		fmt.Fprintf(w, `{"action":"get","node":{"key":"/a","value":%q}}`, name)
	})
}

// broken reads requests and hangs up.
func broken(calls *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		calls.Add(1)
		panic(http.ErrAbortHandler)
	})
}

func TestAnEndpointIsUsedUntilItFails(t *testing.T) {
	var net network
	var calls atomic.Int64
	stopA := net.serve(t, "a", named("a", &calls))
	stopB := net.serve(t, "b", named("b", &calls))
	c := net.client(t, client.Config{}, "down", "a", "b")
	expect := func(want string) {
		t.Helper()
		for range 3 {
			ev, err := c.Get(t.Context(), "/a", kv.GetOptions{})
			if err != nil || ev.Node.Value != want {
				t.Fatalf("answer of %q, %v; want that of %q", ev.Node.Value, err, want)
			}
		}
	}
	expect("a")
	stopA()
	expect("b")
	net.serve(t, "a", named("a", &calls))
	expect("b")
	if got, want := c.Endpoints()[0], "http://b:2379"; got != want {
		t.Errorf("first endpoint %s, want %s", got, want)
	}
	stopB()
	expect("a")
}

func TestAnUnreachableClusterHasNotAppliedTheWrite(t *testing.T) {
	var net network
	_, err := net.client(t, client.Config{}, "a", "b").Set(t.Context(), "/k", "", kv.SetOptions{})
	if !errors.Is(err, kv.ErrNotApplied) || errors.Is(err, kv.ErrOutcomeUnknown) {
		t.Errorf("got %v, want one that is %v", err, kv.ErrNotApplied)
	}
	want := "set /k: client: etcd cluster is unavailable or misconfigured; error #0: no host a; error #1: no host b"
	if err.Error() != want {
		t.Errorf("got  %v\nwant %v", err, want)
	}
}

func TestALostAnswerToAWriteIsNotTriedAgain(t *testing.T) {
	for _, write := range []op{
		{"set", func(ctx context.Context, s kv.Store) (kv.Event, error) {
			return s.Set(ctx, "/a", "1", kv.SetOptions{})
		}},
		{"create in order", func(ctx context.Context, s kv.Store) (kv.Event, error) {
			return s.CreateInOrder(ctx, "/a", "1", kv.CreateOptions{})
		}},
		{"delete", func(ctx context.Context, s kv.Store) (kv.Event, error) {
			return s.Delete(ctx, "/a", kv.DeleteOptions{})
		}},
	} {
		var net network
		var first, second atomic.Int64
		net.serve(t, "a", broken(&first))
		net.serve(t, "b", named("b", &second))
		c := net.client(t, client.Config{}, "a", "b")
		_, err := write.do(t.Context(), c)
		if !errors.Is(err, kv.ErrOutcomeUnknown) || errors.Is(err, kv.ErrNotApplied) {
			t.Errorf("%s: got %v, want one that is %v", write.name, err, kv.ErrOutcomeUnknown)
		}
		if first.Load() != 1 || second.Load() != 0 {
			t.Errorf("%s: requests %d and %d, want 1 and 0", write.name, first.Load(), second.Load())
		}
		// The next write does not go where the last one was lost.
		ev, err := write.do(t.Context(), c)
		if err != nil || ev.Node.Value != "b" {
			t.Errorf("%s after that: got answer of %q, %v; want that of b", write.name, ev.Node.Value, err)
		}
	}
}

func TestAWriteIsRepeatedWhereThatWasAskedFor(t *testing.T) {
	set := func(c *client.Client) (kv.Event, error) {
		return c.Set(t.Context(), "/a", "1", kv.SetOptions{})
	}
	var net network
	var first, second atomic.Int64
	net.serve(t, "a", broken(&first))
	stopB := net.serve(t, "b", named("b", &second))
	net.serve(t, "sick", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	for _, bad := range []string{"a", "sick"} {
		ev, err := set(net.client(t, client.Config{RepeatWrites: true}, bad, "b"))
		if err != nil || ev.Node.Value != "b" {
			t.Errorf("after %s: answer of %q, %v; want that of b", bad, ev.Node.Value, err)
		}
	}
	// That none carried it out is still not certain.
	stopB()
	for _, hosts := range [][]string{{"a", "b"}, {"b", "a"}, {"sick", "b"}} {
		_, err := set(net.client(t, client.Config{RepeatWrites: true}, hosts...))
		if !errors.Is(err, kv.ErrOutcomeUnknown) || errors.Is(err, kv.ErrNotApplied) {
			t.Errorf("after %q: got %v, want one that is %v", hosts, err, kv.ErrOutcomeUnknown)
		}
	}
}

func TestAServersFailureLeavesAWriteInDoubtAndAReadToOthers(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   []error
	}{
		{
			500, `{"errorCode":300,"message":"Raft Internal Error","cause":"etcdserver: request timed out","index":0}`,
			[]error{kv.ErrOutcomeUnknown, kv.ErrInternal},
		},
		{502, `bad gateway`, []error{kv.ErrOutcomeUnknown}},
		{200, `{"action":`, []error{kv.ErrOutcomeUnknown}},
	} {
		var net network
		var calls atomic.Int64
		net.serve(t, "a", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		}))
		net.serve(t, "b", named("b", &calls))
		cl := net.client(t, client.Config{}, "a", "b")
		if c.status >= 500 {
			ev, err := cl.Get(t.Context(), "/a", kv.GetOptions{Quorum: true})
			if err != nil || ev.Node.Value != "b" {
				t.Errorf("status %d: read answered by %q, %v; want b", c.status, ev.Node.Value, err)
			}
		}
		cl = net.client(t, client.Config{}, "a", "b")
		_, err := cl.Set(t.Context(), "/a", "1", kv.SetOptions{})
		for _, want := range c.want {
			if !errors.Is(err, want) {
				t.Errorf("status %d: got %v, want one that is %v", c.status, err, want)
			}
		}
	}
}

func TestWhenAllFailTheServersErrorIsReported(t *testing.T) {
	var net network
	for _, host := range []string{"a", "b"} {
		net.serve(t, host, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"errorCode":300,"message":"","cause":"no leader at `+host+`","index":0}`, 500)
		}))
	}
	_, err := net.client(t, client.Config{}, "a", "b", "down").Get(t.Context(), "/a", kv.GetOptions{})
	if e, ok := errors.AsType[*kv.Error](err); !ok || e.Cause != "no leader at b" || errors.Is(err, kv.ErrOutcomeUnknown) {
		t.Errorf("got %v, want error 300 of b", err)
	}
}

func TestASilentEndpointIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net network
		var calls atomic.Int64
		stop := make(chan struct{})
		defer close(stop)
		net.serve(t, "a", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1); <-stop }))
		net.serve(t, "b", named("b", &calls))
		c := net.client(t, client.Config{Timeout: 2 * time.Second}, "a", "b")
		start := time.Now()
		ev, err := c.Get(t.Context(), "/a", kv.GetOptions{})
		if took := time.Since(start); err != nil || ev.Node.Value != "b" || took != 2*time.Second {
			t.Errorf("read answered by %q, %v after %v; want b after 2s", ev.Node.Value, err, took)
		}

		c = net.client(t, client.Config{Timeout: 2 * time.Second}, "a", "b")
		_, err = c.Set(t.Context(), "/a", "", kv.SetOptions{})
		want := "client: endpoint http://a:2379 exceeded header timeout"
		if !errors.Is(err, kv.ErrOutcomeUnknown) || !strings.Contains(err.Error(), want) {
			t.Errorf("write: got %v, want one with %s", err, want)
		}
	})
}

func TestTheContextEndsACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net network
		stop := make(chan struct{})
		defer close(stop)
		net.serve(t, "a", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
		c := net.client(t, client.Config{}, "a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Get(ctx, "/a", kv.GetOptions{})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read: got %v, want %v", err, context.DeadlineExceeded)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Set(ctx, "/a", "", kv.SetOptions{})
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, kv.ErrOutcomeUnknown) {
			t.Errorf("write under way: got %v, want %v and %v", err, context.DeadlineExceeded, kv.ErrOutcomeUnknown)
		}
		_, err = c.Set(ctx, "/a", "", kv.SetOptions{})
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kv.ErrOutcomeUnknown) {
			t.Errorf("write after the deadline: got %v, want %v alone", err, context.DeadlineExceeded)
		}
	})
}

func TestSyncGoesOnWithThePublishedURLs(t *testing.T) {
	var net network
	var calls atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/v2/members", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"members":[
			{"id":"1","name":"x","peerURLs":[],"clientURLs":["http://b:2379","http://a:2379"]},
			{"id":"2","name":"","peerURLs":["http://c:2380"],"clientURLs":[]}]}`)
	})
	mux.HandleFunc("/v2/members/leader", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":"1","name":"x","peerURLs":[],"clientURLs":["http://b:2379"]}`)
	})
	mux.Handle("/", named("a", &calls))
	net.serve(t, "a", mux)
	c := net.client(t, client.Config{}, "a", "old")
	if err := c.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := c.Endpoints(), []string{"http://a:2379", "http://b:2379"}; !slices.Equal(got, want) {
		t.Errorf("endpoints %q, want %q", got, want)
	}
	if m, err := c.Leader(t.Context()); err != nil || m.ID != "1" || m.Name != "x" {
		t.Errorf("leader %+v, %v; want member 1", m, err)
	}
}

func TestSyncKeepsTheEndpointsOfAStoreAlone(t *testing.T) {
	var net network
	net.serve(t, "a", api(newLocal(t)))
	c := net.client(t, client.Config{}, "a")
	if err := c.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.Endpoints(); len(got) != 1 || got[0] != "http://a:2379" {
		t.Errorf("endpoints %q, want that of a", got)
	}
	_, err := c.Leader(t.Context())
	if e, ok := errors.AsType[*client.StatusError](err); !ok || e.Status != 503 || e.Error() != "During election" {
		t.Errorf("leader: got %v, want status 503, During election", err)
	}
}

func TestHealthIsReadInBothSpellings(t *testing.T) {
	for body, want := range map[string]bool{
		`{"health":"true"}`:        true,
		`{"health": "true"}`:       true,
		`{"health":true}`:          true,
		"{\"health\":\"false\"}\n": false,
		`{"health":false}`:         false,
	} {
		var net network
		net.serve(t, "a", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if !want {
				w.WriteHeader(503)
			}
			fmt.Fprint(w, body)
		}))
		got, err := net.client(t, client.Config{}, "other").Healthy(t.Context(), "http://a:2379")
		if err != nil || got != want {
			t.Errorf("body %s: got %v, %v, want %v", body, got, err, want)
		}
	}
}
