package proxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/proxy"
	"github.com/strakeproject/strake/kv/tree"
)

// A cluster is what a proxy sees of one: a peer that tells the members' URLs.
type cluster struct {
	peer *httptest.Server
	mu   sync.Mutex
	urls []string // of clients
}

func newCluster(t *testing.T, clientURLs ...string) *cluster {
	c := &cluster{urls: clientURLs}
	c.peer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if r.URL.Path != "/members" {
			http.NotFound(w, r)
			return
		}
		b, err := json.Marshal([]map[string]any{{"id": 1, "peerURLs": []string{c.peer.URL}, "name": "a", "clientURLs": c.urls}})
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(b)
	}))
	t.Cleanup(c.peer.Close)
	return c
}

// serve runs a proxy, and returns its URL once it knows its cluster, or has
// asked for it.
func serve(t *testing.T, cfg proxy.Config) string {
	t.Helper()
	p, err := proxy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(ctx); err != context.Canceled {
			t.Errorf("Run ended with %v", err)
		}
	}()
	s := httptest.NewServer(p)
	t.Cleanup(func() { cancel(); <-done; s.CloseClientConnections(); s.Close() })
	return s.URL
}

// await waits until the proxy has found as many endpoints.
func await(t *testing.T, url string, endpoints int) {
	t.Helper()
	for {
		_, body := ask(t, "GET", url+"/v2/config/local/proxy", "")
		var doc struct{ Endpoints []string }
		if err := json.Unmarshal([]byte(body), &doc); err != nil || doc.Endpoints == nil {
			t.Fatalf("%s: %v", body, err)
		}
		if len(doc.Endpoints) == endpoints {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the test ended first")
		case <-time.After(time.Millisecond):
		}
	}
}

