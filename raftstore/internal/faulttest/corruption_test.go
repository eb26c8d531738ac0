package faulttest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
)

var (
	forgeSeed = flag.Uint64("faulttest.forgeseed", 1, "which bytes are forged")
	forgeries = flag.Int("faulttest.forgeries", 12, "forgeries of each file")
)

// TestForgedBytesAreNeverServed changes bytes of each file of a member, one at a
// time, and cuts files short. The member may refuse to start, or end. If it
// goes on, it has everything right.
func TestForgedBytesAreNeverServed(t *testing.T) {
	for name, kind := range map[string]struct {
		open    func(*raftsim.Disk) (raftstore.LogStore, error)
		classes []string
	}{
		"seglog":    {openSeglog, []string{"log segment", "log marker"}},
		"pebblelog": {openPebblelog, []string{"log WAL", "log table", "log MANIFEST", "log marker"}},
	} {
		t.Run(name, func(t *testing.T) {
			outcomes := forgeFiles(t, logsOfKind(kind.open), func(name string) bool { return !strings.HasSuffix(name, ".json") })
			for _, class := range append(kind.classes, "state table", "state MANIFEST", "state marker") {
				if len(outcomes[class]) == 0 {
					t.Errorf("there is no %s", class)
				}
			}
		})
	}
}

// forgeFiles forges the files of a victim that are wanted, in turn. It returns
// what became of it, by class of the file.
func forgeFiles(t *testing.T, logs openLog, want func(name string) bool) map[string]map[string]int {
	rng := rand.New(rand.NewPCG(*forgeSeed, 3))
	var v *victim
	synctest.Test(t, func(t *testing.T) { v = newVictim(t, logs) })
	outcomes := make(map[string]map[string]int)
	for _, name := range v.files(t, "/") {
		if !want(name) {
			continue
		}
		class := classOf(name)
		if outcomes[class] == nil {
			outcomes[class] = make(map[string]int)
		}
		ways := *forgeries
		if strings.HasSuffix(name, ".json") {
			ways += v.size(t, name) // each byte
		}
		for way := range ways {
			disk := raftsim.AfterCrash(0, nil, v.disk)[0]
			what, err := forge(disk, name, way, way-*forgeries, rng)
			if err != nil {
				t.Fatal(err)
			}
			if what == "" {
				continue // too short for that
			}
			var outcome string
			synctest.Test(t, func(t *testing.T) { outcome, err = v.serve(t, disk) })
			if err != nil {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			outcomes[class][outcome]++
		}
	}
	for class, n := range outcomes {
		t.Logf("%-14s %v", class, n)
	}
	return outcomes
}

// victim is a member with files of every kind, and all that is known of it.
type victim struct {
	*leftover
	c      *cluster
	status raftstore.Status
}

func newVictim(t *testing.T, logs openLog) *victim {
	c := newCluster(t, "a", "b", "c")
	c.openLog = logs
	c.tune = func(cfg *raftstore.Config) {
		cfg.LogRetainBytes, cfg.LogCapBytes = 4<<10, 16<<10
		cfg.FlushBytes, cfg.FlushInterval = 16<<10, 5*time.Second
	}
	c.start(c.names()...)
	leader := c.leader(c.names()...)
	rest := slices.DeleteFunc(c.names(), func(name string) bool { return name == leader })
	c.net.Isolate(rest[0], leader, rest[1])
	for i := range 20 {
		c.write(leader, fmt.Sprint("missed ", i), 2, 2000)
		time.Sleep(time.Second)
	}
	c.net.Heal()
	c.write(rest[0], "caught up", 3, 100)
	// At its next start the log makes a table of what it has so far.
	if err := c.halt(rest[0]); err != nil {
		t.Fatal(err)
	}
	c.start(rest[0])
	for i := range 10 {
		c.write(leader, fmt.Sprint("big ", i), 1, 16<<10)
	}
	c.write(leader, "last", 5, 100)
	if err := c.check(c.names()...); err != nil {
		t.Fatal(err)
	}
	h := c.host(rest[0])
	v := &victim{c: c, leftover: &leftover{host: h}, status: h.node.Status()}
	// Ended in order, so that there is no last group that a crash may have torn.
	c.stop()
	v.log, v.durable, v.seen = h.log, h.state.Durable(), c.seen.fork()
	v.before = h.log.Mark()
	v.after, v.disk = v.before, h.disk
	return v
}

func (v *victim) size(t *testing.T, name string) int {
	b, err := v.disk.FS().ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return len(b)
}

// files returns the paths of all files below dir.
func (v *victim) files(t *testing.T, dir string) []string {
	fsys := v.disk.PebbleFS()
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var files []string
	for _, name := range names {
		name = path.Join(dir, name)
		info, err := fsys.Stat(name)
		switch {
		case err != nil:
			t.Fatal(err)
		case info.IsDir():
			files = append(files, v.files(t, name)...)
		default:
			files = append(files, name)
		}
	}
	return files
}

var markerKind = regexp.MustCompile(`marker\.([a-z-]+)\.`)

// classOf names the kind of a file.
func classOf(name string) string {
	kind := path.Base(name)
	switch {
	case strings.HasSuffix(kind, ".log"):
		kind = "WAL"
	case strings.HasSuffix(kind, ".seg"):
		kind = "segment"
	case strings.HasSuffix(kind, ".spare"):
		kind = "spare"
	case kind == "seglog":
		kind = "marker"
	case strings.HasSuffix(kind, ".sst"):
		kind = "table"
	case strings.HasPrefix(kind, "MANIFEST"):
		kind = "MANIFEST"
	case strings.HasPrefix(kind, "OPTIONS"):
		kind = "OPTIONS"
	case markerKind.MatchString(kind):
		kind = "marker"
	}
	switch {
	case strings.HasPrefix(name, "/log/"):
		return "log " + kind
	case strings.Contains(name, "/state"):
		return "state " + kind
	}
	return kind
}

// forge changes a file in one of several ways, and says how; "" if the file is
// too short. An offset from 0 on says which byte.
func forge(d *raftsim.Disk, name string, way, offset int, rng *rand.Rand) (what string, err error) {
	b, err := d.FS().ReadFile(name)
	if err != nil {
		return "", err
	}
	end := len(b)
	for end > 0 && b[end-1] == 0 {
		end-- // what was allocated ahead does not matter
	}
	switch {
	case way == 0:
		what = "removed"
		if err := d.PebbleFS().Remove(name); err != nil {
			return "", err
		}
		return what, syncParent(d, name)
	case end == 0:
		return "", nil
	case way == 1:
		what, b = "emptied", nil
	case way == 2:
		what, b = fmt.Sprintf("cut at %d of %d", end/2, end), b[:end/2]
	case way == 3:
		what, b = fmt.Sprintf("cut at %d of %d", end-1, end), b[:end-1]
	default:
		at := rng.IntN(end)
		switch way {
		case 4:
			at = 0
		case 5:
			at = end - 1
		case 6:
			at = min(6, end-1)
		}
		if offset >= 0 {
			at = offset
		}
		if at >= end {
			return "", nil
		}
		bit := byte(1) << rng.IntN(8)
		what = fmt.Sprintf("byte %d of %d: %#x for %#x", at, end, b[at]^bit, b[at])
		b[at] ^= bit
	}
	f, err := d.PebbleFS().Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return "", err
	}
	_, err = f.Write(b)
	return what, errors.Join(err, f.Sync(), f.Close(), syncParent(d, name))
}

