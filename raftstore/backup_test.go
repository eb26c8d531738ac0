package raftstore_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/seglog"
)

// parts is a Config for a member alone in a directory.
func parts(t *testing.T, dir string, c *cluster, sm raftstore.StateMachine) raftstore.Config {
	t.Helper()
	log, err := seglog.Open(filepath.Join(dir, "log"), seglog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return raftstore.Config{
		Dir: dir, Name: "phoenix", URLs: []string{"http://phoenix"}, StateMachine: sm, Log: log,
		Transport: c.net.Transport(), TickInterval: 10 * time.Millisecond,
	}
}

func TestBackupBecomesANewCluster(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	for _, m := range c.initial {
		c.start(m.Name, &archive{})
	}
	for i := range 10 {
		c.propose("a", fmt.Sprint(i))
	}
	c.barrier("b")
	var backup bytes.Buffer
	pos, err := c.nodes["b"].Backup(within(t), &backup)
	if err != nil {
		t.Fatal(err)
	}
	c.propose("a", "after the backup")

	dir := filepath.Join(c.dir, "restored")
	if err := raftstore.Restore(within(t), bytes.NewReader(backup.Bytes()), parts(t, dir, c, &archive{})); err != nil {
		t.Fatal(err)
	}
	sm := &archive{}
	n, err := raftstore.Open(within(t), parts(t, dir, c, sm))
	if err != nil {
		t.Fatal(err)
	}
	c.nodes["phoenix"], c.states["phoenix"] = n, sm
	if n.Status().ClusterID == c.nodes["a"].Status().ClusterID {
		t.Error("the restored member believes to be of the old cluster")
	}
	c.barrier("phoenix")
	if got := len(sm.commands()); got != 10 || n.Status().Applied <= pos.Index {
		t.Errorf("restored member has %d commands at index %d, want 10 past index %d", got, n.Status().Applied, pos.Index)
	}
	// It can grow again.
	fresh := c.add("phoenix", "fresh", &archive{})
	c.promote("phoenix", fresh.ID)
	c.propose("fresh", "new life")
	if got := len(c.states["fresh"].commands()); got != 11 {
		t.Errorf("new member has %d commands, want 11", got)
	}
	if err := raftstore.Restore(within(t), &backup, parts(t, filepath.Join(c.dir, "a2"), c, &journal{})); err == nil {
		t.Error("restore to a state machine that is no Snapshotter succeeded")
	}
}

func TestDamagedBackupIsRefusedAndLeavesNothing(t *testing.T) {
	c := newCluster(t, "a")
	c.start("a", &archive{})
	c.propose("a", strings.Repeat("x", 5000))
	var backup bytes.Buffer
	if _, err := c.nodes["a"].Backup(within(t), &backup); err != nil {
		t.Fatal(err)
	}
	good := backup.Bytes()
	flipped := bytes.Clone(good)
	flipped[bytes.Index(flipped, []byte("xxxx"))+100] ^= 1
	for name, bad := range map[string][]byte{
		"empty": {}, "cut": good[:len(good)/2], "no checksums": good[:len(good)-3*512-1024], "flipped": flipped, "garbage": []byte("hello"),
	} {
		dir := filepath.Join(t.TempDir(), "m")
		if err := raftstore.Restore(context.Background(), bytes.NewReader(bad), parts(t, dir, c, &archive{})); err == nil {
			t.Errorf("%s: restored", name)
		}
		if has, err := raftstore.HasMember(dir); has || err != nil {
			t.Errorf("%s: a member was made all the same (%v)", name, err)
		}
	}
}

func TestRecoverKeepsAllThatASurvivorHas(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	for _, m := range c.initial {
		c.start(m.Name, &archive{}) // of which nothing is flushed: all is in the log
	}
	for i := range 10 {
		c.propose("a", fmt.Sprint(i))
	}
	c.barrier("b")
	c.stopAll()
	dir := filepath.Join(c.dir, "b")
	for range 2 { // again, as after a crash in the middle
		if err := raftstore.Recover(within(t), parts(t, dir, c, &archive{})); err != nil {
			t.Fatal(err)
		}
	}
	sm := &archive{}
	n, err := raftstore.Open(within(t), parts(t, dir, c, sm))
	if err != nil {
		t.Fatal(err)
	}
	c.nodes["phoenix"], c.states["phoenix"] = n, sm
	c.propose("phoenix", "alone")
	if got := len(sm.commands()); got != 11 || len(n.Members()) != 1 {
		t.Errorf("recovered member has %d commands and %d members, want 11 and 1", got, len(n.Members()))
	}
}
