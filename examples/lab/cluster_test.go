//go:build linux

package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strakeproject/strake/examples/lab/disklab"
	"github.com/strakeproject/strake/examples/lab/netlab"
)

// patience bounds every wait for something that must happen. It says nothing
// about how fast that is.
const patience = 2 * time.Minute

// cluster is a cluster whose members are processes on hosts of their own, with
// clients on one more host, which is never cut off.
type cluster struct {
	t        *testing.T
	net      *netlab.Network
	clients  *netlab.Host
	http     *http.Client
	machines []*machine

	// command makes the command that runs a member, and status asks it for what it
	// says of itself.
	command func(m *machine, args []string) *exec.Cmd
	status  func(m *machine) (status, error)
}

// machine is a host with a disk, and the member that runs on it, if any.
type machine struct {
	name, dir     string
	host          *netlab.Host
	peerURL, base string

	args    []string        // that its member was last started with
	process *netlab.Process // nil while none runs
	disk    *disklab.Disk   // of that process
	volume  *disklab.Volume // where dir is; nil for the test's own disk

	mu  sync.Mutex
	log bytes.Buffer // of all its processes; protected by mu
}

// Write takes what processes log.
func (m *machine) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Write(p)
}

// newCluster starts a cluster of counters of the given size, with more
// arguments for every member.
func newCluster(t *testing.T, size int, args ...string) *cluster {
	t.Helper()
	c := newHosts(t, size)
	c.status = c.counterStatus
	c.command = func(m *machine, more []string) *exec.Cmd {
		return exec.Command(counter, slices.Concat([]string{
			"serve", "--name", m.name, "--dir", m.dir, "--peer-url", m.peerURL, "--listen", m.host.Addr().String() + ":8000",
		}, more, args)...)
	}
	for _, m := range c.machines {
		c.start(m, "--initial", c.initial())
	}
	return c
}

// newHosts makes the machines of a cluster, and starts nothing on them.
func newHosts(t *testing.T, size int) *cluster {
	t.Helper()
	c := &cluster{t: t}
	t.ArtifactDir() // which must not go before close
	var err error
	if c.net, err = netlab.New(*seed); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	if c.clients, err = c.net.AddHost("clients"); err != nil {
		t.Fatal(err)
	}
	c.http = &http.Client{Transport: &http.Transport{DialContext: c.clients.DialContext, MaxIdleConnsPerHost: 32}}
	for i := range size {
		c.addMachine(fmt.Sprintf("m%d", i))
	}
	return c
}

// initial lists all machines as members.
func (c *cluster) initial() string {
	var list []string
	for _, m := range c.machines {
		list = append(list, m.name+"="+m.peerURL)
	}
	return strings.Join(list, ",")
}

func (c *cluster) addMachine(name string) *machine {
	c.t.Helper()
	h, err := c.net.AddHost(name)
	if err != nil {
		c.t.Fatal(err)
	}
	m := &machine{
		name: name, host: h, dir: filepath.Join(c.t.TempDir(), name),
		peerURL: fmt.Sprintf("http://%s:2380", h.Addr()), base: fmt.Sprintf("http://%s:8000", h.Addr()),
	}
	c.machines = append(c.machines, m)
	return m
}

// start starts the member of a machine, without waiting until it serves.
func (c *cluster) start(m *machine, args ...string) {
	c.t.Helper()
	cmd := c.command(m, args)
	cmd.Stderr = m
	var disk *disklab.Disk
	p, err := m.host.Start(cmd, func() (err error) {
		disk, err = disklab.Attach()
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	m.args, m.process, m.disk = args, p, disk
}

// end kills the member of a machine, which must not have ended before.
func (c *cluster) end(m *machine) {
	c.t.Helper()
	if m.process == nil {
		return
	}
	select {
	case <-m.process.Done():
		c.t.Errorf("%s ended by itself: %v\n%s", m.name, m.process.Err(), m.tail())
	default:
	}
	m.process.Kill()
	m.disk.Close()
	m.process = nil
}

// restart kills a member, if it runs, and starts it again as it was.
func (c *cluster) restart(m *machine) {
	c.t.Helper()
	c.end(m)
	c.start(m, m.args...)
}

// await waits until the member of a machine ends by itself, and returns what it
// said last.
func (c *cluster) await(m *machine) string {
	c.t.Helper()
	select {
	case <-m.process.Done():
	case <-time.After(patience):
		c.t.Fatalf("%s goes on:\n%s", m.name, m.tail())
	}
	m.disk.Close()
	m.process = nil
	return m.tail()
}

// running returns the machines whose member runs.
func (c *cluster) running() []*machine {
	var ms []*machine
	for _, m := range c.machines {
		if m.process != nil {
			ms = append(ms, m)
		}
	}
	return ms
}

func (c *cluster) signal(m *machine, s os.Signal) {
	c.t.Helper()
	if err := m.process.Signal(s); err != nil {
		c.t.Fatalf("%s: %s: %v", m.name, s, err)
	}
}

// tail returns the last lines that a machine logged.
func (m *machine) tail() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	lines := strings.SplitAfter(m.log.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "")
}

// close ends all processes and keeps the logs of a test that failed.
func (c *cluster) close() {
	for _, m := range c.machines {
		c.end(m)
		if m.volume != nil {
			m.volume.Close()
		}
		if log := m.log.String(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") {
			c.t.Errorf("%s broke:\n%s", m.name, log)
		}
	}
	c.net.Close()
	c.http.CloseIdleConnections()
	if !c.t.Failed() {
		return
	}
	for _, m := range c.machines {
		path := filepath.Join(c.t.ArtifactDir(), m.name+".log")
		if err := os.WriteFile(path, m.log.Bytes(), 0o600); err != nil {
			c.t.Error(err)
		}
		c.t.Logf("%s (log in %s):\n%s", m.name, path, m.tail())
	}
}

// request sends a request to a member and decodes the answer into v, unless it
// is nil. The status is 0 if there was no answer.
func (c *cluster) request(ctx context.Context, m *machine, method, path string, v any) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, m.base+path, nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusConflict || v == nil {
		return resp.StatusCode, fmt.Errorf("%s %.30s on %s: %s: %s", method, path, m.name, resp.Status, bytes.TrimSpace(body))
	}
	if err := json.Unmarshal(body, v); err != nil {
		return resp.StatusCode, fmt.Errorf("%s %.30s on %s: %s: %s", method, path, m.name, resp.Status, bytes.TrimSpace(body))
	}
	return resp.StatusCode, nil
}

