package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
	"github.com/strakeproject/strake/kv/member"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"etcd": main})
}

func TestFlags(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		// status N ARGS... runs etcd and expects it to exit with N.
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": func(ts *testscript.TestScript, _ bool, args []string) {
				err := ts.Exec("etcd", args[1:]...)
				exit, ok := errors.AsType[*exec.ExitError](err)
				if got := fmt.Sprint(exit.ExitCode()); !ok || got != args[0] {
					ts.Fatalf("etcd %v: %v, want exit status %s", args[1:], err, args[0])
				}
			},
		},
	})
}

// A server is the program in a process of its own.
type server struct {
	*client.Client
	url  string
	cmd  *exec.Cmd
	logs chan struct{} // closed when standard error has ended
}

// start runs the program and waits until it serves clients.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	return launch(t, nil, nil, args...).await(t)
}

// launch runs the program, with more variables and with the settings for its
// https URLs.
func launch(t *testing.T, env []string, settings *tls.Config, args ...string) *starting {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: exec.Command(exe, args...), logs: make(chan struct{})}
	s.cmd.Args[0] = "etcd"
	s.cmd.Env = append(os.Environ(), env...)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // most have ended by then
		<-s.logs                 // what follows the log ends before the test
	})
	st := &starting{server: s, settings: settings, addr: make(chan string, 1)}
	go st.follow(t, stderr)
	return st
}

// starting is a server that may not serve yet.
type starting struct {
	server   *server
	settings *tls.Config
	addr     chan string
}

var serving = regexp.MustCompile(`msg="serving clients" addr=(\S+)`)

// follow reads the log.
func (st *starting) follow(t *testing.T, stderr io.Reader) {
	defer close(st.server.logs)
	for sc := bufio.NewScanner(stderr); sc.Scan(); {
		fmt.Fprintln(t.Output(), sc.Text())
		if m := serving.FindStringSubmatch(sc.Text()); m != nil {
			select {
			case st.addr <- m[1]:
			default: // of a second URL
			}
		}
	}
}

// await waits until the server serves clients.
func (st *starting) await(t *testing.T) *server {
	t.Helper()
	s := st.server
	select {
	case addr := <-st.addr:
		s.url = "http://" + addr
		if st.settings != nil {
			s.url = "https://" + addr
		}
	case <-s.logs:
		t.Fatalf("etcd %v ended: %v", s.cmd.Args[1:], s.cmd.Wait())
	}
	var err error
	if s.Client, err = client.New(client.Config{Endpoints: []string{s.url}, TLS: st.settings}); err != nil {
		t.Fatal(err)
	}
	return s
}

// startAll runs several servers, which may need each other to start.
func startAll(t *testing.T, n int, settings *tls.Config, args func(i int) []string) []*server {
	t.Helper()
	var all []*starting
	for i := range n {
		all = append(all, launch(t, nil, settings, args(i)...))
	}
	var servers []*server
	for _, st := range all {
		servers = append(servers, st.await(t))
	}
	return servers
}

// anyPort are the flags of a member that clients reach anywhere.
func anyPort(scheme string) []string {
	return []string{"--listen-client-urls=" + scheme + "://127.0.0.1:0", "--advertise-client-urls=" + scheme + "://client:1"}
}

// quick are the flags of a member that is in a hurry.
func quick() []string { return []string{"--heartbeat-interval=20", "--election-timeout=200"} }

// terminate sends SIGTERM and expects a clean end.
func (s *server) terminate(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.logs
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM etcd ended with %v", err)
	}
}

