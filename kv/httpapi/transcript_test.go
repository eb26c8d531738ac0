package httpapi_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"
	"golang.org/x/crypto/bcrypt"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/auth"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
)

// A script replays the commands of a transcript against a server:
//
//	http          one request a line: METHOD TARGET [FORM]; answers with status,
//	              store index and body
//	json          likewise, with a JSON document for a body; answers without the
//	              store index
//	raw           one request as it goes over the wire; answers with all headers
//	watch NAME    begins a watch of the target given; answers with its headers
//	recv NAME...  what the watches have received since; "(waiting)" or "(ended)"
//	              for those with nothing new
//	hangup NAME   closes a watch's connection
//	sleep D       lets time pass
//	stop          ends the server
//
// For http and json, as=NAME:PASSWORD says who sends the requests.
type script struct {
	dial   func() (net.Conn, error)
	settle func() // waits until nothing moves any more
	stop   func()
	// patience is how long recv may wait for what is expected, where settle
	// cannot tell.
	patience time.Duration
	// pace is set where a change of members may be lost that comes right after
	// another one: the original answers a moment before its raft counts the change
	// as applied, until when it drops the next.
	pace bool

	watches map[string]*watching
}

// watching is a watch under way. Its goroutine ends with the connection.
type watching struct {
	conn net.Conn
	mu   sync.Mutex
	got  []string
	done bool
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	out, err := s.command(d)
	if err != nil {
		d.Fatalf(t, "%s: %v", d.Cmd, err)
	}
	return out
}

func (s *script) command(d *datadriven.TestData) (string, error) {
	switch d.Cmd {
	case "http", "json":
		var out strings.Builder
		for line := range strings.Lines(d.Input) {
			answer, err := s.request(line, requestKind{json: d.Cmd == "json", as: as(d)})
			if err != nil {
				return "", fmt.Errorf("%s: %w", line, err)
			}
			out.WriteString(answer)
			if s.pace && strings.Contains(line, " /v2/members") {
				// A read that goes through the log comes after that moment.
				if _, err := s.request("GET /v2/keys/?quorum=true", requestKind{}); err != nil {
					return "", err
				}
			}
		}
		return out.String(), nil
	case "raw":
		return s.raw(d.Input)
	case "watch":
		return s.watch(d.CmdArgs[0].Key, d.Input)
	case "recv":
		return s.recv(d), nil
	case "hangup":
		err := s.watches[d.CmdArgs[0].Key].conn.Close()
		s.settle()
		return "", err
	case "sleep":
		pause, err := time.ParseDuration(d.CmdArgs[0].Key)
		time.Sleep(pause)
		return "", err
	case "stop":
		s.stop()
		return "", nil
	}
	return "", fmt.Errorf("unknown command")
}

