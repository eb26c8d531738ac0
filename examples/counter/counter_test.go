package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProgram makes the test binary the program.
const asProgram = "STRAKE_TEST_COUNTER"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestTheDemoShowsThatNothingIsLost(t *testing.T) {
	var out, errs strings.Builder
	if status := run([]string{"--exit"}, &out, &errs); status != 0 {
		t.Fatalf("status %d: %s", status, errs.String())
	}
	for _, want := range []string{"through a: 40\n", "stopped; added 2 through ", "started again; read through it: 42\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, out.String())
		}
	}
}

func TestBadArgumentsAreNamed(t *testing.T) {
	for _, tc := range []struct {
		args, want string
		status     int
	}{
		{"serve --name a", "missing flags", 2},
		{"fly", "unexpected argument fly", 2},
		{"serve --name x --dir DIR --listen 127.0.0.1:0 --peer-url http://127.0.0.1:0 --initial a=http://127.0.0.1:1", `no member "x"`, 1},
		{"serve --name x --dir DIR --listen 127.0.0.1:0 --peer-url http://127.0.0.1:0 --join http://127.0.0.1:1", "no member tells of its cluster", 1},
	} {
		var out, errs strings.Builder
		args := strings.Fields(strings.ReplaceAll(tc.args, "DIR", t.TempDir()))
		if status := run(args, &out, &errs); status != tc.status || !strings.Contains(errs.String(), tc.want) {
			t.Errorf("%s: status %d and %q, want %d and %q", tc.args, status, errs.String(), tc.status, tc.want)
		}
	}
}

// server is `counter serve` in a process of its own, a cluster of one.
type server struct {
	t    *testing.T
	cmd  *exec.Cmd
	args []string
	base string
}

// freeAddr is an address of loopback that this process alone uses.
func freeAddr(t *testing.T) string {
	t.Helper()
	pid := os.Getpid()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 64+pid>>14&63, pid>>7&127, 1+pid&127))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func newServer(t *testing.T) *server {
	peer := "http://" + freeAddr(t)
	s := &server{t: t, args: []string{
		"serve", "--name", "a", "--dir", t.TempDir(), "--listen", "127.0.0.1:0", "--peer-url", peer, "--initial", "a=" + peer,
	}}
	s.start()
	t.Cleanup(func() { s.end(syscall.SIGKILL) })
	return s
}

// start runs the program until it says where it serves clients.
func (s *server) start() {
	s.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(exe, s.args...)
	s.cmd.Env = append(os.Environ(), asProgram+"=1")
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if _, addr, ok := strings.Cut(lines.Text(), `msg="serving clients" addr=`); ok {
			s.base = "http://" + addr
			go func() { _, _ = io.Copy(io.Discard, stderr) }() // ends with the process
			return
		}
		s.t.Log(lines.Text())
	}
	s.t.Fatalf("the program ended: %v", s.cmd.Wait())
}

// end signals the process and returns its exit status.
func (s *server) end(sig os.Signal) int {
	_ = s.cmd.Process.Signal(sig) // it may have ended before
	_ = s.cmd.Wait()              // the status tells
	return s.cmd.ProcessState.ExitCode()
}

func (s *server) request(method, path string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(body))
}

func TestTheFrontSpeaksAsDocumented(t *testing.T) {
	s := newServer(t)
	for _, tc := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/registers/x", 200, `{"name":"x","value":0}`},
		{"POST", "/registers/x?add=2", 200, `{"old":0,"value":2,"changed":true}`},
		{"PUT", "/registers/x?value=10&old=2", 200, `{"old":2,"value":10,"changed":true}`},
		{"PUT", "/registers/x?value=11&old=2", 409, `{"old":10,"value":10,"changed":false}`},
		{"PUT", "/registers/x?value=7", 200, `{"old":10,"value":7,"changed":true}`},
		{"GET", "/registers", 200, `"registers":{"x":7}`},
		{"POST", "/registers/x?add=much", 400, `add="much" is no number`},
		{"PUT", "/registers/x", 400, `value="" is no number`},
		{"PUT", "/registers/" + strings.Repeat("x", maxName+1) + "?value=1", 400, "limit 4096"},
		{"GET", "/status", 200, `"role":"leader"`},
		{"GET", "/members", 200, `"name":"a"`},
		{"POST", "/members?name=b", 400, "want name and url"},
		{"POST", "/members?name=b&url=http://127.0.0.1:1", 200, `"learner":true`},
		{"POST", "/members?name=c&url=http://127.0.0.1:1", 409, "member exists"},
		{"POST", "/members/123/promote", 404, "unknown member"},
		{"DELETE", "/members/xyz", 400, "no member's id"},
	} {
		if status, got := s.request(tc.method, tc.path); status != tc.status || !strings.Contains(got, tc.want) {
			t.Errorf("%s %.40s: %d %s, want %d %s", tc.method, tc.path, status, got, tc.status, tc.want)
		}
	}
}

func TestAKilledMemberComesBackWithWhatItAcknowledged(t *testing.T) {
	s := newServer(t)
	for n := range 3 {
		want := fmt.Sprintf(`{"old":%d,"value":%d,"changed":true}`, n, n+1)
		if status, got := s.request("POST", "/registers/x?add=1"); status != 200 || got != want {
			t.Fatalf("start %d: %d %s, want %s", n+1, status, got, want)
		}
		if n == 2 {
			break
		}
		s.end(syscall.SIGKILL)
		s.start()
	}
	if status := s.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d after SIGTERM, want 0", status)
	}
}
