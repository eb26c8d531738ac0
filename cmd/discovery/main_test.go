package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strakeproject/strake/kv/client"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"discovery": main})
}

func TestFlags(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}

var serving = regexp.MustCompile(`msg=serving addr=(\S+)`)

// start runs the program until the test ends, and returns its URL.
func start(t *testing.T, args ...string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, append(args, "-a", "127.0.0.1:0")...)
	cmd.Args[0] = "discovery"
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("after SIGTERM discovery ended with %v", err)
		}
	})
	for sc := bufio.NewScanner(stderr); sc.Scan(); {
		if m := serving.FindStringSubmatch(sc.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, stderr) }() // until it ends
			return "http://" + m[1]
		}
	}
	t.Fatalf("discovery %v does not serve", args)
	return ""
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %s, %v", url, resp.Status, b, err)
	}
	return string(b)
}

// newToken returns a token's URL at a service that tells another one.
func newToken(t *testing.T, service, told string) string {
	t.Helper()
	token, ok := strings.CutPrefix(get(t, service+"/new?size=3"), told)
	if !ok {
		t.Fatalf("tokens are not told under %s", told)
	}
	return service + token
}

func TestTokensAreKeptInItsOwnStoreOrInACluster(t *testing.T) {
	own := start(t, "--data-dir", t.TempDir(), "-h", "https://here")
	other := start(t, "--host=https://there/", "--etcd", own+"/nowhere")
	token := newToken(t, own, "https://here")
	if got := get(t, token+"/_config/size"); !strings.Contains(got, `"value":"3"`) {
		t.Errorf("the size is %s", got)
	}
	if got := get(t, own+"/health"); got != "OK" {
		t.Errorf("health is %s", got)
	}
	if got := get(t, own+"/metrics"); !strings.Contains(got, "go_goroutines") {
		t.Errorf("metrics are %s", got)
	}
	resp, err := http.Get(other + "/new")
	if err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without a store /new answers %v, %v", resp.Status, err)
	}
	resp.Body.Close()
}

func TestTheOriginalBootstrapsWithIt(t *testing.T) {
	etcd, err := exec.LookPath("etcd")
	if err != nil {
		t.Skip("needs etcd")
	}
	token := newToken(t, start(t, "--data-dir", t.TempDir()), "https://discovery.etcd.io")
	addrs := freeAddrs(t, 6)
	var endpoints []string
	for i := range 3 {
		peer, clients := "http://"+addrs[2*i], "http://"+addrs[2*i+1]
		cmd := exec.Command(etcd, "--name", fmt.Sprintf("n%d", i), "--data-dir", t.TempDir(), "--discovery", token,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--listen-client-urls", clients, "--advertise-client-urls", clients,
			"--heartbeat-interval=20", "--election-timeout=200", "--log-outputs=stderr")
		cmd.Stderr = t.Output()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			_ = cmd.Wait() // killed
		})
		endpoints = append(endpoints, clients)
	}
	c, err := client.New(client.Config{Endpoints: endpoints})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range endpoints {
		for {
			if healthy, err := c.Healthy(t.Context(), e); err == nil && healthy {
				break
			}
			select {
			case <-t.Context().Done():
				t.Fatal("the test ended first")
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	if got := get(t, token); strings.Count(got, "http://127.") != 3 {
		t.Errorf("the token holds %s", got)
	}
}

// freeAddrs returns addresses to listen on.
func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	pid := os.Getpid()
	// An address of the machine that this process has to itself, so that nobody
	// takes a port of it between its choice and its use.
	host := fmt.Sprintf("127.%d.%d.%d", 64+pid>>14&63, pid>>7&127, 1+pid&127)
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", host+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}
