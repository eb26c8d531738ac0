package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
)

// answers serves fixed answers by "METHOD path", and keeps what it was asked.
type answers struct {
	mu    sync.Mutex
	with  map[string]string
	asked []string
}

func (a *answers) change(line, answer string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.with[line] = answer
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	line := r.Method + " " + r.URL.Path
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, strings.TrimSpace(line+" "+string(body)))
	status, text, _ := strings.Cut(a.with[line], " ")
	code := 404
	_, _ = fmt.Sscan(status, &code)
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text)
}

func TestChangesOfTheClusterGoOutAsTheAPIHasThem(t *testing.T) {
	ctx := t.Context()
	for _, c := range []struct {
		name   string
		answer string
		do     func(c *client.Client) error
		want   string
	}{
		{"add member", `201 {"id":"1f","name":"","peerURLs":["http://a:1"],"clientURLs":[]}`, func(c *client.Client) error {
			m, err := c.AddMember(ctx, []string{"http://a:1"})
			if err == nil && m.ID != "1f" {
				return fmt.Errorf("got %+v", m)
			}
			return err
		}, `POST /v2/members {"peerURLs":["http://a:1"]}`},
		{"update member", "204 ", func(c *client.Client) error {
			return c.UpdateMember(ctx, "1f", []string{"http://a:1", "http://a:2"})
		}, `PUT /v2/members/1f {"peerURLs":["http://a:1","http://a:2"]}`},
		{"remove member", "204 ", func(c *client.Client) error { return c.RemoveMember(ctx, "1f") }, "DELETE /v2/members/1f"},
		{"enable auth", "200 ", func(c *client.Client) error { return c.EnableAuth(ctx) }, "PUT /v2/auth/enable"},
		{"disable auth", "200 ", func(c *client.Client) error { return c.DisableAuth(ctx) }, "DELETE /v2/auth/enable"},
		{"put user", `201 {"user":"al","roles":null}`, func(c *client.Client) error {
			return c.PutUser(ctx, "al", "p w")
		}, `PUT /v2/auth/users/al {"user":"al","password":"p w"}`},
		{"grant roles", "200 {}", func(c *client.Client) error {
			return c.GrantRoles(ctx, "al", []string{"r", "s"})
		}, `PUT /v2/auth/users/al {"user":"al","grant":["r","s"]}`},
		{"revoke roles", "200 {}", func(c *client.Client) error {
			return c.RevokeRoles(ctx, "al", []string{"r"})
		}, `PUT /v2/auth/users/al {"user":"al","revoke":["r"]}`},
		{"remove user", "200 ", func(c *client.Client) error { return c.RemoveUser(ctx, "al") }, "DELETE /v2/auth/users/al"},
		{"add role", "201 {}", func(c *client.Client) error { return c.AddRole(ctx, "r") }, `PUT /v2/auth/roles/r {"role":"r"}`},
		{"grant permissions", "200 {}", func(c *client.Client) error {
			return c.GrantPermissions(ctx, client.Role{Name: "r", Read: []string{"/a/*"}})
		}, `PUT /v2/auth/roles/r {"role":"r","grant":{"kv":{"read":["/a/*"],"write":[]}}}`},
		{"revoke permissions", "200 {}", func(c *client.Client) error {
			return c.RevokePermissions(ctx, client.Role{Name: "r", Write: []string{"/a"}})
		}, `PUT /v2/auth/roles/r {"role":"r","revoke":{"kv":{"read":[],"write":["/a"]}}}`},
		{"remove role", "200 ", func(c *client.Client) error { return c.RemoveRole(ctx, "r") }, "DELETE /v2/auth/roles/r"},
	} {
		var net network
		parts := strings.SplitN(c.want, " ", 3)
		a := &answers{with: map[string]string{parts[0] + " " + parts[1]: c.answer}}
		net.serve(t, "a", a)
		err := c.do(net.client(t, client.Config{}, "a"))
		if err != nil || len(a.asked) != 1 || a.asked[0] != c.want {
			t.Errorf("%s: asked %q, %v; want %q", c.name, a.asked, err, c.want)
		}
		// A refusal says what the server said; a failure leaves the outcome open.
		for status, unknown := range map[string]bool{"409": false, "500": true} {
			a.change(parts[0]+" "+parts[1], status+` {"message":"not like that"}`)
			err := c.do(net.client(t, client.Config{}, "a"))
			e, ok := errors.AsType[*client.StatusError](err)
			if !ok || e.Error() != "not like that" || errors.Is(err, kv.ErrOutcomeUnknown) != unknown {
				t.Errorf("%s answered with %s: got %v", c.name, status, err)
			}
		}
	}
}

