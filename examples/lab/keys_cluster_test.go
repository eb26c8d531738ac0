//go:build linux

package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/strakeproject/strake/examples/lab/disklab"
	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
)

// volumeSize is the size of a member's disk.
const volumeSize = 192 << 20

// newKeyCluster starts three members of the key space's server, each with a disk
// of its own that can be filled up.
func newKeyCluster(t *testing.T) *cluster {
	t.Helper()
	c := newHosts(t, 3)
	c.status, c.command = c.etcdStatus, c.etcdCommand
	for _, m := range c.machines {
		var err error
		if m.volume, err = disklab.NewVolume(volumeSize); err != nil {
			t.Fatal(err)
		}
		m.dir = "/proc/self/fd/3/data" // the first of its extra files
		c.start(m)
	}
	return c
}

func (c *cluster) etcdCommand(m *machine, args []string) *exec.Cmd {
	clients := m.base
	cmd := exec.Command(etcd, slices.Concat([]string{
		"--name", m.name, "--data-dir", m.dir, "--initial-cluster", c.initial(),
		"--listen-peer-urls", m.peerURL, "--initial-advertise-peer-urls", m.peerURL,
		"--listen-client-urls", clients, "--advertise-client-urls", clients,
		"--heartbeat-interval", "50", "--election-timeout", "500",
	}, args)...)
	cmd.ExtraFiles = []*os.File{m.volume.File()}
	return cmd
}

// etcdStatus is the status of a member of the key space, which tells the role
// and the term alone.
func (c *cluster) etcdStatus(m *machine) (st status, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	header, err := c.fetch(ctx, m, "/v2/keys/", nil)
	if err != nil {
		return st, err
	}
	if st.Term, err = strconv.ParseUint(header.Get("X-Raft-Term"), 10, 64); err != nil {
		return st, err
	}
	var self struct{ State string }
	_, err = c.fetch(ctx, m, "/v2/stats/self", &self)
	if self.State == "StateLeader" {
		st.Role = "leader"
	}
	return st, err
}

// fetch gets a document from a member, whose body is decoded into v unless that
// is nil.
func (c *cluster) fetch(ctx context.Context, m *machine, path string, v any) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.base+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s on %s: %s", path, m.name, resp.Status)
	}
	if v == nil {
		return resp.Header, nil
	}
	return resp.Header, json.NewDecoder(resp.Body).Decode(v)
}

// store is the key space by way of some members.
func (c *cluster) store(members ...*machine) kv.Store {
	c.t.Helper()
	cfg := client.Config{Transport: c.http.Transport, Timeout: forbearing, WatchRenewal: impatient}
	for _, m := range members {
		cfg.Endpoints = append(cfg.Endpoints, m.base)
	}
	s, err := client.New(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}
