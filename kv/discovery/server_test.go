package discovery_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/discovery"
	"github.com/strakeproject/strake/kv/httpapi"
)

// newService serves tokens, and returns the service with its store.
func newService(t *testing.T) (*httptest.Server, kv.Store) {
	t.Helper()
	l := newLocal(t)
	s := httptest.NewUnstartedServer(nil)
	s.Config.Handler = discovery.NewServer(discovery.ServerConfig{
		Store: l, Keys: httpapi.New(httpapi.Config{Store: l}), URL: "http://" + s.Listener.Addr().String(),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }),
	})
	s.Start()
	t.Cleanup(s.Close)
	return s, l
}

func ask(t *testing.T, method, u, form string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequest(method, u, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

func TestTheServiceMakesAndServesTokens(t *testing.T) {
	s, store := newService(t)
	status, token := ask(t, "PUT", s.URL+"/new?size=2", "")
	if status != 200 || !strings.HasPrefix(token, s.URL+"/") || len(token) != len(s.URL)+33 {
		t.Fatalf("/new answers %d %s", status, token)
	}
	for _, tt := range []struct {
		method, url, form string
		status            int
		body              string // is in it
	}{
		{"GET", token + "/_config/size", "", 200, `"value":"2"`},
		{"GET", token, "", 200, `"dir":true`},
		{"GET", token + "/", "", 200, `"dir":true`},
		{"PUT", token + "/ab?prevExist=false", "value=n%3Dhttp://h:1", 201, `"value":"n=http://h:1"`},
		{"PUT", token + "/ab?prevExist=false", "value=x", 412, `"errorCode":105`},
		{"GET", token + "/ab", "", 200, `"value":"n=http://h:1"`},
		{"GET", token + "?wait=true&recursive=true&waitIndex=1", "", 200, `"action":"create"`},
		{"DELETE", token + "/ab", "", 200, `"action":"delete"`},
		{"DELETE", token, "", 405, "Method Not Allowed"},
		{"PUT", token + "/_config/size", "value=9", 405, "Method Not Allowed"},
		{"GET", token + "/a/b", "", 404, ""},
		{"GET", s.URL + "/" + strings.Repeat("0", 32), "", 404, `"errorCode":100`},
		{"GET", s.URL + "/nonsense", "", 404, "404 page not found"},
		{"GET", s.URL + "/v2/keys", "", 404, "404 page not found"},
		{"GET", s.URL + "/new", "", 200, s.URL},
		{"GET", s.URL + "/new?size=x", "", 400, `strconv.Atoi: parsing "x": invalid syntax`},
		{"GET", s.URL + "/new?size=0", "", 400, "a cluster of 0 members cannot be"},
		{"GET", s.URL + "/health", "", 200, "OK"},
		{"GET", s.URL + "/metrics", "", 200, "up 1"},
		{"GET", s.URL + "/robots.txt", "", 200, "Disallow: /"},
		{"GET", s.URL + "/", "", 301, ""},
	} {
		status, body := ask(t, tt.method, tt.url, tt.form)
		if status != tt.status || !strings.Contains(body, tt.body) {
			t.Errorf("%s %s: %d %s, want %d %s", tt.method, tt.url, status, body, tt.status, tt.body)
		}
	}
	ev, err := store.Get(t.Context(), "/_etcd/registry", kv.GetOptions{})
	if err != nil || len(ev.Node.Nodes) != 2 {
		t.Errorf("the registry holds %d tokens, want the 2 that were made: %v", len(ev.Node.Nodes), err)
	}
}

func TestMembersMeetThroughTheService(t *testing.T) {
	s, _ := newService(t)
	_, u := ask(t, "GET", s.URL+"/new?size=3", "")
	want := 3
	var wg sync.WaitGroup
	for i := range want {
		wg.Go(func() {
			token, err := discovery.Dial(u, discovery.DialOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			defer token.Close()
			cluster, err := token.Join(t.Context(), self(i))
			if err != nil || strings.Count(cluster, "=http://") != want {
				t.Errorf("member %d got %q, %v", i, cluster, err)
			}
		})
	}
	wg.Wait()
}

func TestAnyDirectoryOfAKeySpaceIsAToken(t *testing.T) {
	l := newLocal(t)
	s := httptest.NewServer(httpapi.New(httpapi.Config{Store: l}))
	defer s.Close()
	if _, err := l.Set(t.Context(), "/my/cluster/_config/size", "1", kv.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	token, err := discovery.Dial(s.URL+"/v2/keys/my/cluster", discovery.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer token.Close()
	if got, err := token.Join(t.Context(), self(0)); err != nil || got != "n0=http://h0:2380" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWhoIsNoKeySpaceIsABadEndpoint(t *testing.T) {
	for _, answer := range []http.HandlerFunc{
		http.NotFound,
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") },
	} {
		s := httptest.NewServer(answer)
		token, err := discovery.Dial(s.URL+"/token", discovery.DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := token.Wait(t.Context()); !errors.Is(err, discovery.ErrBadEndpoint) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %v", err, discovery.ErrBadEndpoint)
		}
		token.Close()
		s.Close()
	}
}

func TestTheServiceIsReachedThroughAProxy(t *testing.T) {
	s, _ := newService(t)
	_, u := ask(t, "GET", s.URL+"/new?size=1", "")
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	var asked sync.Map
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.Host, true)
		forward.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	token, err := discovery.Dial("http://discovery.invalid"+strings.TrimPrefix(u, s.URL), discovery.DialOptions{Proxy: strings.TrimPrefix(proxy.URL, "http://")})
	if err != nil {
		t.Fatal(err)
	}
	defer token.Close()
	if _, err := token.Join(t.Context(), self(0)); err != nil {
		t.Error(err)
	}
	if _, ok := asked.Load("discovery.invalid"); !ok {
		t.Error("the proxy was not asked")
	}
}

func TestDialWantsAURLWithAToken(t *testing.T) {
	for u, want := range map[string]string{
		"discovery.etcd.io/abc":          "is not like https://host/token",
		"ftp://h/t":                      "is not like https://host/token",
		"https://discovery.etcd.io":      "names no token",
		"https://discovery.etcd.io/":     "names no token",
		"http://127.0.0.1:2379/v2/keys/": "names no token",
	} {
		if _, err := discovery.Dial(u, discovery.DialOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Dial(%s): %v, want %s", u, err, want)
		}
	}
	if _, err := discovery.Dial("http://h/t", discovery.DialOptions{Proxy: "http://"}); err == nil {
		t.Error("a proxy without a host is taken")
	}
}
