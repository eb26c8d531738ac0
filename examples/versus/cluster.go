package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A system is a server program to compare.
type system struct {
	name  string
	bin   string
	flags []string // besides those that both take
}

// ours builds this module's server in dir.
func ours(ctx context.Context, dir string) (system, error) {
	s := system{name: "strake", bin: filepath.Join(dir, "strake-etcd")}
	out, err := exec.CommandContext(ctx, "go", "build", "-o", s.bin, "github.com/strakeproject/strake/cmd/etcd").CombinedOutput()
	if err != nil {
		return s, fmt.Errorf("build our server: %w\n%s", err, out)
	}
	return s, nil
}

// errNoOriginal says that there is nothing to compare with.
var errNoOriginal = errors.New("no etcd 3.4 on PATH")

// original finds the original's 3.4 series, the last one with a v2 API.
func original(ctx context.Context) (system, error) {
	bin, err := exec.LookPath("etcd")
	if err != nil {
		return system{}, errNoOriginal
	}
	out, err := exec.CommandContext(ctx, bin, "--version").Output()
	if err != nil {
		return system{}, fmt.Errorf("%s --version: %w", bin, err)
	}
	version, ok := strings.CutPrefix(string(out), "etcd Version: ")
	if version, _, _ = strings.Cut(version, "\n"); !ok || !strings.HasPrefix(version, "3.4.") {
		return system{}, fmt.Errorf("%w: %s is %q", errNoOriginal, bin, version)
	}
	return system{name: "etcd " + version, bin: bin, flags: []string{"--enable-v2=true", "--log-level=error", "--cors=http://nobody.invalid:1"}}, nil
}

// A cluster is a few members of one system on loopback, each a process.
type cluster struct {
	system
	dir     string
	members []*process
}

// A process is a running member.
type process struct {
	addr string // of the client API
	peer string // for other members
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	log  bytes.Buffer  // what it wrote; readable then
}

// start starts a new cluster of n members with data in dir, and waits until each
// is healthy and all know where all serve clients, and the cluster's version:
// after that the store changes by itself no more.
func (s system) start(ctx context.Context, n int, dir string) (*cluster, error) {
	addrs, err := freeAddrs(2 * n)
	if err != nil {
		return nil, err
	}
	c := &cluster{system: s, dir: dir}
	for i := range n {
		c.members = append(c.members, &process{addr: addrs[i], peer: addrs[n+i], done: make(chan struct{})})
	}
	for i, p := range c.members {
		if err := c.run(p, i, "new"); err != nil {
			c.members = c.members[:i]
			return nil, errors.Join(err, c.stop())
		}
	}
	if err := c.awaitReady(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start %d members of %s: %w", n, s.name, err), c.stop())
	}
	return c, nil
}

// run starts the process of a member, in a cluster that is new or existing.
func (c *cluster) run(p *process, i int, state string) error {
	var initial []string
	for i, p := range c.members {
		initial = append(initial, fmt.Sprintf("n%d=http://%s", i, p.peer))
	}
	client, peer := "http://"+p.addr, "http://"+p.peer
	p.cmd = exec.Command(c.bin, append([]string{
		"--name", fmt.Sprintf("n%d", i), "--data-dir", filepath.Join(c.dir, fmt.Sprintf("n%d", i)),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-state", state,
	}, c.flags...)...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // it is killed when it does not end well
	}()
	return nil
}

// join adds a member, and waits until it is healthy and all know of it.
func (c *cluster) join(ctx context.Context) error {
	addrs, err := freeAddrs(2)
	if err != nil {
		return err
	}
	body := fmt.Sprintf(`{"peerURLs":["http://%s"]}`, addrs[1])
	resp, err := http.Post("http://"+c.members[0].addr+"/v2/members", "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("add a member: %s", resp.Status)
	}
	p := &process{addr: addrs[0], peer: addrs[1], done: make(chan struct{})}
	c.members = append(c.members, p)
	if err := c.run(p, len(c.members)-1, "existing"); err != nil {
		c.members = c.members[:len(c.members)-1]
		return err
	}
	return c.awaitReady(ctx)
}

// startTimeout bounds how long members may take to become ready.
const startTimeout = 5 * time.Minute

func (c *cluster) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, p := range c.members {
		for !p.ready(ctx, len(c.members)) {
			select {
			case <-tick.C:
			case <-p.done:
				return fmt.Errorf("%s ended: %s", p.addr, p.log.String())
			case <-ctx.Done():
				return fmt.Errorf("%s is not ready: %w", p.addr, ctx.Err())
			}
		}
	}
	return nil
}

// ready reports whether a member is healthy and knows the client URLs of n and
// the cluster's version.
func (p *process) ready(ctx context.Context, n int) bool {
	health, err := fetch(ctx, p.addr, "/health")
	if err != nil || !strings.Contains(health, `"true"`) {
		return false
	}
	version, err := fetch(ctx, p.addr, "/version")
	if err != nil || strings.Contains(version, "not_decided") {
		return false
	}
	members, err := fetch(ctx, p.addr, "/v2/members")
	return err == nil && strings.Count(members, `"clientURLs":["`) == n
}

// fetch returns the body at a path.
func fetch(ctx context.Context, addr, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// addrs returns where the members serve clients.
func (c *cluster) addrs() []string {
	var as []string
	for _, p := range c.members {
		as = append(as, p.addr)
	}
	return as
}

// stopTimeout is how long a member may take to end.
const stopTimeout = time.Minute

// stop ends the members, all at once.
func (c *cluster) stop() error {
	for _, p := range c.members {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	}
	timeout := time.After(stopTimeout)
	var errs []error
	for _, p := range c.members {
		select {
		case <-p.done:
		case <-timeout:
			errs = append(errs, fmt.Errorf("%s at %s did not end in %v", c.name, p.addr, stopTimeout), p.cmd.Process.Kill())
			<-p.done
		}
	}
	return errors.Join(errs...)
}

// freeAddrs returns addresses to listen on. They are of a loopback address that
// this process has to itself, so that nobody takes one before its use.
func freeAddrs(n int) ([]string, error) {
	pid := os.Getpid()
	host := fmt.Sprintf("127.%d.%d.%d", 64+pid>>14&63, pid>>7&127, 1+pid&127)
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", host+":0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}
