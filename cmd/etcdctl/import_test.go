package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
)

func TestTheOriginalsKeysAreImported(t *testing.T) {
	etcd := original("etcd", "")
	if etcd == "" {
		t.Skip("etcd 3.4 is not on PATH: no import from the original")
	}
	dir := t.TempDir()
	url, peer := "http://"+freeAddr(t), "http://"+freeAddr(t)
	startServer(t, etcd, filepath.Join(dir, "old"), url, peer, "--enable-v2=true", "--log-level=error")
	old, err := client.New(client.Config{Endpoints: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	waitReady(t, old)
	for i := range 50 {
		for _, key := range []string{"/d/%d", "/_hidden/%d"} {
			if _, err := old.Set(t.Context(), fmt.Sprintf(key, i), "é&<>\n", kv.SetOptions{TTL: time.Duration(i%2) * time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := startOn(t, server(t), filepath.Join(dir, "new"), "default", "http://"+freeAddr(t))
	if stderr, err := etcdctl(t, "--endpoints", s.Endpoints()[0], "import", "--from", url, "--hidden", "/_hidden"); err != nil || stderr != "" {
		t.Fatalf("import: %v, %s", err, stderr)
	}
	for _, key := range []string{"/d", "/_hidden"} {
		opts := kv.GetOptions{Sorted: true}
		was, err := old.Get(t.Context(), key, opts)
		if err != nil {
			t.Fatal(err)
		}
		is, err := s.Get(t.Context(), key, opts)
		if err != nil || len(was.Node.Nodes) != 50 || len(is.Node.Nodes) != 50 {
			t.Fatalf("%s has %d nodes of %d, %v", key, len(is.Node.Nodes), len(was.Node.Nodes), err)
		}
		for i, n := range is.Node.Nodes {
			o := was.Node.Nodes[i]
			if n.Key != o.Key || n.Value != o.Value || n.Expiration.Sub(o.Expiration).Abs() > time.Minute {
				t.Errorf("imported %+v of %+v", n, o)
			}
		}
	}
}

func TestRolesMayBeSeparatedByCommas(t *testing.T) {
	got := ""
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got += r.Method + " " + r.URL.Path + " " + string(b)
	}))
	defer srv.Close()
	stderr, err := etcdctl(t, "--no-sync", "--endpoints", strings.TrimPrefix(srv.URL, "http://"), "user", "grant", "al", "--roles", "a,b", "--roles", "c")
	if want := `PUT /v2/auth/users/al {"user":"al","grant":["a","b","c"]}`; err != nil || got != want {
		t.Errorf("sent %s, %v, %s; want %s", got, err, stderr, want)
	}
}