func syncParent(d *raftsim.Disk, name string) error {
	dir, err := d.PebbleFS().OpenDir(path.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// serve starts the member on a forged disk. It returns what became of it, and
// an error if it has not what it should have and does not say so.
func (v *victim) serve(t *testing.T, d *raftsim.Disk) (outcome string, err error) {
	log, err := v.c.openLog(&host{disk: d})
	if err != nil {
		return "log refused", nil //nolint:nilerr // that is fine
	}
	wrong := v.log.CheckSurvivor(log, v.before, v.after)
	if err := log.Close(); err != nil {
		return "log refused", nil //nolint:nilerr // likewise
	}
	c := v.c.onDisks(t, []*host{v.host}, []*raftsim.Disk{d}, v.seen.fork())
	h := c.hosts[0]
	if err := c.open(h); err != nil {
		return "refused", nil //nolint:nilerr // likewise
	}
	defer h.node.Stop(context.Background())
	if st := h.node.Status(); st.ID != v.status.ID || st.ClusterID != v.status.ClusterID {
		return "IMPOSTOR", fmt.Errorf("it runs as member %x of %x, is member %x of %x", st.ID, st.ClusterID, v.status.ID, v.status.ClusterID)
	}
	cmds, err := h.state.commands()
	if err != nil {
		return "unreadable", nil //nolint:nilerr // likewise
	}
	if err := c.seen.checkPart(cmds); err != nil {
		return "WRONG", err
	}
	pos, err := h.state.position()
	if err == nil && pos < v.durable {
		err = fmt.Errorf("state is at index %d, was durable at %d", pos, v.durable)
	}
	if err = errors.Join(wrong, err); err != nil {
		return "LOST", err
	}
	return "right", nil
}