// exchange sends a request and reads the head of its answer.
func (s *script) exchange(method, wire string) (net.Conn, *http.Response, error) {
	conn, err := s.dial()
	if err != nil {
		return nil, nil, err
	}
	if _, err := io.WriteString(conn, wire); err != nil {
		conn.Close()
		return nil, nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, resp, nil
}

// requestKind is what a request is besides its line in a transcript.
type requestKind struct {
	json bool
	as   string // name:password
}

func as(d *datadriven.TestData) string {
	for _, arg := range d.CmdArgs {
		if arg.Key == "as" {
			return strings.Join(arg.Vals, ",")
		}
	}
	return ""
}

// spell spells a request out.
func (k requestKind) spell(line string) (method, wire string) {
	method, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	target, body, _ := strings.Cut(rest, " ")
	wire = fmt.Sprintf("%s %s HTTP/1.1\r\nHost: etcd\r\n", method, target)
	switch {
	case body != "" && k.json:
		wire += "Content-Type: application/json\r\n"
	case body != "":
		wire += "Content-Type: application/x-www-form-urlencoded\r\n"
	}
	if k.as != "" {
		wire += "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(k.as)) + "\r\n"
	}
	return method, wire + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

func (s *script) request(line string, kind requestKind) (string, error) {
	method, wire := kind.spell(line)
	conn, resp, err := s.exchange(method, wire)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	shown := head(resp)
	if kind.json {
		shown = fmt.Sprint(resp.StatusCode)
	}
	return strings.TrimRight(shown+" "+string(body), " \n") + "\n", nil
}

// head gives the status and the headers that matter for keys.
func head(resp *http.Response) string {
	out := fmt.Sprint(resp.StatusCode)
	if index := resp.Header.Get("X-Etcd-Index"); index != "" {
		out += " [" + index + "]"
	}
	if to := resp.Header.Get("Location"); to != "" {
		out += " -> " + to
	}
	return out
}

func (s *script) raw(input string) (string, error) {
	headers, body, _ := strings.Cut(input+"\n", "\n\n")
	method, _, _ := strings.Cut(headers, " ")
	body = strings.TrimSuffix(body, "\n")
	wire := strings.ReplaceAll(strings.TrimRight(headers, "\n"), "\n", "\r\n")
	conn, resp, err := s.exchange(method, wire+"\r\n\r\n"+body)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var lines []string
	for name, values := range resp.Header {
		if name != "Date" {
			lines = append(lines, name+": "+strings.Join(values, " | "))
		}
	}
	slices.Sort(lines)
	lines = append([]string{resp.Status}, lines...)
	return fmt.Sprintf("%s\n%q\n", strings.Join(lines, "\n"), content), nil
}

func (s *script) watch(name, target string) (string, error) {
	conn, resp, err := s.exchange("GET", fmt.Sprintf("GET %s HTTP/1.1\r\nHost: etcd\r\n\r\n", strings.TrimSpace(target)))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		defer conn.Close()
		body, err := io.ReadAll(resp.Body)
		return head(resp) + " " + string(body), err
	}
	w := &watching{conn: conn}
	if s.watches == nil {
		s.watches = map[string]*watching{}
	}
	s.watches[name] = w
	go w.read(resp.Body)
	return head(resp) + "\n", nil
}

func (w *watching) read(body io.Reader) {
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		w.mu.Lock()
		w.got = append(w.got, lines.Text())
		w.mu.Unlock()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	w.conn.Close()
}

// recv tells what watches have received since it was last called.
func (s *script) recv(d *datadriven.TestData) string {
	for start := time.Now(); ; {
		s.settle()
		var out strings.Builder
		for _, arg := range d.CmdArgs {
			fmt.Fprintf(&out, "%s: %s\n", arg.Key, s.watches[arg.Key].peek())
		}
		if time.Since(start) < s.patience && mask(out.String()) != mask(d.Expected) {
			continue
		}
		for _, arg := range d.CmdArgs {
			s.watches[arg.Key].forget()
		}
		return out.String()
	}
}

func (w *watching) peek() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(w.got) > 0:
		return strings.Join(w.got, "\n   ")
	case w.done:
		return "(ended)"
	}
	return "(waiting)"
}

func (w *watching) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = nil
}

var (
	times   = regexp.MustCompile(`"expiration":"[^"]*","ttl":\d+`)
	indexes = regexp.MustCompile(`("(modified|created|)[iI]ndex": ?|\[|X-Raft-(Index|Term): )\d+`)
)

// mask hides the times in an answer.
func mask(s string) string { return times.ReplaceAllString(s, `"expiration":"T","ttl":N`) }

// maskIndexes hides how often the store has changed.
func maskIndexes(s string) string { return indexes.ReplaceAllString(s, `${1}N`) }

func (s *script) close() {
	for _, w := range s.watches {
		w.conn.Close()
	}
}

// pipeListener is a listener in memory.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// firstIndex is the store index that transcripts begin at: that of a new
// member of the original.
const firstIndex = 3

// A front is a way to serve an API. All tests that serve one have both answer.
type front struct {
	name string
	api  func(httpapi.Config) *httpapi.API
}

var fronts = []front{
	{"loop", httpapi.New},
	{"net/http", func(cfg httpapi.Config) *httpapi.API { return httpapi.WithoutLoop(httpapi.New(cfg)) }},
}

// eachFront runs a test with each front, on a clock of its own.
func eachFront(t *testing.T, test func(t *testing.T, f front)) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, f) })
		})
	}
}

