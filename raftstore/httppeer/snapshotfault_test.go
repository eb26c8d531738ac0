package httppeer_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
	"pgregory.net/rapid"
)

// snapshotFiles are a snapshot that takes some 6 KiB on the wire.
var snapshotFiles = map[string]string{
	"CURRENT": "7", "empty": "", "sst/1": strings.Repeat("one ", 300), "sst/2": strings.Repeat("two ", 500), "sst/deep/3": strings.Repeat("three", 400),
}

// faulty makes the next connection break or corrupt something; what follows is
// sound.
func (n *simNet) faulty(left, flip int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wrap = func(_ string, c net.Conn) net.Conn {
		n.wrap = nil
		return &brokenConn{Conn: c, left: left, flip: flip}
	}
}

// snapshotPair starts two members of which the first has streams to the second,
// so that the next connection is one of a snapshot, and returns what to send.
func (n *simNet) snapshotPair(t *testing.T, cfg httppeer.Config) (a, b *host, from string) {
	a, b = n.host(t, 0xa, cfg), n.host(t, 0xb, httppeer.Config{})
	b.rec.dir = t.TempDir()
	b.start(t)
	a.start(t, b.member)
	synctest.Wait()
	from = t.TempDir()
	writeTree(t, from, snapshotFiles)
	t.Cleanup(func() { a.Stop(); b.Stop() }) // before the directories go
	return a, b, from
}

// whole lists the files of b's directory that are as sent, with their identity.
func (h *host) whole(t *testing.T) map[string]fs.FileInfo {
	found := make(map[string]fs.FileInfo)
	for name, content := range readTree(t, h.rec.dir) {
		if want, ok := snapshotFiles[name]; ok && want == content {
			info, err := os.Stat(filepath.Join(h.rec.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			found[name] = info
		}
	}
	return found
}

func TestASnapshotThatWasCutGoesOnWithWhatIsMissing(t *testing.T) {
	for cut := 0; ; cut += 173 {
		done := false
		t.Run(fmt.Sprintf("after %d bytes", cut), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := newSimNet()
				a, b, from := sim.snapshotPair(t, httppeer.Config{})
				sim.faulty(cut, -1)
				err := a.SendSnapshot(t.Context(), 0xb, []byte("head"), from)
				if done = err == nil; done {
					return
				}
				if len(b.rec.heads) != 0 {
					t.Fatalf("a snapshot of which %d bytes were sent was taken", cut)
				}
				synctest.Wait() // for b to notice
				before := b.whole(t)
				if err := a.SendSnapshot(t.Context(), 0xb, []byte("head"), from); err != nil {
					t.Fatalf("second attempt: %v", err)
				}
				if got := readTree(t, b.rec.dir); !maps.Equal(got, snapshotFiles) {
					t.Errorf("arrived: %d files, want %d as they were sent", len(got), len(snapshotFiles))
				}
				after := b.whole(t)
				for name, info := range before {
					if !os.SameFile(info, after[name]) || !info.ModTime().Equal(after[name].ModTime()) {
						t.Errorf("%s was whole and has been sent again", name)
					}
				}
			})
		})
		if done || t.Failed() {
			break
		}
	}
}

func TestWhateverHappensOnTheWayASnapshotArrivesWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		faults := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [2]int {
			return [2]int{rapid.IntRange(-1, 7000).Draw(t, "left"), rapid.IntRange(-1, 7000).Draw(t, "flip")}
		}), 1, 3).Draw(rt, "faults")
		sub, err := os.MkdirTemp(dir, "")
		if err != nil {
			rt.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			sim := newSimNet()
			a, b, from := sim.snapshotPair(t, httppeer.Config{})
			b.rec.dir = sub
			for _, f := range faults {
				sim.faulty(f[0], f[1])
				err := a.SendSnapshot(t.Context(), 0xb, []byte("head"), from)
				// A flipped bit of a length makes b wait for more, for a while.
				time.Sleep(time.Minute)
				if taken := len(b.rec.heads) > 0; err == nil && !taken {
					rt.Fatalf("sender believes that the snapshot was taken, receiver has not: %v", f)
				} else if taken {
					break
				}
			}
			if len(b.rec.heads) == 0 {
				if err := a.SendSnapshot(t.Context(), 0xb, []byte("head"), from); err != nil {
					rt.Fatalf("sound attempt after %v: %v", faults, err)
				}
			}
			if got := readTree(t, sub); !maps.Equal(got, snapshotFiles) {
				rt.Fatalf("after %v %d files were taken, want %d as they were sent", faults, len(got), len(snapshotFiles))
			}
		})
	})
}

func TestACorruptChunkIsRefusedWithTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		a, b, from := sim.snapshotPair(t, httppeer.Config{})
		writeTree(t, from, map[string]string{"big": strings.Repeat("x", 1<<20)})
		sim.faulty(-1, 500_000)
		err := a.SendSnapshot(t.Context(), 0xb, nil, from)
		if err == nil || !strings.Contains(err.Error(), "receive big: frame fails its checksum") {
			t.Errorf("send: %v, want the receiver's reason", err)
		}
		if len(b.rec.heads) != 0 {
			t.Error("it was taken nevertheless")
		}
		if _, err := os.Stat(filepath.Join(b.rec.dir, "big")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the corrupt file is still there (%v)", err)
		}
	})
}

func TestAFileThatChangesWhileItIsSentIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		a, b, from := sim.snapshotPair(t, httppeer.Config{})
		b.rec.begin = func() error {
			writeTree(t, from, map[string]string{"sst/1": strings.Repeat("uno ", 300)})
			return nil
		}
		err := a.SendSnapshot(t.Context(), 0xb, nil, from)
		if err == nil || !strings.Contains(err.Error(), "receive sst/1: got checksum") {
			t.Errorf("send: %v, want the receiver's reason", err)
		}
		b.rec.begin = func() error {
			writeTree(t, from, map[string]string{"sst/1": "short"})
			return nil
		}
		if err := a.SendSnapshot(t.Context(), 0xb, nil, from); err == nil || len(b.rec.heads) != 0 {
			t.Errorf("send of a file cut short: %v, taken %q", err, b.rec.heads)
		}
	})
}

func TestTheReceiversTroubleIsToldToTheSender(t *testing.T) {
	for _, c := range []struct {
		name    string
		trouble func(t *testing.T, b *host)
		want    string
	}{
		{"no directory", func(t *testing.T, b *host) {
			b.rec.dir = filepath.Join(b.rec.dir, "file", "below")
			writeTree(t, filepath.Dir(filepath.Dir(b.rec.dir)), map[string]string{"file": ""})
		}, "not a directory"},
		{"disk fails in the middle", func(t *testing.T, b *host) {
			// There is a file in the way by the time its directory is to be made.
			b.rec.heard = func() { writeTree(t, b.rec.dir, map[string]string{"sst": ""}) }
		}, "not a directory"},
		{"node does not take it", func(t *testing.T, b *host) { b.rec.end = errors.New("no room for it") }, "no room for it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := newSimNet()
				a, b, from := sim.snapshotPair(t, httppeer.Config{SnapshotRate: 1 << 20})
				writeTree(t, from, map[string]string{"z": strings.Repeat("z", 3<<20)})
				b.rec.dir = filepath.Join(b.rec.dir, "in")
				writeTree(t, b.rec.dir, nil)
				if err := os.Mkdir(b.rec.dir, 0o700); err != nil {
					t.Fatal(err)
				}
				c.trouble(t, b)
				if b.rec.heard != nil {
					sim.mu.Lock()
					sim.wrap = func(_ string, conn net.Conn) net.Conn { return &hearingConn{Conn: conn, heard: b.rec.heard} }
					sim.mu.Unlock()
				}
				start := time.Now()
				err := a.SendSnapshot(t.Context(), 0xb, nil, from)
				if err == nil || !strings.Contains(err.Error(), "peer refused it") || !strings.Contains(err.Error(), c.want) {
					t.Errorf("send: %v, want what is wrong: %s", err, c.want)
				}
				if b.rec.end == nil && time.Since(start) > time.Second {
					t.Errorf("the sender went on for %v", time.Since(start))
				}
			})
		})
	}
}

// hearingConn calls heard when a reply with the missing files has come.
type hearingConn struct {
	net.Conn
	heard func()
	once  sync.Once
}

func (c *hearingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if strings.Contains(string(b[:n]), `"need"`) {
		c.once.Do(c.heard)
	}
	return n, err
}

func TestASecondSnapshotAtTheSameTimeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		a, b, from := sim.snapshotPair(t, httppeer.Config{SnapshotRate: 1 << 20})
		c := sim.host(t, 0xc, httppeer.Config{})
		c.start(t, b.member)
		writeTree(t, from, map[string]string{"z": strings.Repeat("z", 10<<20)})
		first := make(chan error)
		go func() { first <- a.SendSnapshot(t.Context(), 0xb, []byte("first"), from) }()
		time.Sleep(time.Second)
		if err := c.SendSnapshot(t.Context(), 0xb, []byte("second"), from); err == nil || !strings.Contains(err.Error(), "another one is under way") {
			t.Errorf("second snapshot: %v, want a refusal", err)
		}
		if err := <-first; err != nil {
			t.Errorf("first snapshot: %v", err)
		}
		if got := strings.Join(b.rec.heads, " "); got != "first" {
			t.Errorf("taken: %q, want the first", got)
		}
	})
}

func TestSnapshotsKeepToTheirRate(t *testing.T) {
	for _, rate := range []int64{10 << 10, 1 << 20, 100 << 20} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := newSimNet()
				a, b, from := sim.snapshotPair(t, httppeer.Config{SnapshotRate: rate})
				size := min(20*rate, 8<<20)
				writeTree(t, from, map[string]string{"z": strings.Repeat("z", int(size))})
				start := time.Now()
				if err := a.SendSnapshot(t.Context(), 0xb, nil, from); err != nil {
					t.Fatal(err)
				}
				took, want := time.Since(start), time.Duration(float64(size)/float64(rate)*float64(time.Second))
				if took < want || took > want+want/10+time.Second {
					t.Errorf("%d bytes took %v, want %v", size, took, want)
				}
				if len(b.rec.heads) != 1 {
					t.Errorf("%d snapshots were taken", len(b.rec.heads))
				}
			})
		})
	}
}

func TestASnapshotEndsWithEitherSideAndWithItsContext(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(a, b *host, cancel func())
	}{
		{"sender stops", func(a, _ *host, _ func()) { a.Stop() }},
		{"receiver stops", func(_, b *host, _ func()) { b.Stop() }},
		{"caller gives up", func(_, _ *host, cancel func()) { cancel() }},
		{"sender forgets the peer", func(a, _ *host, _ func()) { a.RemovePeer(0xb) }},
		{"receiver removes the peer", func(_, b *host, _ func()) { b.RemovePeer(0xa) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := newSimNet()
				a, b, from := sim.snapshotPair(t, httppeer.Config{SnapshotRate: 1 << 20})
				writeTree(t, from, map[string]string{"z": strings.Repeat("z", 10<<20)})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				sent := make(chan error, 1)
				go func() { sent <- a.SendSnapshot(ctx, 0xb, nil, from) }()
				time.Sleep(2 * time.Second)
				start := time.Now()
				c.end(a, b, cancel)
				if err := <-sent; err == nil {
					t.Error("the snapshot was sent")
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("it took %v to end", took)
				}
				if synctest.Wait(); !b.rec.ended || len(b.rec.heads) != 0 {
					t.Errorf("receiver's node: told of the end %v, taken %q", b.rec.ended, b.rec.heads)
				}
			})
		})
	}
}

func TestAHungReceiverIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimNet()
		a, b, from := sim.snapshotPair(t, httppeer.Config{})
		// As long as it is at work it may take its time.
		b.rec.begin = func() error { time.Sleep(5 * time.Minute); return nil }
		if err := a.SendSnapshot(t.Context(), 0xb, nil, from); err != nil {
			t.Errorf("send to a slow receiver: %v", err)
		}
		// One that accepts and says nothing is another thing.
		l := sim.listen("mute:1")
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					var b [4096]byte
					for {
						n, err := c.Read(b[:])
						if err != nil {
							return
						}
						if strings.HasPrefix(string(b[:n]), "GET ") {
							_, _ = c.Write([]byte("HTTP/1.1 101 x\r\nUpgrade: strake-raft/1\r\nX-Raft-Storage: 1\r\n\r\n"))
						}
					}
				}()
			}
		}()
		a.SetPeer(raftstore.Member{ID: 0xd, PeerURLs: []string{"http://mute:1"}})
		start := time.Now()
		if err := a.SendSnapshot(t.Context(), 0xd, nil, from); err == nil || time.Since(start) != 10*time.Second {
			t.Errorf("send to a mute receiver: %v after %v, want an error after 10s", err, time.Since(start))
		}
	})
}
