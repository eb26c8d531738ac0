package raftsim_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
	"github.com/strakeproject/strake/raftstore/seglog"
)

func TestACrashLeavesWhatWasSynced(t *testing.T) {
	d := raftsim.NewDisk()
	must(t, d.FS().MkdirAll("a/b"))
	must(t, d.FS().WriteFile("a/b/file", []byte("one")))
	p := d.PebbleFS()
	f, err := p.Create("a/b/unsynced", vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write([]byte("two"))
	must(t, err)
	must(t, f.Sync()) // the content, not the name
	half := raftsim.AfterCrash(0, nil, d)[0]
	d.Crash(0, nil)
	if _, err := f.Write([]byte("three")); !errors.Is(err, raftsim.ErrPowerLoss) {
		t.Errorf("write after the crash: %v, want ErrPowerLoss", err)
	}
	if _, err := p.List("a/b"); !errors.Is(err, raftsim.ErrPowerLoss) {
		t.Errorf("list after the crash: %v, want ErrPowerLoss", err)
	}
	for _, d := range []*raftsim.Disk{d, half} {
		if names, err := d.FS().List("a/b"); err != nil || !slices.Equal(names, []string{"file"}) {
			t.Errorf("a/b holds %q, %v, want file alone", names, err)
		}
		if b, err := d.FS().ReadFile("a/b/file"); string(b) != "one" {
			t.Errorf("file holds %q, %v, want one", b, err)
		}
	}
}

func TestEachOperationOfANodesFileSystemIsDurableOrNot(t *testing.T) {
	d := raftsim.NewDisk()
	must(t, d.FS().MkdirAll("m"))
	must(t, d.FS().WriteFile("m/file", []byte("old")))
	rng := rand.New(rand.NewPCG(1, 1))
	crashes := 0
	d.Watch(func(raftsim.Op) {
		for _, keep := range []int{0, 50} {
			crashes++
			b, err := raftsim.AfterCrash(keep, rng, d)[0].FS().ReadFile("m/file")
			if string(b) != "old" && string(b) != "new" {
				t.Errorf("crash %d leaves %q, %v, want old or new", crashes, b, err)
			}
		}
	})
	must(t, d.FS().WriteFile("m/file", []byte("new")))
	d.Watch(nil)
	if crashes != 20 {
		t.Errorf("WriteFile can crash at %d points, want before and after create, write, sync, rename and syncdir", crashes/2)
	}
}

func TestASyncThatFailedIsNotMadeUpForByTheNext(t *testing.T) {
	d := raftsim.NewDisk()
	p := d.PebbleFS()
	f, err := p.Create("file", vfs.WriteCategoryUnspecified)
	must(t, err)
	dir, err := p.OpenDir("/")
	must(t, err)
	must(t, dir.Sync())
	_, err = f.Write([]byte("lost"))
	must(t, err)
	d.Inject(raftsim.Fault{Kind: raftsim.OpSync, Path: "file", Times: 1, Err: syscall.EIO})
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: %v, want EIO", err)
	}
	must(t, f.Sync())
	d.Crash(0, nil)
	if b, err := d.FS().ReadFile("file"); len(b) != 0 || err != nil {
		t.Errorf("file holds %q, %v, want nothing", b, err)
	}
}

func TestFaultsHitTheOperationsTheySelect(t *testing.T) {
	d := raftsim.NewDisk()
	d.Inject(raftsim.Fault{Path: "full", After: 1, Times: 2, Err: syscall.ENOSPC})
	var failed []int
	for i := range 5 {
		if err := d.FS().MkdirAll(fmt.Sprintf("full%d", i)); errors.Is(err, syscall.ENOSPC) {
			failed = append(failed, i)
		}
	}
	if !slices.Equal(failed, []int{1, 2}) {
		t.Errorf("mkdir %v failed, want 1 and 2", failed)
	}
	d.Inject(raftsim.Fault{Kind: raftsim.OpRead, Err: syscall.EIO})
	if _, err := d.FS().ReadFile("x"); !errors.Is(err, syscall.EIO) {
		t.Errorf("read: %v, want EIO", err)
	}
	d.Heal()
	if _, err := d.FS().ReadFile("x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read of a missing file after Heal: %v", err)
	}
}

func TestHungAndSlowOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := raftsim.NewDisk()
		start := time.Now()
		d.Inject(raftsim.Fault{Kind: raftsim.OpSync, Delay: time.Second, Times: 1})
		must(t, d.FS().WriteFile("slow", nil))
		if took := time.Since(start); took != time.Second {
			t.Errorf("slow sync took %v, want a second", took)
		}
		for _, tc := range []struct {
			end  func()
			want error
		}{
			{d.Heal, nil},
			{func() { d.Crash(0, nil) }, raftsim.ErrPowerLoss},
		} {
			done := make(chan error, 1)
			d.Inject(raftsim.Fault{Kind: raftsim.OpRename, Hang: true})
			go func() { done <- d.FS().WriteFile("hung", nil) }()
			synctest.Wait()
			select {
			case err := <-done:
				t.Errorf("rename did not hang: %v", err)
			default:
			}
			tc.end()
			if err := <-done; !errors.Is(err, tc.want) {
				t.Errorf("hung rename ended with %v, want %v", err, tc.want)
			}
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tally counts the commands that it has applied, in memory alone.
type tally struct{ count int }

func (*tally) Open(context.Context, string) (raftstore.Position, error) {
	return raftstore.Position{}, nil
}

func (m *tally) Apply(cmds []raftstore.Command, _ raftstore.Position) (results [][]byte, err error) {
	for range cmds {
		m.count++
		results = append(results, fmt.Append(nil, m.count))
	}
	return results, nil
}

func (*tally) Close() error { return nil }

// A member loses its power, and has what it acknowledged when it is back.
func ExampleDisk() {
	ctx := context.Background()
	disk, net := raftsim.NewDisk(), raftsim.NewNetwork()
	open := func() (*raftstore.Node, error) {
		log, err := seglog.Open("log", seglog.Options{FS: disk.PebbleFS()})
		if err != nil {
			return nil, err
		}
		return raftstore.Open(ctx, raftstore.Config{
			Dir: "member", FS: disk.FS(), Log: log, Transport: net.DiskTransport(disk),
			Name: "a", Initial: []raftstore.InitialMember{{Name: "a", URLs: []string{"sim://a"}}},
			StateMachine: new(tally),
		})
	}
	for range 3 {
		node, err := open()
		if err != nil {
			fmt.Println(err)
			return
		}
		result, err := node.Propose(ctx, []byte("one more"))
		fmt.Println(string(result), err)
		disk.Crash(0, nil)
		node.Stop(ctx) // its process is gone
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 3 <nil>
}
