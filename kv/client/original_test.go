package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
)

// startOriginal starts etcd itself, where that is installed, and returns its
// client URL.
func startOriginal(t *testing.T) string {
	bin, err := exec.LookPath("etcd")
	if err != nil {
		t.Skip("etcd is not on PATH: not tested against the original")
	}
	version, err := exec.Command(bin, "--version").Output()
	if err != nil || !strings.HasPrefix(string(version), "etcd Version: 3.4.") {
		t.Skipf("%s is not etcd 3.4: not tested against the original", bin)
	}
	addr, peer := "http://"+freeAddr(t), "http://"+freeAddr(t)
	cmd := exec.Command(bin, "--enable-v2=true", "--data-dir", t.TempDir(), "--log-level", "error",
		"--listen-client-urls", addr, "--advertise-client-urls", addr,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", "default="+peer)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return addr
}

// freeAddr returns an address to listen on that nobody else gets while the test
// runs: its port is held on one loopback address of this process, and used on
// another.
func freeAddr(t *testing.T) string {
	t.Helper()
	pid := os.Getpid()
	host := func(net int) string { return fmt.Sprintf("127.%d.%d.%d", net+pid>>14&63, pid>>7&127, 1+pid&127) }
	l, err := net.Listen("tcp", host(64)+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(host(128), port)
}

// waitReady waits until a new member has published itself.
func waitReady(t *testing.T, c *client.Client) (index uint64) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		ev, err := c.Get(t.Context(), "/", kv.GetOptions{})
		members, listErr := c.Members(t.Context())
		if err == nil && listErr == nil && len(members) == 1 && len(members[0].ClientURLs) == 1 && ev.Index >= 3 {
			return ev.Index
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("etcd is not ready: %v, %v", err, listErr)
		}
	}
}

var until = regexp.MustCompile(` until [^ }]*`)

func TestTheOriginalServesAClient(t *testing.T) {
	addr := startOriginal(t)
	c, err := client.New(client.Config{Endpoints: []string{"http://127.0.0.1:1", addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	index := waitReady(t, c)
	if err := c.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.Endpoints(); len(got) != 1 || got[0] != addr {
		t.Errorf("endpoints after a sync: %q, want %s", got, addr)
	}
	if m, err := c.Leader(t.Context()); err != nil || m.Name != "default" {
		t.Errorf("leader %+v, %v; want the only member", m, err)
	}
	if ok, err := c.Healthy(t.Context(), addr); !ok || err != nil {
		t.Errorf("healthy: %v, %v; want true", ok, err)
	}

	local := newLocal(t)
	for local.Index() < index-1 { // bring both to the same index
		set(t, local, "/pad")
	}
	if _, err := local.Delete(t.Context(), "/pad", kv.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	compareWithLocal(t, c, local)
	watchTheOriginal(t, c)
}

// compareWithLocal gives two stores the same operations.
func compareWithLocal(t *testing.T, original, local kv.Store) {
	ev, err := local.Get(t.Context(), "/", kv.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	index := ev.Index
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		o := drawOp(rng.IntN, index)
		ev, err := o.do(t.Context(), local)
		index = max(index, ev.Index)
		want := until.ReplaceAllString(outcome(ev, err), " until T")
		got := until.ReplaceAllString(outcome(o.do(t.Context(), original)), " until T")
		if got != want {
			t.Fatalf("operation %d, %s:\noriginal %s\n    ours %s", i, o.name, got, want)
		}
	}
}

// watchTheOriginal watches while a writer is busy.
func watchTheOriginal(t *testing.T, c *client.Client) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w, err := c.Watch(ctx, "/watched", kv.WatchOptions{Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	const n = 600                     // with the hidden ones more than the history holds
	ahead := make(chan struct{}, n/3) // which is not too far ahead for the history
	wrote := make(chan error, 1)
	go func() {
		for i := range n {
			select {
			case ahead <- struct{}{}:
			case <-ctx.Done():
			}
			_, err := c.Set(ctx, fmt.Sprintf("/watched/%d", i), "", kv.SetOptions{})
			_, err2 := c.Set(ctx, "/watched/_hidden", "", kv.SetOptions{})
			if err := errors.Join(err, err2); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- nil
	}()
	next := 0
	for ev, err := range w.Events {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("/watched/%d", next); ev.Node.Key != want || ev.Index <= w.Index {
			t.Fatalf("event %+v, want one of %s", ev, want)
		}
		<-ahead
		if next++; next == n {
			break
		}
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	if _, err := c.Watch(ctx, "/watched", kv.WatchOptions{From: 1}); !errors.Is(err, kv.ErrHistoryCleared) {
		t.Errorf("a watch from 1: got %v, want %v", err, kv.ErrHistoryCleared)
	}
}
