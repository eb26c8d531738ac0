package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
)

// etcdctl runs the tool and returns what it printed to stderr.
func etcdctl(t *testing.T, args ...string) (stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "etcdctl", args...)
	var b bytes.Buffer
	cmd.Stderr = &b
	err = cmd.Run()
	return b.String(), err
}

// started is a server on a data directory, and a client of it.
type started struct {
	*client.Client
	cmd  *exec.Cmd
	id   string
	peer string
}

func startOn(t *testing.T, etcd, dir, name, peer string) *started {
	t.Helper()
	url := "http://" + freeAddr(t)
	s := &started{peer: peer}
	s.cmd = startServer(t, etcd, dir, url, peer, "--name", name, "--initial-cluster", name+"="+peer)
	var err error
	if s.Client, err = client.New(client.Config{Endpoints: []string{url}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.id = waitReady(t, s.Client)
	return s
}

func (s *started) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// count returns how many of the keys /n/0, /n/1, ... there are, and complains if
// one is missing in between.
func (s *started) count(t *testing.T) int {
	t.Helper()
	ev, err := s.Get(t.Context(), "/n", kv.GetOptions{Quorum: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range ev.Node.Nodes {
		if !slices.ContainsFunc(ev.Node.Nodes, func(n kv.Node) bool { return n.Key == fmt.Sprint("/n/", i) }) {
			t.Errorf("of %d keys, /n/%d is missing", len(ev.Node.Nodes), i)
		}
	}
	return len(ev.Node.Nodes)
}

func TestABackupOfABusyMemberHoldsAllThatWasAcknowledged(t *testing.T) {
	etcd, dir := server(t), t.TempDir()
	data, backup := filepath.Join(dir, "data"), filepath.Join(dir, "backup")
	s := startOn(t, etcd, data, "default", "http://"+freeAddr(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wrote := make(chan int, 1) // what was acknowledged so far
	done := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			if _, err := s.Set(ctx, fmt.Sprint("/n/", i), "v", kv.SetOptions{}); err != nil {
				done <- err
				return
			}
			select {
			case <-wrote:
			default:
			}
			wrote <- i + 1
		}
	}()
	for i := range 2 {
		var acknowledged int
		for acknowledged < 50*(i+1) {
			acknowledged = <-wrote
		}
		to := fmt.Sprint(backup, i)
		if stderr, err := etcdctl(t, "backup", "--data-dir", data, "--backup-dir", to); err != nil {
			t.Fatalf("backup: %v, %s", err, stderr)
		}
		copied := startOn(t, etcd, to, "default", "http://"+freeAddr(t))
		if got := copied.count(t); got < acknowledged {
			t.Errorf("the copy has %d keys of %d that were acknowledged", got, acknowledged)
		}
		if copied.id == s.id {
			t.Errorf("the copy believes that it is the original, %s", s.id)
		}
		copied.stop(t)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAFileBecomesAMemberOfAnyName(t *testing.T) {
	etcd, dir := server(t), t.TempDir()
	data, file, restored := filepath.Join(dir, "data"), filepath.Join(dir, "file"), filepath.Join(dir, "restored")
	s := startOn(t, etcd, data, "default", "http://"+freeAddr(t))
	for i := range 10 {
		if _, err := s.Set(t.Context(), fmt.Sprint("/n/", i), "v", kv.SetOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutUser(t.Context(), "root", "pw"); err != nil {
		t.Fatal(err)
	}
	s.stop(t)

	if stderr, err := etcdctl(t, "backup", "--data-dir", data, "--backup-file", file); err != nil {
		t.Fatalf("backup: %v, %s", err, stderr)
	}
	peer := "http://" + freeAddr(t)
	args := []string{"--data-dir", restored, "--name", "n1", "--initial-advertise-peer-urls", peer}
	if stderr, err := etcdctl(t, append([]string{"restore", "--backup-file", file}, args...)...); err != nil {
		t.Fatalf("restore: %v, %s", err, stderr)
	}
	r := startOn(t, etcd, restored, "n1", peer)
	members, err := r.Members(t.Context())
	if err != nil || len(members) != 1 || members[0].Name != "n1" || !slices.Equal(members[0].PeerURLs, []string{peer}) {
		t.Errorf("members %+v, %v; want n1 at %s alone", members, err, peer)
	}
	if got := r.count(t); got != 10 {
		t.Errorf("the restored member has %d keys, want 10", got)
	}
	if users, err := r.Users(t.Context()); err != nil || !slices.Equal(users, []string{"root"}) {
		t.Errorf("users %q, %v; want root", users, err)
	}
	if files, err := filepath.Glob(filepath.Join(dir, ".etcdctl-backup-*")); err != nil || len(files) > 0 {
		t.Errorf("left behind: %q, %v", files, err)
	}
	r.stop(t)

	// A data directory is as good as a backup.
	again := filepath.Join(dir, "again")
	if stderr, err := etcdctl(t, "restore", "--backup-dir", data, "--data-dir", again, "--name", "n2"); err != nil {
		t.Fatalf("restore: %v, %s", err, stderr)
	}
	if got := startOn(t, etcd, again, "n2", "http://"+freeAddr(t)).count(t); got != 10 {
		t.Errorf("the member restored from a directory has %d keys, want 10", got)
	}
	refuseBadBackups(t, data, file)
}

// refuseBadBackups tries what cannot work: one line says why, and nothing stays.
func refuseBadBackups(t *testing.T, data, file string) {
	dir := t.TempDir()
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"backup", "--backup-dir", "T"}, "--data-dir"},
		{[]string{"backup", "--data-dir", data}, "--backup-dir"},
		{[]string{"backup", "--data-dir", data, "--backup-dir", "T", "--backup-file", "F"}, "either"},
		{[]string{"backup", "--data-dir", data, "--backup-dir", "T", "--wal-dir", "W"}, "--wal-dir"},
		{[]string{"backup", "--data-dir", dir, "--backup-dir", "T"}, dir + " holds no member"},
		{[]string{"backup", "--data-dir", data, "--backup-dir", data}, "exists already"},
		{[]string{"restore", "--data-dir", "T"}, "--backup-dir"},
		{[]string{"restore", "--backup-file", file}, "--data-dir"},
		{[]string{"restore", "--backup-file", file, "--data-dir", data}, "exists already"},
		{[]string{"restore", "--backup-file", filepath.Join(dir, "none"), "--data-dir", "T"}, "no such file"},
		{[]string{"restore", "--backup-file", file, "--data-dir", "T", "--initial-advertise-peer-urls", "x"}, "URL"},
		{[]string{"restore", "--backup-file", write("cut", good[:len(good)/2]), "--data-dir", "T"}, "cut"},
		{[]string{"restore", "--backup-file", write("flipped", flipped), "--data-dir", "T"}, "flipped: "},
		{[]string{"restore", "--backup-file", write("garbage", []byte("hello")), "--data-dir", "T"}, "not a backup"},
	} {
		target := filepath.Join(dir, "target")
		for i := range c.args {
			if c.args[i] == "T" {
				c.args[i] = target
			}
		}
		stderr, err := etcdctl(t, c.args...)
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() != exitUsage || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("etcdctl %q: %v, %s; want status 1 and one line with %q", c.args, err, stderr, c.want)
		}
		if _, err := os.Stat(filepath.Join(target, "member")); err == nil {
			t.Errorf("etcdctl %q left a member behind", c.args)
		}
	}
}
