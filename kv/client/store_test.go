package client_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
)

// A client must not be told from the store behind it: two stores get the same
// operations, one directly and one over HTTP.
func TestAClientBehavesAsTheStoreBehindIt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		choices := rapid.SliceOfN(rapid.IntRange(0, 1000), 10, 300).Draw(rt, "choices")
		if diff := playOnTwo(t, choices); diff != "" {
			rt.Fatal(diff)
		}
	})
}

// playOnTwo makes operations of the choices until those are used up, and returns
// what differed first.
func playOnTwo(t *testing.T, choices []int) (diff string) {
	synctest.Test(t, func(t *testing.T) {
		var net network
		direct, behind := newLocal(t), newLocal(t)
		net.serve(t, "a", api(behind))
		remote := net.client(t, client.Config{}, "a")
		draw := func(n int) int {
			if len(choices) == 0 {
				return 0
			}
			c := choices[0]
			choices = choices[1:]
			return c % n
		}
		for len(choices) > 0 {
			o := drawOp(draw, direct.Index())
			want := outcome(o.do(t.Context(), direct))
			got := outcome(o.do(t.Context(), remote))
			if got != want {
				diff = fmt.Sprintf("%s:\n got %s\nwant %s", o.name, got, want)
				return
			}
			if draw(5) == 0 {
				time.Sleep(20 * time.Second) // on the bubble's clock
			}
		}
	})
	return diff
}

func TestTTLsRoundUpToWholeSeconds(t *testing.T) {
	for _, c := range []struct {
		ttl  time.Duration
		want string
	}{
		{0, ""},
		{1, "1"},
		{time.Second, "1"},
		{1500 * time.Millisecond, "2"},
		{-time.Minute, "0"}, // its time has passed: the node must not become permanent
	} {
		var net network
		var got string
		net.serve(t, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r.FormValue("ttl")
			fmt.Fprint(w, `{"action":"set","node":{"key":"/a"}}`)
		}))
		if _, err := net.client(t, client.Config{}, "a").Set(t.Context(), "/a", "", kv.SetOptions{TTL: c.ttl}); err != nil {
			t.Fatal(err)
		}
		if got != c.want {
			t.Errorf("TTL %v: sent ttl=%s, want %s", c.ttl, got, c.want)
		}
	}
}

func TestAConditionMustSayWhatToCompare(t *testing.T) {
	var net network // without hosts
	c := net.client(t, client.Config{}, "a")
	if _, err := c.CompareAndSwap(t.Context(), "/a", "1", kv.Condition{}, kv.UpdateOptions{}); !errors.Is(err, kv.ErrPrevValueRequired) {
		t.Errorf("swap: got %v, want %v", err, kv.ErrPrevValueRequired)
	}
	if _, err := c.CompareAndDelete(t.Context(), "/a", kv.Condition{}); !errors.Is(err, kv.ErrPrevValueRequired) {
		t.Errorf("delete: got %v, want %v", err, kv.ErrPrevValueRequired)
	}
}

func TestEndpointsMustBeURLs(t *testing.T) {
	for _, bad := range []string{"127.0.0.1:2379", "localhost:2379", "ftp://a:1", "http://", "%"} {
		_, err := client.New(client.Config{Endpoints: []string{"http://ok:1", bad}})
		if err == nil || !strings.Contains(err.Error(), `"`+bad+`"`) {
			t.Errorf("endpoint %q: got %v, want an error that names it", bad, err)
		}
	}
}

func TestQuorumAppliesToEveryGet(t *testing.T) {
	var net network
	var got string
	net.serve(t, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.URL.RawQuery
		fmt.Fprint(w, `{"action":"get","node":{"key":"/a"}}`)
	}))
	if _, err := net.client(t, client.Config{Quorum: true}, "a").Get(t.Context(), "/a", kv.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	if want := "quorum=true&recursive=false&sorted=false"; got != want {
		t.Errorf("query %q, want %q", got, want)
	}
}

func TestTLSAndPasswordsAreUsed(t *testing.T) {
	inner := api(newLocal(t))
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" {
			http.Error(w, `{"errorCode":110,"message":"","cause":"Insufficient credentials","index":0}`, http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	cfg := client.Config{
		Endpoints: []string{srv.URL},
		TLS:       &tls.Config{RootCAs: srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs},
	}
	for _, c := range []struct {
		password string
		want     error
	}{{"secret", nil}, {"wrong", kv.ErrUnauthorized}} {
		cfg.Username, cfg.Password = "me", c.password
		cl, err := client.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		if _, err := cl.Set(t.Context(), "/a", "1", kv.SetOptions{}); !errors.Is(err, c.want) {
			t.Errorf("password %q: got %v, want %v", c.password, err, c.want)
		}
	}
	cfg.TLS = nil
	cl, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := cl.Get(t.Context(), "/a", kv.GetOptions{}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: got %v, want an error about the certificate", err)
	}
}
