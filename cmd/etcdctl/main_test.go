package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
)

func TestMain(m *testing.M) {
	testscript.Main(withServer{m}, map[string]func(){"etcdctl": main})
}

// withServer runs the tests, and removes the server if they have had it built.
type withServer struct{ *testing.M }

func (w withServer) Run() int {
	status := w.M.Run()
	if built.path != "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
	return status
}

// built is this project's server, once a test has asked for it.
var built struct {
	once sync.Once
	path string
	err  error
}

// server returns the path of this project's server.
func server(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "etcdctl-test-")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "etcd")
		if out, err := exec.Command("go", "build", "-o", built.path, "../etcd").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build the server: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// TestScripts runs each script in testdata against a server of its own, which
// ETCDCTL_ENDPOINTS and URL name. URL2 names another one. Beside the usual commands there are
//
//	status N COMMAND...     runs a command that must exit with this status
//	polled N                waits until N watches have begun in all
//	member ID NAME [URL]... adds a member to what the server tells
//	leaderless              takes the leader away
//	sick                    makes the server unhealthy
func TestScripts(t *testing.T) {
	command := func(do func(s *fakeServer, args []string) error) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(do(ts.Value(serverKey{}).(*fakeServer), args))
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			s, err := newServer()
			if err != nil {
				return err
			}
			env.Defer(s.close)
			env.Setenv("ETCDCTL_ENDPOINTS", s.http.URL)
			env.Setenv("URL", s.http.URL)
			other, err := newServer()
			if err != nil {
				return err
			}
			env.Defer(other.close)
			env.Setenv("URL2", other.http.URL)
			env.Values[serverKey{}] = s
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":     status,
			"polled":     command((*fakeServer).polled),
			"member":     command((*fakeServer).member),
			"leaderless": command((*fakeServer).leaderless),
			"sick":       command((*fakeServer).sick),
		},
	})
}

// status is the command of that name.
func status(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

type serverKey struct{}

// fakeServer is a store in memory behind the HTTP API, of a cluster that says what
// the script wants it to.
type fakeServer struct {
	store *tree.Local
	http  *httptest.Server

	mu      sync.Mutex
	begun   *sync.Cond // watches changed
	watches int
	members []httpapi.Member
	leader  uint64
	failure error
}

func newServer() (*fakeServer, error) {
	store, err := tree.NewLocal()
	if err != nil {
		return nil, err
	}
	s := &fakeServer{store: store, leader: 0x2e1259d415f2a040}
	s.begun = sync.NewCond(&s.mu)
	api := httpapi.New(httpapi.Config{Store: store, Cluster: s})
	s.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("wait") == "true" {
			w = &watchWriter{ResponseWriter: w, server: s}
		}
		api.ServeHTTP(w, r)
	}))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members = []httpapi.Member{{
		ID: s.leader, Name: "a", PeerURLs: []string{"http://127.0.0.1:2380"}, ClientURLs: []string{s.http.URL},
	}}
	return s, nil
}

// watchWriter counts a watch once its headers are sent.
type watchWriter struct {
	http.ResponseWriter
	server *fakeServer
}

func (w *watchWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *watchWriter) WriteHeader(status int) {
	w.ResponseWriter.WriteHeader(status)
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	w.server.watches++
	w.server.begun.Broadcast()
}

func (s *fakeServer) close() {
	s.http.CloseClientConnections()
	s.http.Close()
	_ = s.store.Close()
}

func (s *fakeServer) polled(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.watches < n {
		s.begun.Wait()
	}
	return nil
}

func (s *fakeServer) member(args []string) error {
	id, err := strconv.ParseUint(args[0], 16, 64)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members = append(s.members, httpapi.Member{
		ID: id, Name: args[1], PeerURLs: []string{"http://127.0.0.1:7001"}, ClientURLs: args[2:],
	})
	return nil
}

func (s *fakeServer) leaderless([]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leader = 0
	return nil
}

func (s *fakeServer) sick([]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = errors.New("no quorum")
	return nil
}

// The rest makes it an httpapi.Cluster.

func (s *fakeServer) ClusterID() uint64          { return 0xcdf818194e3a8c32 }
func (s *fakeServer) Raft() (index, term uint64) { return 1, 1 }

func (s *fakeServer) Members() []httpapi.Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.members)
}

func (s *fakeServer) Leader() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader
}

func (s *fakeServer) CheckHealth(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}
