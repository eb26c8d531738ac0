package faulttest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
)

// TestForgedIdentityIsRefused changes each byte of the files by which a member
// knows who it is and what it has installed.
func TestForgedIdentityIsRefused(t *testing.T) {
	outcomes := forgeFiles(t, logsOfKind(openSeglog), func(name string) bool { return strings.HasSuffix(name, ".json") })
	for _, class := range []string{"identity.json", "current.json"} {
		for outcome, n := range outcomes[class] {
			if outcome != "refused" {
				t.Errorf("%s: %d forgeries were %s", class, n, outcome)
			}
		}
	}
}

// TestAMemberThatLostAFileRefusesToStartAndLosesNoOther takes one of its parts
// from a member and gives it back.
func TestAMemberThatLostAFileRefusesToStartAndLosesNoOther(t *testing.T) {
	var v *victim
	synctest.Test(t, func(t *testing.T) { v = newVictim(t, logsOfKind(openSeglog)) })
	for _, part := range []string{"member/identity.json", "member/current.json", "log"} {
		synctest.Test(t, func(t *testing.T) {
			d := v.disk
			if err := d.FS().Rename(part, "aside"); err != nil {
				t.Fatal(err)
			}
			c := v.c.onDisks(t, []*host{v.host}, []*raftsim.Disk{d}, v.seen.fork())
			if err := c.open(c.hosts[0]); !errors.Is(err, raftstore.ErrCorrupt) {
				t.Errorf("open without %s: %v, want ErrCorrupt", part, err)
				_ = c.halt(v.host.name)
			}
			if err := d.FS().RemoveAll(part); err != nil {
				t.Fatal(err)
			}
			if err := d.FS().Rename("aside", part); err != nil {
				t.Fatal(err)
			}
			if outcome, err := v.serve(t, d); outcome != "right" {
				t.Errorf("with %s again: %s, %v", part, outcome, err)
			}
		})
	}
}

func TestAMemberRefusesALogThatIsNotItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.start("a")
		c.write("a", "x", 3, 10)
		c.stop()
		names, err := c.host("a").disk.FS().List("member")
		if err != nil || !slices.Contains(names, "identity.json") {
			t.Fatalf("member holds %q, %v", names, err)
		}
		if err := c.host("a").disk.FS().RemoveAll("member"); err != nil {
			t.Fatal(err)
		}
		if err := c.open(c.host("a")); !errors.Is(err, raftstore.ErrCorrupt) {
			t.Errorf("open: %v, want ErrCorrupt", err)
			_ = c.node("a").Stop(context.Background())
		}
	})
}
