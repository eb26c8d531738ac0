package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv"
)

// awaitEndpoint waits until a proxy knows a member.
func awaitEndpoint(t *testing.T, url string) {
	t.Helper()
	for strings.Contains(body(t, url+"/v2/config/local/proxy"), "[]") {
		select {
		case <-t.Context().Done():
			t.Fatal("the test ended first")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestAProxyServesAClusterAndBecomesAMember(t *testing.T) {
	urls := freeURLs(t, 3)
	m := start(t, slices.Concat(quick(), []string{
		"--name=n0", "--data-dir", t.TempDir(), "--listen-peer-urls", urls[0], "--initial-advertise-peer-urls", urls[0],
		"--listen-client-urls", urls[1], "--advertise-client-urls", urls[1],
	})...)
	defer m.terminate(t)
	dir := t.TempDir()
	args := []string{"--listen-client-urls=http://127.0.0.1:0", "--data-dir", dir, "--proxy-refresh-interval=50"}
	p := start(t, slices.Concat(args, []string{"--proxy=on", "--initial-cluster=n0=" + urls[0]})...)
	awaitEndpoint(t, p.url)
	if _, err := p.Set(t.Context(), "/a", "1", kv.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	// A request counts as handled when its answer is out, which the client may
	// have read by then.
	for !strings.Contains(body(t, p.url+"/metrics"), `etcd_proxy_handled_total{code="201",method="PUT"} 1`) {
		select {
		case <-t.Context().Done():
			t.Fatal("the test ended first")
		case <-time.After(10 * time.Millisecond):
		}
	}
	p.terminate(t)

	// What it knows is kept, and wins over flags.
	p = start(t, slices.Concat(args, []string{"--proxy=readonly", "--initial-cluster=n0=http://127.0.0.1:1"})...)
	awaitEndpoint(t, p.url)
	if ev, err := p.Get(t.Context(), "/a", kv.GetOptions{}); err != nil || ev.Node.Value != "1" {
		t.Errorf("the proxy has %+v, %v", ev.Node, err)
	}
	req, err := http.NewRequest(http.MethodPut, p.url+"/v2/keys/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusNotImplemented {
		t.Errorf("a read-only proxy answers a write with %v, %v", resp, err)
	}
	resp.Body.Close()
	p.terminate(t)

	// It is added as a member, and starts as one without its memory.
	resp, err = http.Post(m.url+"/v2/members", "application/json", strings.NewReader(`{"peerURLs":["`+urls[2]+`"]}`))
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("the member is added with %v, %v", resp, err)
	}
	resp.Body.Close()
	if err := os.RemoveAll(filepath.Join(dir, "proxy")); err != nil {
		t.Fatal(err)
	}
	n := start(t, slices.Concat(args, quick(), []string{
		"--name=n1", "--advertise-client-urls=http://client:1", "--initial-cluster-state=existing",
		"--initial-cluster=n0=" + urls[0] + ",n1=" + urls[2], "--listen-peer-urls", urls[2], "--initial-advertise-peer-urls", urls[2],
	})...)
	if ev, err := n.Get(t.Context(), "/a", kv.GetOptions{Quorum: true}); err != nil || ev.Node.Value != "1" {
		t.Errorf("the member has %+v, %v", ev.Node, err)
	}
	n.terminate(t)
}

func TestADirectoryBelongsToAMemberOrToAProxy(t *testing.T) {
	s := &settings{}
	s.member.DataDir = t.TempDir()
	s.Proxying.Proxy = "off"
	check := func(want bool) {
		t.Helper()
		if got, err := s.isProxy(); err != nil || got != want {
			t.Errorf("a proxy: %v, %v, want %v", got, err, want)
		}
	}
	check(false)
	s.Proxying.Proxy = "on"
	check(true)
	fill := func(name string) {
		t.Helper()
		path := filepath.Join(s.member.DataDir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fill("member/identity.json")
	check(false)
	fill("proxy/cluster")
	if _, err := s.isProxy(); err == nil || !strings.Contains(err.Error(), "both member and proxy directories exist") {
		t.Errorf("with both: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(s.member.DataDir, "member")); err != nil {
		t.Fatal(err)
	}
	s.Proxying.Proxy = "off"
	check(true)
}