// must repeats a request until it succeeds.
func (c *cluster) must(m *machine, method, path string, v any) {
	c.t.Helper()
	c.until(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		status, err := c.request(ctx, m, method, path, v)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s %.30s on %s: status %d", method, path, m.name, status)
		}
		return err
	})
}

// until waits until f succeeds.
func (c *cluster) until(f func() error) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for err := f(); err != nil; err = f() {
		if time.Now().After(deadline) {
			c.t.Fatalf("still: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// status is what a member says of itself.
type status struct {
	Role              string
	Term, First, Last uint64
}

// counterStatus is a counter's status.
func (c *cluster) counterStatus(m *machine) (st status, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err = c.request(ctx, m, "GET", "/status", &st)
	return st, err
}

// awaitTruncation waits until running members no longer have the log that m
// had that once said st.
func (c *cluster) awaitTruncation(st status) {
	c.t.Helper()
	c.until(func() error {
		for _, m := range c.running() {
			if now, err := c.status(m); err != nil || now.First <= st.Last+1 {
				return fmt.Errorf("log of %s begins at %d, which is not after %d (%v)", m.name, now.First, st.Last, err)
			}
		}
		return nil
	})
}

// awaitCopy waits until the member of a machine has installed a copy of the
// state n times since the test began.
func (c *cluster) awaitCopy(m *machine, n int) {
	c.t.Helper()
	c.until(func() error {
		if got := m.copies(); got < n {
			return fmt.Errorf("%s has installed %d copies of the state, want %d", m.name, got, n)
		}
		return nil
	})
}

// copies counts the copies of the state that were installed.
func (m *machine) copies() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Count(m.log.Bytes(), []byte("snapshot installed"))
}

// leader waits for a member that leads, and returns it and the others that run.
func (c *cluster) leader() (leader *machine, others []*machine) {
	c.t.Helper()
	c.until(func() error {
		leader, others = nil, nil
		var term uint64
		for _, m := range c.running() {
			st, err := c.status(m)
			others = append(others, m)
			if err == nil && st.Role == "leader" && st.Term > term {
				leader, term = m, st.Term
			}
		}
		if leader == nil {
			return fmt.Errorf("nobody leads")
		}
		return nil
	})
	return leader, slices.DeleteFunc(others, func(m *machine) bool { return m == leader })
}

// memberView is a member as the cluster tells of it.
type memberView struct {
	ID, Name, Storage string
	Learner           bool
}

// members asks a member for the membership.
func (c *cluster) members(via *machine) map[string]memberView {
	c.t.Helper()
	var views []memberView
	c.must(via, "GET", "/members", &views)
	byName := make(map[string]memberView)
	for _, v := range views {
		byName[v.Name] = v
	}
	return byName
}

// awaitStorage waits until the cluster has seen the disks of all members.
func (c *cluster) awaitStorage(via *machine) {
	c.t.Helper()
	c.until(func() error {
		for name, v := range c.members(via) {
			if v.Storage == "0" {
				return fmt.Errorf("the disk of %s is not on record", name)
			}
		}
		return nil
	})
}

// join adds the member of a machine that holds none, and makes it a voter.
func (c *cluster) join(via, m *machine) {
	c.t.Helper()
	c.add(via, m)
	c.promote(via, m)
}

// add adds the member of a machine that holds none, and starts it.
func (c *cluster) add(via, m *machine) {
	c.t.Helper()
	c.change(via, m, "POST", "/members?name="+m.name+"&url="+url.QueryEscape(m.peerURL), func(v memberView) bool { return v.ID != "" })
	c.start(m, "--join", via.peerURL)
}

// promote makes a member a voter, as soon as it can be one.
func (c *cluster) promote(via, m *machine) {
	c.t.Helper()
	c.change(via, m, "POST", "/members/"+c.members(via)[m.name].ID+"/promote", func(v memberView) bool { return !v.Learner })
}

// remove takes the member of a machine out of the cluster.
func (c *cluster) remove(via, m *machine) {
	c.t.Helper()
	c.change(via, m, "DELETE", "/members/"+c.members(via)[m.name].ID, func(v memberView) bool { return v.ID == "" })
}

// change repeats a change of membership until the cluster tells of m what it
// shall: a request may be carried out without an answer.
func (c *cluster) change(via, m *machine, method, path string, done func(memberView) bool) {
	c.t.Helper()
	c.until(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err := c.request(ctx, via, method, path, &struct{}{})
		if v := c.members(via)[m.name]; !done(v) {
			return fmt.Errorf("%s is %+v after %v", m.name, v, err)
		}
		return nil
	})
}
