package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
)

var originals = flag.Bool("originals", false, "test the originals against each other, too")

// TestBothToolsSayTheSameOfBothServers runs one set of transcripts with this
// program and the original's, each against this project's server and the
// original's, with the same output. Where the originals are not installed, what
// is left of that. The originals alone need -args -originals, and with -rewrite
// they write the transcripts. Directives:
//
//	sh      each line is a command for a shell, in which etcdctl is the tool
//	        and $B the store index when the file began; prints what goes to stdout,
//	        then what goes to stderr after "E|", then the exit status if not 0
//	B       moves $B to the present index
//
// What differs from run to run is replaced: indexes by B+n, URLs, ids, times.
func TestBothToolsSayTheSameOfBothServers(t *testing.T) {
	if raceDetector {
		t.Skip("a thousand short processes take long under the race detector and have few goroutines")
	}
	ours, err := exec.LookPath("etcdctl") // testscript.Main has put it first
	if err != nil {
		t.Fatal(err)
	}
	ourServer := server(t)
	for _, tool := range []struct {
		name, path string
		missing    string
	}{
		{"our tool", ours, ""},
		{"the original tool", original("etcdctl", ours), "etcdctl 3.4 is not on PATH: not tested with the original tool"},
	} {
		for _, server := range []struct {
			name, path string
			flags      []string
			missing    string
		}{
			{"our server", ourServer, nil, ""},
			{"the original server", original("etcd", ""), []string{"--enable-v2=true", "--log-level=error"}, "etcd 3.4 is not on PATH: not tested against the original server"},
		} {
			t.Run(tool.name+" and "+server.name, func(t *testing.T) {
				t.Parallel()
				switch {
				case testing.Short() && (tool.path != ours || server.path != ourServer):
					t.Skip("the originals are left out with -short")
				case tool.path == "":
					t.Skip(tool.missing)
				case server.path == "":
					t.Skip(server.missing)
				case tool.path != ours && server.path != ourServer && !*originals:
					t.Skip("the originals alone are tested with -originals")
				}
				datadriven.Walk(t, "testdata/both", func(t *testing.T, path string) {
					t.Parallel()
					s := startSession(t, tool.path, server.path, server.flags)
					datadriven.RunTest(t, path, s.run)
				})
			})
		}
	}
}

// original finds a program of the original's 3.4 on PATH, leaving out one file;
// "" if there is none.
func original(name, not string) string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if path == not {
			continue
		}
		cmd := exec.Command(path, "--version")
		cmd.Env = append(os.Environ(), "ETCDCTL_API=2")
		if out, err := cmd.Output(); err == nil && regexp.MustCompile(`(?i)^(etcd|etcdctl) version: 3\.4\.`).Match(out) {
			return path
		}
	}
	return ""
}

// session is a server of its own for one transcript, and a tool.
type session struct {
	url, peer, id string
	dir           string // where commands run; its bin holds the tool
	base          uint64
	client        *client.Client
}