func TestUsersAndRolesAreReadInAllSpellings(t *testing.T) {
	var net network
	a := &answers{with: map[string]string{
		"GET /v2/auth/enable":       `200 {"enabled":true}`,
		"GET /v2/auth/users":        `200 {"users":["al",{"user":"bob","roles":[{"role":"r"}]}]}`,
		"GET /v2/auth/users/al":     `200 {"user":"al","roles":[{"role":"r","permissions":{"kv":{"read":["/a"],"write":null}}},"s"]}`,
		"GET /v2/auth/users/nobody": `404 {"message":"auth: User nobody does not exist."}`,
		"GET /v2/auth/roles":        `200 {"roles":null}`,
		"GET /v2/auth/roles/r":      `200 {"role":"r","permissions":{"kv":{"read":["/a","/b/*"],"write":[]}}}`,
		"GET /v2/auth/roles/odd":    `200 [`,
	}}
	net.serve(t, "a", a)
	c := net.client(t, client.Config{}, "a")
	if on, err := c.AuthEnabled(t.Context()); !on || err != nil {
		t.Errorf("enabled: %v, %v; want true", on, err)
	}
	if got, err := c.Users(t.Context()); err != nil || !slices.Equal(got, []string{"al", "bob"}) {
		t.Errorf("users: %q, %v; want al and bob", got, err)
	}
	if got, err := c.User(t.Context(), "al"); err != nil || got.Name != "al" || !slices.Equal(got.Roles, []string{"r", "s"}) {
		t.Errorf("user: %+v, %v; want al with r and s", got, err)
	}
	if _, err := c.User(t.Context(), "nobody"); err == nil || err.Error() != "get user nobody: auth: User nobody does not exist." {
		t.Errorf("user nobody: %v", err)
	}
	if got, err := c.Roles(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("roles: %q, %v; want none", got, err)
	}
	if got, err := c.Role(t.Context(), "r"); err != nil || got.Name != "r" || !slices.Equal(got.Read, []string{"/a", "/b/*"}) || len(got.Write) != 0 {
		t.Errorf("role: %+v, %v; want r", got, err)
	}
	if _, err := c.Role(t.Context(), "odd"); err == nil {
		t.Error("a role that is no JSON: no error")
	}
}

func TestASlashAtTheEndOfAKeyReachesTheServer(t *testing.T) {
	var net network
	a := &answers{}
	net.serve(t, "a", a)
	c := net.client(t, client.Config{}, "a")
	for key, want := range map[string]string{
		"/": "/v2/keys/", "": "/v2/keys/", "/a": "/v2/keys/a", "a/b/": "/v2/keys/a/b/", "//a//": "/v2/keys/a/",
	} {
		a.asked = nil
		_, _ = c.Get(t.Context(), key, kv.GetOptions{})
		if len(a.asked) != 1 || a.asked[0] != "GET "+want {
			t.Errorf("get %q: asked %q, want GET %s", key, a.asked, want)
		}
	}
}

func TestAutoSyncFollowsTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net network
		a := &answers{with: map[string]string{"GET /v2/members": `200 {"members":[{"clientURLs":["http://a:2379"]}]}`}}
		defer net.serve(t, "a", a)()
		c := net.client(t, client.Config{}, "a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.AutoSync(ctx, time.Minute) }()
		for i, step := range []struct {
			answer string
			want   []string
		}{
			{`200 {"members":[{"clientURLs":["http://c:2379","http://a:2379"]}]}`, []string{"http://a:2379"}},
			{`500 {}`, []string{"http://a:2379", "http://c:2379"}},
			{`200 {"members":[]}`, []string{"http://a:2379", "http://c:2379"}},
		} {
			time.Sleep(time.Second)
			synctest.Wait()
			slices.Sort(step.want)
			if got := slices.Sorted(slices.Values(c.Endpoints())); !slices.Equal(got, step.want) {
				t.Errorf("step %d: endpoints %q, want %q", i, got, step.want)
			}
			a.change("GET /v2/members", step.answer)
			time.Sleep(time.Minute)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("auto sync ended with %v, want %v", err, context.Canceled)
		}
		c.Close()
	})
}
