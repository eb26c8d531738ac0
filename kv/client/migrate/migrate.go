package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strakeproject/strake/kv"
)

// Config says what to copy. The zero value is all that is not hidden.
type Config struct {
	// Keys are the files and directories to copy, hidden ones included; default
	// is the root, whose listing leaves hidden ones out.
	Keys []string
	// Workers is how many writes are under way at a time. Default 16.
	Workers int
	// Progress, if not nil, is called after each node, from several goroutines,
	// with how many are done and how many there are.
	Progress func(done, total int)
}

// Report counts what became of the nodes of the source. The root is not counted.
type Report struct {
	Index       uint64 // of the source when the first of the keys was read
	Files, Dirs int    // written
	Same        int    // of either kind, there already
	Expired     int    // with their time over before they could be written
	Replaced    int    // values that hold U+FFFD; included in Files or Same
	Conflicts   []Conflict
}

// Conflict is a node that could not be written because the target has a node of
// the other kind in its place or above it.
type Conflict struct {
	Key string
	Err error
}

// sloppy is by how much two expiries may differ and still be the same: half a
// second is lost when the time to live is rounded up, and some on the way.
const sloppy = 2 * time.Second

// Copy makes target hold what source does. Conflicts are reported, and do not
// end it; the first other failure does. The Report counts what was done before
// that, too.
//
//	source --one read per key--> flatten --dirs in order, then files--> workers --> target
func Copy(ctx context.Context, source, target kv.Store, cfg Config) (Report, error) {
	c := copier{target: target, cfg: cfg}
	if len(cfg.Keys) == 0 {
		c.cfg.Keys = []string{"/"}
	}
	if cfg.Workers <= 0 {
		c.cfg.Workers = 16
	}
	for _, key := range c.cfg.Keys {
		if err := c.read(ctx, source, key); err != nil {
			return c.report, err
		}
	}
	c.total = len(c.dirs) + len(c.files)
	err := c.write(ctx)
	return c.report, err
}

// copier is a copy under way.
type copier struct {
	target kv.Store
	cfg    Config
	total  int
	done   atomic.Int64

	dirs, files []kv.Node          // of the source, parents before children
	have        map[string]kv.Node // what the target had at first, by key

	mu     sync.Mutex
	report Report
}

// read notes what is at or below a key in both stores.
func (c *copier) read(ctx context.Context, source kv.Store, key string) error {
	opts := kv.GetOptions{Recursive: true, Sorted: true, Quorum: true}
	ev, err := source.Get(ctx, key, opts)
	if err != nil {
		return fmt.Errorf("read source: %w", err)
	}
	if c.report.Index == 0 {
		c.report.Index = ev.Index
	}
	c.flatten(ev.Node)
	ev, err = c.target.Get(ctx, key, opts)
	if errors.Is(err, kv.ErrKeyNotFound) || errors.Is(err, kv.ErrNotDir) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read target: %w", err)
	}
	if c.have == nil {
		c.have = make(map[string]kv.Node)
	}
	remember(c.have, ev.Node)
	return nil
}

func (c *copier) flatten(n kv.Node) {
	children := n.Nodes
	n.Nodes = nil
	switch {
	case n.Key == "/":
	case n.Dir:
		c.dirs = append(c.dirs, n)
	default:
		c.files = append(c.files, n)
	}
	for _, child := range children {
		c.flatten(child)
	}
}

func remember(have map[string]kv.Node, n kv.Node) {
	for _, child := range n.Nodes {
		remember(have, child)
	}
	n.Nodes = nil
	have[n.Key] = n
}

// write writes directories one by one, since each has to be there with its own
// time to live before anything in it, and then files many at a time.
func (c *copier) write(ctx context.Context) error {
	for _, n := range c.dirs {
		if err := c.put(ctx, n); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan kv.Node)
	var workers sync.WaitGroup
	for range min(c.cfg.Workers, len(c.files)) {
		workers.Go(func() {
			for n := range next {
				if err := c.put(ctx, n); err != nil {
					cancel(err) // the first counts
				}
			}
		})
	}
	for _, n := range c.files {
		select {
		case next <- n:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

// put writes one node if need be.
func (c *copier) put(ctx context.Context, n kv.Node) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if old, ok := c.have[n.Key]; ok && same(old, n) {
		c.count(func(r *Report) { r.Same++ }, n)
		return nil
	}
	ttl, ok := left(n)
	if !ok {
		c.count(func(r *Report) { r.Expired++ }, n)
		return nil
	}
	var err error
	if n.Dir {
		_, err = c.target.Create(ctx, n.Key, "", kv.CreateOptions{Dir: true, TTL: ttl})
		if errors.Is(err, kv.ErrKeyExists) {
			err = c.updateDir(ctx, n, ttl)
		}
	} else {
		_, err = c.target.Set(ctx, n.Key, n.Value, kv.SetOptions{TTL: ttl})
	}
	switch {
	case errors.Is(err, kv.ErrNotFile) || errors.Is(err, kv.ErrNotDir):
		c.count(func(r *Report) { r.Conflicts = append(r.Conflicts, Conflict{n.Key, err}) }, n)
		return nil
	case err != nil:
		return fmt.Errorf("write target: %w", err)
	case n.Dir:
		c.count(func(r *Report) { r.Dirs++ }, n)
	default:
		c.count(func(r *Report) { r.Files++ }, n)
	}
	return nil
}

// updateDir changes the time to live of what is in the place of a directory, if
// it is one.
func (c *copier) updateDir(ctx context.Context, n kv.Node, ttl time.Duration) error {
	if old, ok := c.have[n.Key]; ok && !old.Dir {
		return &kv.Error{Code: kv.CodeNotDir, Cause: n.Key}
	}
	_, err := c.target.Update(ctx, n.Key, "", kv.UpdateOptions{TTL: ttl})
	return err
}

// count adds a node to the report.
func (c *copier) count(add func(*Report), n kv.Node) {
	c.mu.Lock()
	add(&c.report)
	if strings.ContainsRune(n.Value, '\uFFFD') {
		c.report.Replaced++
	}
	c.mu.Unlock()
	done := c.done.Add(1)
	if c.cfg.Progress != nil {
		c.cfg.Progress(int(done), c.total)
	}
}

// same reports whether two nodes differ in nothing that is copied.
func same(a, b kv.Node) bool {
	if a.Dir != b.Dir || a.Value != b.Value || a.Expiration.IsZero() != b.Expiration.IsZero() {
		return false
	}
	return a.Expiration.Sub(b.Expiration).Abs() <= sloppy
}

// left returns a node's time to live; false if it is over.
func left(n kv.Node) (time.Duration, bool) {
	if n.Expiration.IsZero() {
		return 0, true
	}
	ttl := time.Until(n.Expiration)
	return ttl, ttl > 0
}