// localScript serves a new store in memory, inside a bubble.
func localScript(t *testing.T, f front, cfg httpapi.Config) *script {
	store, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	for range firstIndex - 1 {
		mustSet(t, store, "/_pad")
	}
	if _, err := store.Delete(t.Context(), "/_pad", kv.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	authority, err := auth.Open(t.Context(), auth.Config{Store: store, Cost: bcrypt.MinCost})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Store, cfg.Auth, cfg.Version = store, authority, "3.4.23"
	api := f.api(cfg)
	l := newPipeListener()
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() {
		if err := api.Serve(ctx, l); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	stop := func() { cancel(); served.Wait() }
	t.Cleanup(func() {
		stop()
		authority.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &script{dial: l.dial, settle: synctest.Wait, stop: stop}
}

func mustSet(t *testing.T, s kv.Store, key string) {
	t.Helper()
	if _, err := s.Set(t.Context(), key, "", kv.SetOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestTranscripts replays sessions with the server on a clock of their own,
// which begins on 2000-01-01.
func TestTranscripts(t *testing.T) {
	for _, dir := range []string{"testdata/keys", "testdata/admin", "testdata/ours"} {
		datadriven.Walk(t, dir, func(t *testing.T, path string) {
			eachFront(t, func(t *testing.T, f front) {
				s := localScript(t, f, configFor(path))
				defer s.close()
				datadriven.RunTest(t, path, s.run)
			})
		})
	}
}

// configFor is the configuration of the server that a transcript is about.
func configFor(path string) httpapi.Config {
	name := filepath.Base(path)
	c := newTrio(strings.HasPrefix(name, "sick"))
	cfg := httpapi.Config{Cluster: c, Changer: c, Activity: c.Activity, LogLevel: new(slog.LevelVar)}
	switch name {
	case "limits.txt":
		cfg.MaxWatches, cfg.MaxBodyBytes = 2, 20
	case "cors.txt":
		cfg.CORS = []string{"*"}
	case "cors-list.txt":
		cfg.CORS = []string{"http://a.example", "http://b.example"}
	case "fixed.txt":
		cfg.Changer, cfg.Activity, cfg.LogLevel = nil, nil, nil
	}
	return cfg
}

// TestTheOriginalAnswersTheSame replays the transcripts that hold for any server
// of the v2 API with etcd itself, where that is installed. To it each step on
// the way to users and roles is a change of the store, so indexes differ there.
func TestTheOriginalAnswersTheSame(t *testing.T) {
	for dir, mask := range map[string]func(string) string{
		"testdata/keys":  mask,
		"testdata/admin": func(s string) string { return maskIndexes(mask(s)) },
	} {
		datadriven.Walk(t, dir, func(t *testing.T, path string) {
			t.Parallel() // a new member mostly waits
			s := etcdScript(t)
			defer s.close()
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				out := s.run(t, d)
				if mask(out) == mask(d.Expected) {
					return d.Expected
				}
				return out
			})
		})
	}
}

// etcdScript starts the original, with its data in a directory of the test.
func etcdScript(t *testing.T) *script {
	bin, err := exec.LookPath("etcd")
	if err != nil {
		t.Skip("etcd is not on PATH: not compared with the original")
	}
	version, err := exec.Command(bin, "--version").Output()
	if err != nil || !strings.HasPrefix(string(version), "etcd Version: 3.4.") {
		t.Skipf("%s is not etcd 3.4: not compared with the original", bin)
	}
	client, peer := freeAddr(t), freeAddr(t)
	cmd := exec.Command(bin, "--enable-v2=true", "--data-dir", t.TempDir(), "--log-level", "error",
		"--listen-client-urls", "http://"+client, "--advertise-client-urls", "http://"+client,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer,
		"--initial-cluster", "default=http://"+peer)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	s := &script{
		dial:     func() (net.Conn, error) { return net.Dial("tcp", client) },
		settle:   func() { time.Sleep(time.Millisecond) },
		patience: 30 * time.Second,
		pace:     true,
	}
	want := fmt.Sprintf("200 [%d]", firstIndex)
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		got, err := s.request("GET /v2/keys/", requestKind{})
		if err == nil && strings.HasPrefix(got, want) {
			return s
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("etcd does not answer as a new member: got %q, %v, want %q", got, err, want)
		}
	}
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
