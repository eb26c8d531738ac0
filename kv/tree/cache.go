package tree

import (
	"strings"
	"sync"
	"sync/atomic"
)

// A recordCache keeps the records that commands touched lately, so that applying
// the next ones, and reading files, seldom reads the database. It belongs to
// Apply, which tells it of every write, and is never stale; it also knows what
// does not exist.
//
// Its bound holds between batches only: within one it holds every record that
// the batch has changed, since the batch itself need not be readable. What the
// batch has changed is not for others until it is committed, so that they see
// what the database would tell them.
type recordCache struct {
	maxBytes int64

	mu      sync.RWMutex // held by Apply to change, and by others to look
	bytes   int64
	entries map[string]*cacheEntry
	clock   []*cacheEntry // all entries, in any order
	hand    int           // into clock
	pending []*cacheEntry // all that are pending
}

type cacheEntry struct {
	key     string
	rec     *record     // nil: there is none
	slot    int         // in clock
	used    atomic.Bool // since the hand came by
	pending bool        // not committed
}

// entryBytes is about what an entry takes besides its key and value.
const entryBytes = 192

func newRecordCache(maxBytes int64) *recordCache {
	return &recordCache{maxBytes: maxBytes, entries: make(map[string]*cacheEntry)}
}

func (e *cacheEntry) size() int64 {
	n := entryBytes + int64(len(e.key))
	if e.rec != nil {
		n += int64(len(e.rec.value))
	}
	return n
}

// get returns the record of a key, nil if there is none; and whether that is
// known. It is for Apply.
func (c *recordCache) get(key string) (*record, bool) {
	e := c.entries[key]
	if e == nil {
		return nil, false
	}
	e.touch()
	return e.rec, true
}

// committed is get for everybody else.
func (c *recordCache) committed(key string) (*record, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e := c.entries[key]
	if e == nil || e.pending {
		return nil, false
	}
	e.touch()
	return e.rec, true
}

func (e *cacheEntry) touch() {
	if !e.used.Load() {
		e.used.Store(true)
	}
}

// put notes the record of a key, which nobody modifies any more; and whether it
// awaits its commit.
func (c *recordCache) put(key string, r *record, pending bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		key = strings.Clone(key) // which may be part of something larger
		e = &cacheEntry{key: key, slot: len(c.clock)}
		c.entries[key] = e
		c.clock = append(c.clock, e)
	} else {
		c.bytes -= e.size()
	}
	if pending && !e.pending {
		e.pending = true
		c.pending = append(c.pending, e)
	}
	e.rec = r
	e.touch()
	c.bytes += e.size()
}

// commit makes known to everybody what the database tells now.
func (c *recordCache) commit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.pending {
		e.pending = false
	}
	clear(c.pending)
	c.pending = c.pending[:0]
	c.shrink()
}

// forget drops what is known of a key.
func (c *recordCache) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(key)
}

// drop is forget for who holds mu.
func (c *recordCache) drop(key string) {
	e := c.entries[key]
	if e == nil {
		return
	}
	c.bytes -= e.size()
	delete(c.entries, key)
	last := c.clock[len(c.clock)-1]
	c.clock[e.slot], last.slot = last, e.slot
	c.clock[len(c.clock)-1] = nil
	c.clock = c.clock[:len(c.clock)-1]
}

// clear forgets everything.
func (c *recordCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = make(map[string]*cacheEntry)
	c.bytes, c.clock, c.hand, c.pending = 0, nil, 0, nil
}

// limit forgets what was not used for longest, about, until the bound holds.
func (c *recordCache) limit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shrink()
}

// shrink is limit for who holds mu.
func (c *recordCache) shrink() {
	for c.bytes > c.maxBytes {
		if c.hand >= len(c.clock) {
			c.hand = 0
		}
		if e := c.clock[c.hand]; e.used.Swap(false) {
			c.hand++
		} else {
			c.drop(e.key)
		}
	}
}
