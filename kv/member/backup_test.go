package member_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/member"
	"github.com/strakeproject/strake/raftstore/pebblelog"
)

func openIn(t *testing.T, dir string) *member.Member {
	t.Helper()
	m, err := member.Open(t.Context(), member.Config{DataDir: dir, HeartbeatInterval: heartbeat, ElectionTimeout: election})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestACopyOfARunningMemberHasWhatItHad copies a member in two ways while it
// writes.
func TestACopyOfARunningMemberHasWhatItHad(t *testing.T) {
	dir := t.TempDir()
	data, copied, restored := filepath.Join(dir, "data"), filepath.Join(dir, "copied"), filepath.Join(dir, "restored")
	m := openIn(t, data)
	set(t, m, "/before", "1")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			if _, err := m.Set(ctx, fmt.Sprint("/n/", i%100), strings.Repeat("v", 1000), kv.SetOptions{}); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	}()
	errCopy := member.CopyDir(t.Context(), data, member.Config{DataDir: copied, Name: "other"})
	var stream bytes.Buffer
	errBackup := member.Backup(t.Context(), data, filepath.Join(dir, "scratch"), &stream)
	cancel()
	<-done
	if err := errors.Join(errCopy, errBackup, m.Stop(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := member.Restore(t.Context(), bytes.NewReader(stream.Bytes()), member.Config{DataDir: restored}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{copied, restored} {
		twin := openIn(t, dir)
		wantValue(t, twin, "/before", "1", kv.GetOptions{Quorum: true})
		if twin.ClusterID() == m.ClusterID() || twin.ID() == m.ID() {
			t.Errorf("%s believes that it is the original", dir)
		}
		if err := twin.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := member.CopyDir(t.Context(), data, member.Config{DataDir: copied}); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("copy onto a member: %v", err)
	}
	if err := member.Restore(t.Context(), bytes.NewReader(stream.Bytes()[:stream.Len()/2]), member.Config{DataDir: filepath.Join(dir, "half")}); err == nil {
		t.Error("half a backup was restored")
	}
	if _, err := os.Stat(filepath.Join(dir, "half", "member")); err == nil {
		t.Error("half a backup has left something behind")
	}
}

func TestAMemberWithALogOfAnotherKindIsRefused(t *testing.T) {
	dir := t.TempDir()
	log, err := pebblelog.Open(filepath.Join(dir, "member", "log"), pebblelog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	m, err := member.Open(t.Context(), member.Config{DataDir: dir})
	if err == nil {
		m.Stop(t.Context())
		t.Fatal("it was opened")
	}
	if !strings.Contains(err.Error(), "it holds a Pebble database (") {
		t.Errorf("open: %v", err)
	}
}
