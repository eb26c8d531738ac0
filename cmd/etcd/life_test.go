package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv"
)

// runCluster starts members on the given peer URLs, with data below dir.
func runCluster(t *testing.T, dir string, peers []string, more ...string) []*server {
	t.Helper()
	return startAll(t, len(peers), nil, func(i int) []string { return memberArgs(dir, peers, i, more...) })
}

func memberArgs(dir string, peers []string, i int, more ...string) []string {
	return slices.Concat(anyPort("http"), []string{
		"--name", name(i), "--data-dir", filepath.Join(dir, name(i)), "--initial-cluster", members(peers),
		"--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i],
	}, more)
}

// leads reports whether a server leads its cluster.
func leads(t *testing.T, s *server) bool {
	t.Helper()
	return strings.Contains(body(t, s.url+"/metrics"), "etcd_server_is_leader 1")
}

func TestALeaderHandsOverWhenItStops(t *testing.T) {
	dir, peers := t.TempDir(), freeURLs(t, 3)
	// Not in such a hurry that on a busy machine a leader steps down for want of
	// heartbeats, since the patient ones would not follow another for long.
	servers := runCluster(t, dir, peers, "--heartbeat-interval=50", "--election-timeout=1000")
	if _, err := servers[0].Set(t.Context(), "/a", "0", kv.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	leader := slices.IndexFunc(servers, func(s *server) bool { return leads(t, s) })
	if leader < 0 {
		t.Fatal("nobody leads")
	}
	// The others come back so patient that without a hand-over nobody would lead
	// before the test is over.
	for i, s := range servers {
		if i == leader {
			continue
		}
		s.terminate(t)
		servers[i] = start(t, memberArgs(dir, peers, i, "--heartbeat-interval=50", "--election-timeout=50000")...)
		if _, err := servers[i].Set(t.Context(), "/a", "1", kv.SetOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	servers[leader].terminate(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i, s := range servers {
		if i == leader {
			continue
		}
		if _, err := s.Set(ctx, "/a", "2", kv.SetOptions{}); err != nil {
			t.Errorf("after the leader has stopped member %d takes no write: %v", i, err)
		}
	}
	for i, s := range servers {
		if i != leader {
			_ = s.cmd.Process.Kill() // there is nobody left to hand over to
			<-s.logs
		}
	}
}

func TestOneOfThreeGoesOnAlone(t *testing.T) {
	dir, peers := t.TempDir(), freeURLs(t, 3)
	servers := runCluster(t, dir, peers, quick()...)
	for _, s := range servers {
		if _, err := s.Set(t.Context(), "/a", s.url, kv.SetOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range servers {
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-s.logs
	}
	s := start(t, memberArgs(dir, peers, 2, slices.Concat(quick(), []string{"--force-new-cluster"})...)...)
	if ev, err := s.Get(t.Context(), "/a", kv.GetOptions{Quorum: true}); err != nil || ev.Node.Value != servers[2].url {
		t.Errorf("what was written is %+v, %v", ev.Node, err)
	}
	var doc struct {
		Members []struct{ PeerURLs []string }
	}
	if err := json.Unmarshal([]byte(body(t, s.url+"/v2/members")), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Members) != 1 || !slices.Equal(doc.Members[0].PeerURLs, peers[2:]) {
		t.Errorf("members are %+v", doc.Members)
	}
	s.terminate(t)
}

func TestSystemdIsToldWhenTheMemberServes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	told := func() string {
		b := make([]byte, 100)
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	args := slices.Concat(anyPort("http"), quick(), []string{"--data-dir", t.TempDir(), "--listen-peer-urls=http://127.0.0.1:0"})
	s := launch(t, []string{"NOTIFY_SOCKET=" + path}, nil, args...).await(t)
	if got := told(); got != "READY=1" {
		t.Errorf("systemd is told %q", got)
	}
	if got := body(t, s.url+"/v2/members"); !strings.Contains(got, `"name":"default"`) {
		t.Errorf("told so the members are %s", got)
	}
	s.terminate(t)
	if got := told(); got != "STOPPING=1" {
		t.Errorf("at the end systemd is told %q", got)
	}
}

func TestWhatGoesOnInsideIsShown(t *testing.T) {
	metrics := freeURLs(t, 1)[0]
	s := start(t, slices.Concat(anyPort("http"), quick(), []string{
		"--data-dir", t.TempDir(), "--listen-peer-urls=http://127.0.0.1:0", "--listen-metrics-urls", metrics, "--enable-pprof",
		"--cors=http://app.example",
	})...)
	defer s.terminate(t)
	if _, err := s.Set(t.Context(), "/a", "1", kv.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{s.url, metrics} {
		got := body(t, url+"/metrics")
		for _, want := range []string{
			"etcd_server_has_leader 1", "etcd_server_leader_changes_seen_total", "etcd_server_proposals_committed_total",
			"etcd_server_proposals_applied_total", "etcd_server_proposals_pending", "etcd_server_proposals_failed_total 0",
			"etcd_disk_wal_fsync_duration_seconds_bucket", "etcd_http_received_total", "process_resident_memory_bytes", "go_goroutines",
			"raftstore_term",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%s/metrics has no %s", url, want)
			}
		}
		if got := body(t, url+"/health"); got != `{"health":"true"}` {
			t.Errorf("%s/health is %s", url, got)
		}
	}
	if got := body(t, s.url+"/debug/pprof/cmdline"); !strings.Contains(got, "--enable-pprof") {
		t.Errorf("the command line is %q", got)
	}
	if got := body(t, s.url+"/v2/stats/self"); !strings.Contains(got, `"state":"StateLeader"`) {
		t.Errorf("stats are %s", got)
	}
	req, err := http.NewRequest(http.MethodGet, s.url+"/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "http://app.example")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "http://app.example" {
		t.Errorf("the origin that may ask is %q", got)
	}
}

// The variables of the cloud-config that published scripts for clusters have, on
// addresses of this machine; ports are taken as they are free.
func TestTheVariablesOfACloudConfigAreEnough(t *testing.T) {
	token := body(t, newService(t).URL+"/new?size=1")
	urls := freeURLs(t, 4)
	s := launch(t, []string{
		"ETCD_NAME=core1", "ETCD_DATA_DIR=" + t.TempDir(), "ETCD_DISCOVERY=" + token, "ETCD_DISCOVERY_SRV=", "ETCD_PROXY=off",
		"ETCD_ADVERTISE_CLIENT_URLS=" + urls[0] + "," + urls[1], "ETCD_LISTEN_CLIENT_URLS=" + urls[0] + "," + urls[1],
		"ETCD_INITIAL_ADVERTISE_PEER_URLS=" + urls[2], "ETCD_LISTEN_PEER_URLS=" + urls[2] + "," + urls[3],
	}, nil).await(t)
	for _, url := range urls[:2] {
		resp, err := http.Get(url + "/v2/machines")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if _, err := s.Set(t.Context(), "/message", "Hello", kv.SetOptions{}); err != nil {
		t.Error(err)
	}
	s.terminate(t)
}
