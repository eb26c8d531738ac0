package tree

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Limits are those of the history, for tests that want little of it.
type Limits struct {
	Events     uint64
	Age        time.Duration // next to none if zero
	Bytes      int64
	RingEvents int
}

// WithLimits returns the config with limits set.
func (c Config) WithLimits(l Limits) Config {
	c.limits = limits{events: l.Events, age: max(l.Age, 1), bytes: l.Bytes, ringEvents: l.RingEvents}
	return c
}

// WithFS returns the config with the state on another file system.
func (c Config) WithFS(fs vfs.FS) Config {
	c.fs = fs
	return c
}

// WithMemTable returns the config with another bound for changes in memory.
func (c Config) WithMemTable(bytes int) Config {
	c.memTable = bytes
	return c
}

// OpenLocalTree opens a Local with a Tree's configuration.
func OpenLocalTree(dir string, cfg Config) (*Local, error) { return openLocal(dir, cfg) }

// WithFewNodes returns the config with another bound for the removal of nodes
// one by one.
func (c Config) WithFewNodes(n int) Config {
	c.fewNodes = n
	return c
}

// Floor returns the oldest index of the history.
func (t *Tree) Floor() uint64 { return t.floor.Load() }

// Watchers counts the watchers that the hub knows.
func (l *Local) Watchers() int {
	n := 0
	l.tree.hub.mu.Lock()
	defer l.tree.hub.mu.Unlock()
	l.tree.hub.root.each(func(*watcher) { n++ })
	return n
}

// Digest sums up the whole database, history included.
func (t *Tree) Digest() (string, error) {
	h := sha256.New()
	err := scan(t.db, []byte{0}, []byte{0xff}, func(k, v []byte) (bool, error) {
		fmt.Fprintf(h, "%q=%q\n", k, v)
		return true, nil
	})
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), err
}

// Encode returns the result as Apply does.
func (r *Result) Encode() []byte { return r.append(nil) }

// IsClean is what the decoder of commands asks of a key.
func IsClean(key string) bool { return isClean(key) }

// Cached returns how many bytes the record cache takes.
func (t *Tree) Cached() int64 { return t.cache.bytes }

// Compact rewrites all there is.
func (t *Tree) Compact(ctx context.Context) error {
	return t.db.Compact(ctx, []byte{0}, []byte{0xff}, false)
}