func ask(t *testing.T, method, url, form string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Connection", "X-Mine")
	req.Header.Set("X-Mine", "1")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// newMember serves a store of its own.
func newMember(t *testing.T) (*httptest.Server, kv.Store) {
	t.Helper()
	l, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := httptest.NewServer(httpapi.New(httpapi.Config{Store: l}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s, l
}

func TestReadsWritesAndWatchesArePassedOn(t *testing.T) {
	m, store := newMember(t)
	url := serve(t, proxy.Config{PeerURLs: []string{"http://127.0.0.1:1", newCluster(t, m.URL).peer.URL}})
	await(t, url, 1)
	if status, body := ask(t, "PUT", url+"/v2/keys/a?prevExist=false", "value=1"); status != 201 || !strings.Contains(body, `"value":"1"`) {
		t.Errorf("PUT: %d %s", status, body)
	}
	if status, body := ask(t, "PUT", url+"/v2/keys/a?prevExist=false", "value=1"); status != 412 || !strings.Contains(body, `"errorCode":105`) {
		t.Errorf("PUT again: %d %s", status, body)
	}
	resp, err := http.Get(url + "/v2/keys/a?wait=true&stream=true")
	if err != nil || resp.Header.Get("X-Etcd-Index") == "" {
		t.Fatalf("watch: %v, %v", resp, err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for i := range 3 {
		if _, err := store.Set(t.Context(), "/a", fmt.Sprint("w", i), kv.SetOptions{}); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || !strings.Contains(lines.Text(), fmt.Sprintf(`"value":"w%d"`, i)) {
			t.Fatalf("watch line %d: %s, %v", i, lines.Text(), lines.Err())
		}
	}
}

func TestWhatConcernsOneConnectionIsNotPassedOn(t *testing.T) {
	got := make(chan http.Header, 1)
	m := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header
		w.Header().Set("Keep-Alive", "timeout=1")
	}))
	defer m.Close()
	url := serve(t, proxy.Config{PeerURLs: []string{newCluster(t, m.URL).peer.URL}})
	await(t, url, 1)
	req, _ := http.NewRequest("GET", url, nil)
	req.Header = http.Header{"Connection": {"X-Mine"}, "X-Mine": {"1"}, "Te": {"trailers"}, "X-Other": {"2"}, "X-Forwarded-For": {"10.0.0.1"}}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	h := <-got
	if h.Get("X-Mine") != "" || h.Get("Te") != "" || h.Get("X-Other") != "2" || h.Get("X-Forwarded-For") != "10.0.0.1, 127.0.0.1" {
		t.Errorf("the member is sent %v", h)
	}
	if resp.Header.Get("Keep-Alive") != "" {
		t.Errorf("the client is sent %v", resp.Header)
	}
}

func TestAReadOnlyProxyRefusesWrites(t *testing.T) {
	m, _ := newMember(t)
	url := serve(t, proxy.Config{PeerURLs: []string{newCluster(t, m.URL).peer.URL}, ReadOnly: true})
	await(t, url, 1)
	for _, method := range []string{"PUT", "POST", "DELETE", "HEAD"} {
		if status, body := ask(t, method, url+"/v2/keys/a", ""); status != 501 || body != "" {
			t.Errorf("%s: %d %q", method, status, body)
		}
	}
	if status, _ := ask(t, "GET", url+"/v2/keys/", ""); status != 200 {
		t.Errorf("GET: %d", status)
	}
}

// deadURL returns a URL where nobody listens: its port is held on one loopback
// address of this process, and free on another.
func deadURL(t *testing.T) string {
	t.Helper()
	pid := os.Getpid()
	host := func(net int) string { return fmt.Sprintf("127.%d.%d.%d", net+pid>>14&63, pid>>7&127, 1+pid&127) }
	l, err := net.Listen("tcp", host(64)+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + net.JoinHostPort(host(128), port)
}

func TestWithoutAMemberRequestsFail(t *testing.T) {
	url := serve(t, proxy.Config{PeerURLs: []string{"http://127.0.0.1:1"}})
	if status, body := ask(t, "GET", url+"/v2/keys/", ""); status != 503 || body != `{"message":"httpproxy: zero endpoints currently available"}` {
		t.Errorf("without members: %d %s", status, body)
	}
	url = serve(t, proxy.Config{PeerURLs: []string{newCluster(t, deadURL(t)).peer.URL}})
	await(t, url, 1)
	if status, body := ask(t, "GET", url+"/v2/keys/", ""); status != 502 || body != `{"message":"httpproxy: unable to get response from 1 endpoint(s)"}` {
		t.Errorf("with a dead one: %d %s", status, body)
	}
	// It rests.
	if status, _ := ask(t, "GET", url+"/v2/keys/", ""); status != 503 {
		t.Errorf("then: %d", status)
	}
}

func TestAnotherMemberStandsIn(t *testing.T) {
	m, _ := newMember(t)
	url := serve(t, proxy.Config{PeerURLs: []string{newCluster(t, deadURL(t), deadURL(t), m.URL).peer.URL}, FailureWait: time.Nanosecond})
	await(t, url, 3)
	for range 5 {
		if status, body := ask(t, "PUT", url+"/v2/keys/a", "value=1"); status >= 300 {
			t.Errorf("PUT: %d %s", status, body)
		}
	}
}

func TestAWriteThatAMemberMayHaveSeenIsNotSentTwice(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.Method]++
		mu.Unlock()
		panic(http.ErrAbortHandler)
	})
	a, b := httptest.NewServer(hang), httptest.NewServer(hang)
	defer a.Close()
	defer b.Close()
	url := serve(t, proxy.Config{PeerURLs: []string{newCluster(t, a.URL, b.URL).peer.URL}, FailureWait: time.Nanosecond})
	await(t, url, 2)
	for _, method := range []string{"GET", "POST", "PUT"} {
		if status, _ := ask(t, method, url+"/v2/keys/a", "value=1"); status != 502 {
			t.Errorf("%s: %d", method, status)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if seen["GET"] != 2 || seen["POST"] != 1 || seen["PUT"] != 1 {
		t.Errorf("members have seen %v", seen)
	}
}

func TestAnAnswerThatIsCutArrivesCut(t *testing.T) {
	m := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer m.Close()
	url := serve(t, proxy.Config{PeerURLs: []string{newCluster(t, m.URL).peer.URL}})
	await(t, url, 1)
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%q arrives as the whole", b)
	}
}

func TestThePeersAreRemembered(t *testing.T) {
	m, _ := newMember(t)
	c := newCluster(t, m.URL)
	file := filepath.Join(t.TempDir(), "proxy", "cluster")
	await(t, serve(t, proxy.Config{PeerURLs: []string{c.peer.URL}, File: file}), 1)
	b, err := os.ReadFile(file)
	if want := `{"PeerURLs":["` + c.peer.URL + `"]}`; err != nil || string(b) != want {
		t.Errorf("the file holds %s, %v, want %s", b, err, want)
	}
	// What is remembered wins.
	await(t, serve(t, proxy.Config{PeerURLs: []string{"http://127.0.0.1:1"}, File: file}), 1)
	for content, want := range map[string]string{"{": file, `{"PeerURLs":[]}`: "no peer URL of any member is known"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := proxy.New(proxy.Config{File: file}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %s in the file: %v, want %s", content, err, want)
		}
	}
}

func TestMembersThatComeAreFound(t *testing.T) {
	m, _ := newMember(t)
	c := newCluster(t)
	url := serve(t, proxy.Config{PeerURLs: []string{c.peer.URL}, RefreshInterval: time.Millisecond})
	await(t, url, 0)
	c.mu.Lock()
	c.urls = []string{m.URL, "nonsense"}
	c.mu.Unlock()
	await(t, url, 1)
	c.peer.Close() // whoever is known stays known
	if status, _ := ask(t, "GET", url+"/v2/keys/", ""); status != 200 {
		t.Errorf("GET: %d", status)
	}
}

// counts is an Observer.
type counts struct {
	mu    sync.Mutex
	lines []string
}

func (c *counts) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
}

func (c *counts) Accepted(method string) { c.add("accepted %s", method) }
func (c *counts) Handled(method string, status int, _ time.Duration) {
	c.add("handled %s %d", method, status)
}
func (c *counts) Dropped(method, reason string) { c.add("dropped %s %s", method, reason) }

func TestRequestsAreCounted(t *testing.T) {
	m, _ := newMember(t)
	c := new(counts)
	url := serve(t, proxy.Config{PeerURLs: []string{newCluster(t, m.URL).peer.URL}, Observer: c})
	await(t, url, 1)
	ask(t, "GET", url+"/v2/keys/none", "")
	url = serve(t, proxy.Config{PeerURLs: []string{"http://127.0.0.1:1"}, Observer: c})
	ask(t, "PUT", url+"/v2/keys/a", "")
	c.mu.Lock()
	defer c.mu.Unlock()
	want := []string{"accepted GET", "handled GET 404", "accepted PUT", "dropped PUT zero_endpoints"}
	if !slices.Equal(c.lines, want) {
		t.Errorf("counted %q, want %q", c.lines, want)
	}
}
