package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/raftstore"
)

// scale measures a large key space. Each part is a process of its own, so that
// its memory is that of the part alone.
type scale struct {
	Part     string `arg:"" default:"all" enum:"all,fill,open,list,copy,join,parked,connected" help:"One part alone: fill, open, list, copy (these on --dir), join, parked, connected."`
	Keys     int    `default:"10000000" help:"How many keys of 256 bytes; they take about 3 GB for ten million."`
	Watchers int    `default:"100000" help:"How many watchers; over HTTP as many as the limit of open files allows."`
	JoinKeys int    `default:"300000" help:"How many keys of 256 bytes a member gets that joins."`
	Dir      string `help:"Where the key space is; default a temporary directory that goes afterwards."`
}

// scaleParts are the parts in their order.
var scaleParts = []string{"fill", "open", "list", "copy", "join", "parked", "connected"}

func (s *scale) run(ctx context.Context, out io.Writer) error {
	parts := map[string]func(context.Context, io.Writer) error{
		"fill": s.fill, "open": s.open, "list": s.list, "copy": s.copy, "join": s.join, "parked": s.parked, "connected": s.connected,
	}
	if s.Dir == "" {
		dir, err := os.MkdirTemp("", "versus-scale-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		s.Dir = dir
	}
	if part, ok := parts[s.Part]; ok {
		return part(ctx, out)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, part := range scaleParts {
		cmd := exec.CommandContext(ctx, self, "scale", part, "--dir", s.Dir,
			"--keys", strconv.Itoa(s.Keys), "--join-keys", strconv.Itoa(s.JoinKeys), "--watchers", strconv.Itoa(s.Watchers))
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}

// say prints a line with the memory that this process takes, and has taken at
// most.
func say(out io.Writer, format string, args ...any) {
	peak := syscall.Rusage{}
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &peak) // it cannot fail for oneself
	now, err := processUsage(os.Getpid())
	if err != nil {
		now.rss = -1
	}
	fmt.Fprintf(out, "%s; RSS %d MB, at most %d MB\n", fmt.Sprintf(format, args...), now.rss>>20, peak.Maxrss>>10)
}

// openTree opens the key space.
func (s *scale) openTree(ctx context.Context) (*tree.Tree, raftstore.Position, error) {
	t := tree.New(tree.Config{})
	pos, err := t.Open(ctx, filepath.Join(s.Dir, "tree"))
	return t, pos, err
}

// key is one of ten thousand to a directory.
func key(i int) string { return fmt.Sprintf("/dir%04d/key%08d", i/10_000, i) }

// A filler applies writes in batches.
type filler struct {
	t   *tree.Tree
	pos raftstore.Position
	rng *rand.Rand
	buf [256]byte
}

// sets writes keys, a batch of them at once.
func (f *filler) sets(keys ...string) error {
	f.pos.Index++
	f.pos.Term = 1
	cmds := make([]raftstore.Command, len(keys))
	for i, key := range keys {
		for j := range f.buf {
			f.buf[j] = 'a' + byte(f.rng.IntN(26))
		}
		c := tree.Command{Op: tree.OpSet, Key: key, Value: string(f.buf[:])}
		cmds[i] = raftstore.Command{Index: f.pos.Index, Seq: i, Stamp: time.Now().UnixNano(), Data: c.Encode()}
	}
	_, err := f.t.Apply(cmds, f.pos)
	return err
}

func (s *scale) filler(t *tree.Tree, pos raftstore.Position) *filler {
	return &filler{t: t, pos: pos, rng: rand.New(rand.NewPCG(1, 2))}
}

// fillBatch is how many keys make a batch.
const fillBatch = 500

func (s *scale) fill(ctx context.Context, out io.Writer) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	t, pos, err := s.openTree(ctx)
	if err != nil {
		return err
	}
	f := s.filler(t, pos)
	begin := time.Now()
	keys := make([]string, 0, fillBatch)
	for i := range s.Keys {
		if keys = append(keys, key(i)); len(keys) == fillBatch || i == s.Keys-1 {
			if err := errors.Join(ctx.Err(), f.sets(keys...)); err != nil {
				return errors.Join(err, t.Close())
			}
			keys = keys[:0]
		}
	}
	took := time.Since(begin)
	say(out, "%d keys written in %.0f s, %.0f/s", s.Keys, took.Seconds(), float64(s.Keys)/took.Seconds())
	return t.Close()
}

func (s *scale) open(ctx context.Context, out io.Writer) error {
	begin := time.Now()
	t, _, err := s.openTree(ctx)
	if err != nil {
		return err
	}
	defer t.Close()
	say(out, "opened in %.2f s", time.Since(begin).Seconds())
	const reads = 100_000
	begin = time.Now()
	for range reads {
		if _, err := t.Get(key(rand.IntN(s.Keys)), kv.GetOptions{}); err != nil {
			return err
		}
	}
	say(out, "%d reads of any keys, %.1f µs each", reads, time.Since(begin).Seconds()*1e6/reads)
	return nil
}

func (s *scale) list(ctx context.Context, out io.Writer) error {
	t, _, err := s.openTree(ctx)
	if err != nil {
		return err
	}
	defer t.Close()
	begin := time.Now()
	n := 0
	err = t.List(ctx, "/", kv.GetOptions{Recursive: true}, func(uint64, kv.Node) error {
		n++
		return nil
	})
	say(out, "%d nodes listed in %.1f s", n, time.Since(begin).Seconds())
	return err
}

// copy makes a copy while writes go on, opens it elsewhere, and removes all.
func (s *scale) copy(ctx context.Context, out io.Writer) error {
	t, pos, err := s.openTree(ctx)
	if err != nil {
		return err
	}
	defer t.Close()
	dir := filepath.Join(s.Dir, "copy")
	defer os.RemoveAll(dir)
	begin := time.Now()
	copied := make(chan error, 1)
	go func() {
		_, err := t.Checkpoint(ctx, dir)
		copied <- err
	}()
	f := s.filler(t, pos)
	var longest time.Duration
	writes := 0
	for done := false; !done; writes++ {
		select {
		case err := <-copied:
			if err != nil {
				return err
			}
			done = true
		default:
		}
		write := time.Now()
		if err := f.sets(key(rand.IntN(s.Keys))); err != nil {
			return err
		}
		longest = max(longest, time.Since(write))
	}
	say(out, "copied in %.2f s beside %d writes, the slowest of %.0f ms",
		time.Since(begin).Seconds(), writes, longest.Seconds()*1e3)

	begin = time.Now()
	other := tree.New(tree.Config{})
	if _, err := other.Open(ctx, dir); err != nil {
		return err
	}
	say(out, "copy opened in %.2f s", time.Since(begin).Seconds())
	if err := other.Close(); err != nil {
		return err
	}
	begin = time.Now()
	for i := range (s.Keys + 9999) / 10_000 {
		c := tree.Command{Op: tree.OpDelete, Key: kv.Parent(key(i * 10_000)), Recursive: true}
		f.pos.Index++
		if _, err := t.Apply([]raftstore.Command{{Index: f.pos.Index, Data: c.Encode()}}, f.pos); err != nil {
			return err
		}
	}
	say(out, "all directories removed in %.2f s", time.Since(begin).Seconds())
	return nil
}

// parked has many watchers of one key, each in a goroutine, and one event.
func (s *scale) parked(ctx context.Context, out io.Writer) error {
	l, err := tree.NewLocal()
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var told sync.WaitGroup
	errs := make([]error, s.Watchers)
	for i := range s.Watchers {
		w, err := l.Watch(ctx, "/watched", kv.WatchOptions{})
		if err != nil {
			return err
		}
		told.Go(func() {
			for _, err := range w.Events {
				errs[i] = err
				return
			}
		})
	}
	say(out, "%d watchers in this process", s.Watchers)
	begin := time.Now()
	if _, err := l.Set(ctx, "/watched", "v", kv.SetOptions{}); err != nil {
		return err
	}
	wrote := time.Since(begin)
	told.Wait()
	say(out, "one event written in %.0f ms, all told after %.2f s", wrote.Seconds()*1e3, time.Since(begin).Seconds())
	return errors.Join(errs...)
}

// connected has many watchers of one key at a server, each with a connection, and
// one event.
func (s *scale) connected(ctx context.Context, out io.Writer) error {
	n := min(s.Watchers, raiseFileLimit()-200)
	sys, err := ours(ctx, s.Dir)
	if err != nil {
		return err
	}
	c, err := sys.start(ctx, 1, filepath.Join(s.Dir, "server"))
	if err != nil {
		return err
	}
	defer func() { _ = c.stop() }() // what it has measured counts
	var told sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		// From one address there are ports for 28 thousand.
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, 0, byte(1+i/20_000))}}
		w, err := dial(ctx, from, c.addrs()[0])
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		defer w.Close()
		if err := errors.Join(w.get("/v2/keys/watched?wait=true"), w.head()); err != nil {
			return fmt.Errorf("watch %d: %w", i, err)
		}
		told.Go(func() { errs[i] = w.body() })
	}
	u, err := c.usage()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d watchers with connections; RSS of the server %d MB, %.1f KB each\n",
		n, u.rss>>20, float64(u.rss)/1024/float64(n))
	writer, err := dial(ctx, net.Dialer{}, c.addrs()[0])
	if err != nil {
		return err
	}
	defer writer.Close()
	begin := time.Now()
	if err := errors.Join(writer.put("/v2/keys/watched", 256), writer.answer()); err != nil {
		return err
	}
	wrote := time.Since(begin)
	told.Wait()
	fmt.Fprintf(out, "one event written in %.0f ms, all told after %.2f s\n", wrote.Seconds()*1e3, time.Since(begin).Seconds())
	return errors.Join(errs...)
}

// raiseFileLimit lets this process, and those it starts, have as many open files
// as it may, and returns how many.
func raiseFileLimit() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 1024
	}
	more := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more) == nil { // root may
		return 1 << 20
	}
	l.Cur = l.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l) // it stays as it is then
	return int(l.Cur)
}