func startSession(t *testing.T, tool, server string, flags []string) *session {
	s := &session{url: "http://" + freeAddr(t), peer: "http://" + freeAddr(t), dir: t.TempDir()}
	startServer(t, server, filepath.Join(s.dir, "default.etcd"), s.url, s.peer, flags...)
	if err := os.Mkdir(filepath.Join(s.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(tool, filepath.Join(s.dir, "bin", "etcdctl")); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.client, err = client.New(client.Config{Endpoints: []string{s.url}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	s.id = waitReady(t, s.client)
	s.base = s.index(t)
	return s
}

// startServer starts a server that is alone in its cluster, and stops it when
// the test ends.
func startServer(t *testing.T, server, dataDir, url, peer string, flags ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(server, append([]string{
		"--data-dir", dataDir,
		"--listen-client-urls", url, "--advertise-client-urls", url,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", "default=" + peer,
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
			t.Logf("%s:\n%s", server, log.Bytes())
		}
	})
	return cmd
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

// waitReady waits until a server has published itself and knows its cluster's
// version, which the original writes in any order, and returns its id.
func waitReady(t *testing.T, c *client.Client) (id string) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		members, err := c.Members(t.Context())
		_, leaderErr := c.Leader(t.Context())
		_, readErr := c.Get(t.Context(), "/", kv.GetOptions{Quorum: true})
		versionErr := versionDecided(c.Endpoints()[0])
		if err := errors.Join(err, leaderErr, readErr, versionErr); err == nil && len(members) == 1 && len(members[0].ClientURLs) == 1 {
			return members[0].ID
		} else if time.Since(start) > time.Minute {
			t.Fatalf("the server is not ready: %v, members %v", err, members)
		}
	}
}

func versionDecided(endpoint string) error {
	resp, err := http.Get(endpoint + "/version")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && bytes.Contains(b, []byte("not_decided")) {
		err = fmt.Errorf("version %s", b)
	}
	return err
}

func (s *session) index(t *testing.T) uint64 {
	ev, err := s.client.Get(t.Context(), "/", kv.GetOptions{Quorum: true})
	if err != nil {
		t.Fatal(err)
	}
	return ev.Index
}

// run carries out one directive.
func (s *session) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "B":
		s.base = s.index(t)
		return ""
	case "sh":
		var b strings.Builder
		for line := range strings.SplitSeq(d.Input, "\n") {
			s.shell(t, &b, line)
		}
		return b.String()
	}
	d.Fatalf(t, "unknown directive %s", d.Cmd)
	return ""
}

// shellTimeout ends a command that hangs.
const shellTimeout = time.Minute

func (s *session) shell(t *testing.T, b *strings.Builder, line string) {
	ctx, cancel := context.WithTimeout(t.Context(), shellTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(s.dir, "bin")+":"+os.Getenv("PATH"),
		"ETCDCTL_API=2", "ETCDCTL_ENDPOINTS="+s.url, "URL="+s.url, "ID="+s.id, "PEER="+s.peer, fmt.Sprint("B=", s.base))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	b.WriteString(s.normal(stdout.String()))
	for l := range strings.Lines(s.normal(stderr.String())) {
		if !strings.HasPrefix(l, "stty: ") { // which the original runs without a terminal, too
			b.WriteString("E|" + l)
		}
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		fmt.Fprintf(b, "exit %d\n", exit.ExitCode())
	} else if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
}

var (
	indexes = regexp.MustCompile(`(\[|Index: |Index":|/0{10,}|!= |waitIndex=)(\d+)\b`)
	times   = regexp.MustCompile(`"expiration":"[^"]*"`)
	ttls    = regexp.MustCompile(`(TTL: |"ttl":)9\d\d\b`)
	blanks  = regexp.MustCompile(` +\n`)
	roles   = regexp.MustCompile(`(?m)^Roles: +`)
	newID   = regexp.MustCompile(`with ID [0-9a-f]{8,16}`)
)

// normal replaces what differs from run to run.
func (s *session) normal(out string) string {
	out = strings.NewReplacer(s.url, "$URL", s.peer, "$PEER", s.id, "$ID", s.dir, "$DIR").Replace(out)
	out = indexes.ReplaceAllStringFunc(out, func(m string) string {
		parts := indexes.FindStringSubmatch(m)
		n, err := strconv.ParseUint(parts[2], 10, 64)
		if err != nil || n < s.base || n > s.base+1000 {
			return m
		}
		return fmt.Sprintf("%sB+%d", parts[1], n-s.base)
	})
	out = times.ReplaceAllString(out, `"expiration":"T"`)
	out = ttls.ReplaceAllString(out, "${1}1000")
	out = newID.ReplaceAllString(out, "with ID NEW")
	out = roles.ReplaceAllString(out, "Roles: ") // of which the original has more blanks
	out = blanks.ReplaceAllString(out, "\n")
	return out
}
