package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"etcdctl": main})
}

// TestScripts runs each script in testdata against a server of its own, which
// ETCDCTL_ENDPOINTS and URL name. Beside the usual commands there are
//
//	status N COMMAND...     runs a command that must exit with this status
//	polled N                waits until N watches have begun in all
//	member ID NAME [URL]... adds a member to what the server tells
//	leaderless              takes the leader away
//	sick                    makes the server unhealthy
func TestScripts(t *testing.T) {
	command := func(do func(s *server, args []string) error) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(do(ts.Value(serverKey{}).(*server), args))
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
			env.Values[serverKey{}] = s
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":     status,
			"polled":     command((*server).polled),
			"member":     command((*server).member),
			"leaderless": command((*server).leaderless),
			"sick":       command((*server).sick),
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

// server is a store in memory behind the HTTP API, of a cluster that says what
// the script wants it to.
type server struct {
	store *tree.Local
	http  *httptest.Server

	mu      sync.Mutex
	begun   *sync.Cond // watches changed
	watches int
	members []httpapi.Member
	leader  uint64
	failure error
}

func newServer() (*server, error) {
	store, err := tree.NewLocal()
	if err != nil {
		return nil, err
	}
	s := &server{store: store, leader: 0x2e1259d415f2a040}
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
	server *server
}

func (w *watchWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *watchWriter) WriteHeader(status int) {
	w.ResponseWriter.WriteHeader(status)
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	w.server.watches++
	w.server.begun.Broadcast()
}

func (s *server) close() {
	s.http.CloseClientConnections()
	s.http.Close()
	_ = s.store.Close()
}

func (s *server) polled(args []string) error {
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

func (s *server) member(args []string) error {
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

func (s *server) leaderless([]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leader = 0
	return nil
}

func (s *server) sick([]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = errors.New("no quorum")
	return nil
}

// The rest makes it an httpapi.Cluster.

func (s *server) ClusterID() uint64          { return 0xcdf818194e3a8c32 }
func (s *server) Raft() (index, term uint64) { return 1, 1 }

func (s *server) Members() []httpapi.Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.members)
}

func (s *server) Leader() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader
}

func (s *server) CheckHealth(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}
