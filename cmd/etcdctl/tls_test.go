package main

import (
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
)

func TestServersWithCertificatesAreChecked(t *testing.T) {
	store, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	srv := httptest.NewUnstartedServer(httpapi.New(httpapi.Config{Store: store}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}

	t.Setenv("ETCDCTL_ENDPOINTS", srv.URL)
	if stderr, err := etcdctl(t, "set", "a", "1"); err == nil || !strings.Contains(stderr, "certificate signed by unknown authority") {
		t.Errorf("without the authority: %v, %s", err, stderr)
	}
	if stderr, err := etcdctl(t, "--insecure-transport=false", "--ca-file", ca, "set", "a", "1"); err != nil {
		t.Errorf("with --ca-file: %v, %s", err, stderr)
	}
	t.Setenv("ETCDCTL_CA_FILE", ca)
	if stderr, err := etcdctl(t, "get", "a"); err != nil {
		t.Errorf("with ETCDCTL_CA_FILE: %v, %s", err, stderr)
	}
}
