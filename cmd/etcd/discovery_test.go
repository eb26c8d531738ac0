package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strakeproject/strake/cmd/internal/goflags"
	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
	"github.com/strakeproject/strake/kv/discovery"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
)

// newService serves discovery tokens.
func newService(t *testing.T) *httptest.Server {
	t.Helper()
	l, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := httptest.NewUnstartedServer(nil)
	s.Config.Handler = discovery.NewServer(discovery.ServerConfig{
		Store: l, Keys: httpapi.New(httpapi.Config{Store: l}), URL: "http://" + s.Listener.Addr().String(),
	})
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// discovered are the flags of a member that looks for the others.
func discovered(t *testing.T, i int, peer, token string, more ...string) []string {
	return slices.Concat(anyPort("http"), quick(), []string{
		"--name", name(i), "--data-dir", t.TempDir(), "--discovery", token,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
	}, more)
}

// checkTogether checks that the servers are one cluster.
func checkTogether(t *testing.T, servers []*server) {
	t.Helper()
	if _, err := servers[0].Set(t.Context(), "/a", "1", kv.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	for i, s := range servers {
		if ev, err := s.Get(t.Context(), "/a", kv.GetOptions{Quorum: true}); err != nil || ev.Node.Value != "1" {
			t.Errorf("server %d has %+v, %v", i, ev.Node, err)
		}
	}
}

func TestMembersFindEachOtherByToken(t *testing.T) {
	token := body(t, newService(t).URL+"/new?size=2")
	peers := freeURLs(t, 3)
	servers := startAll(t, 2, nil, func(i int) []string { return discovered(t, i, peers[i], token) })
	checkTogether(t, servers)

	// Who comes too late is a proxy, or nothing.
	late := launch(t, nil, nil, discovered(t, 2, peers[2], token, "--discovery-fallback=exit")...).server
	<-late.logs
	if err := late.cmd.Wait(); err == nil || err.Error() != "exit status 1" {
		t.Errorf("too late without a fallback, etcd ended with %v", err)
	}
	for _, s := range servers {
		s.terminate(t)
	}
}

func TestTheOriginalServesTokens(t *testing.T) {
	etcd, err := exec.LookPath("etcd")
	if err != nil {
		t.Skip("needs etcd")
	}
	urls := freeURLs(t, 4)
	cmd := exec.Command(etcd, "--enable-v2=true", "--data-dir", t.TempDir(), "--log-outputs=stderr",
		"--listen-peer-urls", urls[0], "--listen-client-urls", urls[1], "--advertise-client-urls", urls[1])
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // killed
	})
	c, err := client.New(client.Config{Endpoints: urls[1:2]})
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := c.Set(t.Context(), "/tokens/t/_config/size", "2", kv.SetOptions{}); err == nil {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the test ended first")
		case <-time.After(20 * time.Millisecond):
		}
	}
	servers := startAll(t, 2, nil, func(i int) []string {
		return discovered(t, i, urls[2+i], urls[1]+"/v2/keys/tokens/t")
	})
	checkTogether(t, servers)
	for _, s := range servers {
		s.terminate(t)
	}
}

func TestAStartThatWasGivenUpDoesNotUseUpTheToken(t *testing.T) {
	token := body(t, newService(t).URL+"/new?size=2")
	peers := freeURLs(t, 2)
	args := discovered(t, 0, peers[0], token)
	first := launch(t, nil, nil, args...).server
	for !strings.Contains(body(t, token), peers[0]) {
		select {
		case <-first.logs:
			t.Fatal("etcd ended")
		case <-time.After(10 * time.Millisecond):
		}
	}
	first.terminate(t)
	servers := startAll(t, 2, nil, func(i int) []string {
		if i == 0 {
			return args
		}
		return discovered(t, i, peers[i], token)
	})
	checkTogether(t, servers)
	for _, s := range servers {
		s.terminate(t)
	}
}

func TestALatecomerProxiesTheDiscoveredCluster(t *testing.T) {
	token := body(t, newService(t).URL+"/new?size=1")
	urls := freeURLs(t, 3)
	m := start(t, slices.Concat(quick(), []string{
		"--data-dir", t.TempDir(), "--discovery", token, "--listen-peer-urls", urls[0], "--initial-advertise-peer-urls", urls[0],
		"--listen-client-urls", urls[1], "--advertise-client-urls", urls[1],
	})...)
	defer m.terminate(t)
	args := discovered(t, 1, urls[2], token)
	p := start(t, args...)
	awaitEndpoint(t, p.url)
	if _, err := p.Set(t.Context(), "/a", "1", kv.SetOptions{}); err != nil {
		t.Error(err)
	}
	p.terminate(t)
	dir := args[slices.Index(args, "--data-dir")+1]
	if _, err := os.Stat(filepath.Join(dir, "proxy", "cluster")); err != nil {
		t.Error(err)
	}
}

// records is a resolver whose domain names the given URLs.
type records []string

func (r records) LookupSRV(_ context.Context, service, _, name string) (string, []*net.SRV, error) {
	if service != "etcd-server-test" || name != "example.com" {
		return "", nil, &net.DNSError{Err: "no such host", Name: service + "." + name, IsNotFound: true}
	}
	var all []*net.SRV
	for _, s := range r {
		u, err := url.Parse(s)
		if err != nil {
			return "", nil, err
		}
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			return "", nil, err
		}
		all = append(all, &net.SRV{Target: u.Hostname() + ".", Port: uint16(port)})
	}
	return name, all, nil
}

func (records) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	a, err := netip.ParseAddr(host)
	return []netip.Addr{a}, err
}

func TestMembersFindEachOtherByDNS(t *testing.T) {
	urls := freeURLs(t, 4)
	peers, clients := urls[:2], urls[2:]
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range peers {
		f := parse(t, slices.Concat(quick(), []string{
			"--name", name(i), "--data-dir", t.TempDir(), "--discovery-srv=example.com", "--discovery-srv-name=test",
			"--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i],
			"--listen-client-urls", clients[i], "--advertise-client-urls", clients[i],
		})...)
		s, err := f.settle()
		if err != nil {
			t.Fatal(err)
		}
		s.resolver = records(peers)
		wg.Go(func() {
			log := slog.New(slog.NewTextHandler(t.Output(), nil))
			if err := s.run(ctx, log, new(slog.LevelVar)); err != nil {
				t.Error(err)
			}
		})
	}
	for {
		resp, err := http.Get(clients[0] + "/v2/members")
		if err == nil {
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if strings.Contains(string(b), clients[0]) && strings.Contains(string(b), clients[1]) {
				break
			}
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the test ended first")
		case <-time.After(10 * time.Millisecond):
		}
	}
	cancel()
	wg.Wait()
}

// parse parses flags without looking at the environment.
func parse(t *testing.T, args ...string) *flags {
	t.Helper()
	var f flags
	parser := newParser(&f, &resolver{})
	if _, err := parser.Parse(goflags.Normalize(parser.Model.Node, args)); err != nil {
		t.Fatal(fmt.Errorf("parse %v: %w", args, err))
	}
	return &f
}
