package raftstore_test

import (
	"strings"
	"testing"
	"time"
)

func containsText(s, part string) bool { return strings.Contains(s, part) }

// waitFor polls for what no signal announces.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("condition not reached within a minute")
}