func TestAMemberServesClientsAndComesBack(t *testing.T) {
	args := []string{
		"-data-dir", filepath.Join(t.TempDir(), "data"), "--listen-peer-urls=http://127.0.0.1:0",
		"--listen-client-urls=http://127.0.0.1:0", "--advertise-client-urls=http://client:1",
	}
	s := start(t, args...)
	if _, err := s.Set(t.Context(), "/a", "1", kv.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), "/a", "1", kv.CreateOptions{}); !errors.Is(err, kv.ErrKeyExists) {
		t.Errorf("create of an existing key: %v", err)
	}
	watching, err := http.Get(s.url + "/v2/keys/a?wait=true")
	if err != nil {
		t.Fatal(err)
	}
	defer watching.Body.Close()
	s.terminate(t)
	if b, _ := io.ReadAll(watching.Body); len(b) > 0 { // it may be cut off
		t.Errorf("a watch of a server that stops answers %s", b)
	}

	s = start(t, args...)
	defer s.terminate(t)
	ev, err := s.Get(t.Context(), "/a", kv.GetOptions{Quorum: true})
	if err != nil || ev.Node.Value != "1" {
		t.Errorf("after a restart /a is %+v, %v", ev.Node, err)
	}
	if got, want := body(t, s.url+"/health"), `{"health":"true"}`; got != want {
		t.Errorf("health is %s, want %s", got, want)
	}
	if got := body(t, s.url+"/v2/members"); !strings.Contains(got, `"name":"default"`) {
		t.Errorf("members are %s", got)
	}
}

func body(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestThreeMembersMakeACluster(t *testing.T) {
	peers := freeURLs(t, 3)
	var list []string
	for i, u := range peers {
		list = append(list, fmt.Sprintf("n%d=%s", i, u))
	}
	var servers []*server
	for i, u := range peers {
		servers = append(servers, start(t, "--name", fmt.Sprintf("n%d", i), "--data-dir", t.TempDir(),
			"--listen-peer-urls", u, "--initial-advertise-peer-urls", u, "--initial-cluster", strings.Join(list, ","),
			"--listen-client-urls=http://127.0.0.1:0", "--advertise-client-urls=http://client:1"))
	}
	for i, s := range servers {
		key := fmt.Sprintf("/k%d", i)
		if _, err := s.Set(t.Context(), key, "v", kv.SetOptions{}); err != nil {
			t.Fatal(err)
		}
		for j, other := range servers {
			if _, err := other.Get(t.Context(), key, kv.GetOptions{Quorum: true}); err != nil {
				t.Errorf("server %d does not have %s: %v", j, key, err)
			}
		}
	}
	servers[0].terminate(t)
	if _, err := servers[1].Set(t.Context(), "/after", "v", kv.SetOptions{}); err != nil {
		t.Errorf("two of three members take no write: %v", err)
	}
	for _, s := range servers[1:] {
		s.terminate(t)
	}
}

func TestAServerJoinsAClusterAndLeavesIt(t *testing.T) {
	peers := freeURLs(t, 2)
	ls, err := member.Listen(t.Context(), peers[:1])
	if err != nil {
		t.Fatal(err)
	}
	m, err := member.Open(t.Context(), member.Config{
		Name: "n0", DataDir: t.TempDir(), PeerListeners: ls, AdvertisePeerURLs: peers[:1],
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop(t.Context())
	if _, err := m.Set(t.Context(), "/a", "1", kv.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	added, err := m.AddMember(t.Context(), peers[1:])
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, "--name=n1", "--data-dir", t.TempDir(), "--initial-cluster-state=existing",
		"--listen-peer-urls", peers[1], "--initial-advertise-peer-urls", peers[1],
		"--initial-cluster", fmt.Sprintf("n0=%s,n1=%s", peers[0], peers[1]), "--strict-reconfig-check=false",
		"--snapshot-count=1000", "--listen-client-urls=http://127.0.0.1:0", "--advertise-client-urls=http://client:1")
	ev, err := s.Get(t.Context(), "/a", kv.GetOptions{Quorum: true})
	if err != nil || ev.Node.Value != "1" {
		t.Errorf("the new server has %+v, %v", ev.Node, err)
	}
	if err := m.RemoveMember(t.Context(), added.ID); err != nil {
		t.Fatal(err)
	}
	<-s.logs
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("removed, the server ended with %v", err)
	}
}

// freeURLs returns URLs to listen on.
func freeURLs(t *testing.T, n int) []string {
	t.Helper()
	var urls []string
	for range n {
		l, err := net.Listen("tcp", loopback()+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		urls = append(urls, "http://"+l.Addr().String())
	}
	return urls
}

// loopback returns an address of this machine that this process has to itself,
// so that nobody takes a port of it between its choice and its use.
func loopback() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 64+pid>>14&63, pid>>7&127, 1+pid&127)
}
