package clientv2test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/v2"
)

// ours is this project's server, built once.
var ours string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "clientv2test-")
	if err == nil {
		ours = filepath.Join(dir, "etcd")
		build := exec.Command("go", "build", "-o", ours, "./cmd/etcd")
		build.Dir = "../../.." // the project's module
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		err = build.Run()
	}
	status := 1
	if err == nil {
		status = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, "build the server:", err)
	}
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// server is a member that is alone in its cluster.
type server struct {
	url, peer string
}

// onBoth runs a test with a client of this project's server, and with one of the
// original's.
func onBoth(t *testing.T, test func(t *testing.T, s server, c client.Client)) {
	t.Parallel()
	for _, k := range []struct {
		name, path string
		flags      []string
	}{
		{"ours", ours, nil},
		{"original", original(), []string{"--enable-v2=true", "--log-level=error"}},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			if k.path == "" {
				t.Skip("etcd 3.4 is not on PATH: not tested against the original")
			}
			s := start(t, k.path, k.flags)
			c := s.client(t, client.Config{})
			s.wait(t, c)
			test(t, s, c)
		})
	}
}

// original finds the original's server; "" if there is none.
func original() string {
	path, err := exec.LookPath("etcd")
	if err != nil {
		return ""
	}
	version, err := exec.Command(path, "--version").Output()
	if err != nil || !bytes.HasPrefix(version, []byte("etcd Version: 3.4.")) {
		return ""
	}
	return path
}

func start(t *testing.T, path string, flags []string) server {
	t.Helper()
	s := server{url: "http://" + freeAddr(t), peer: "http://" + freeAddr(t)}
	cmd := exec.Command(path, append([]string{
		"--data-dir", t.TempDir(),
		"--listen-client-urls", s.url, "--advertise-client-urls", s.url,
		"--listen-peer-urls", s.peer, "--initial-advertise-peer-urls", s.peer,
		"--initial-cluster", "default=" + s.peer,
	}, flags...)...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the server said:\n%s", log.Bytes())
		}
	})
	return s
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

func (s server) client(t *testing.T, cfg client.Config) client.Client {
	t.Helper()
	cfg.Endpoints = append(cfg.Endpoints, s.url)
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wait waits until the server takes writes and has published itself.
func (s server) wait(t *testing.T, c client.Client) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		_, err := client.NewKeysAPI(c).Get(t.Context(), "/", &client.GetOptions{Quorum: true})
		members, listErr := client.NewMembersAPI(c).List(t.Context())
		if err = errors.Join(err, listErr); err == nil && len(members) == 1 && len(members[0].ClientURLs) == 1 {
			return
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("the server is not ready: %v, members %v", err, members)
		}
	}
}

// within bounds what should not take long.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// code returns the code of an error of the key space; 0 if it is none.
func code(err error) int {
	if e, ok := errors.AsType[client.Error](err); ok {
		return e.Code
	}
	return 0
}

// refusal checks for an error that holds a text.
func refusal(t *testing.T, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v, want an error with %q", what, err, text)
	}
}
