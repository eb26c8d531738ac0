package tree

// A recordCache keeps the records that commands touched lately, so that applying
// the next ones seldom reads the database. It belongs to Apply, which tells it
// of every write, and is never stale; it also knows what does not exist.
//
// Its bound holds between batches only: within one it holds every record that
// the batch has changed, since the batch itself need not be readable.
type recordCache struct {
	maxBytes int64
	bytes    int64
	entries  map[string]*cacheEntry
	clock    []*cacheEntry // all entries, in any order
	hand     int           // into clock
}

type cacheEntry struct {
	key  string
	rec  *record // nil: there is none
	slot int     // in clock
	used bool    // since the hand came by
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
// known.
func (c *recordCache) get(key string) (*record, bool) {
	e := c.entries[key]
	if e == nil {
		return nil, false
	}
	e.used = true
	return e.rec, true
}

// put notes the record of a key, which nobody modifies any more.
func (c *recordCache) put(key string, r *record) {
	e := c.entries[key]
	if e == nil {
		e = &cacheEntry{key: key, slot: len(c.clock)}
		c.entries[key] = e
		c.clock = append(c.clock, e)
	} else {
		c.bytes -= e.size()
	}
	e.rec, e.used = r, true
	c.bytes += e.size()
}

// forget drops what is known of a key.
func (c *recordCache) forget(key string) {
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
func (c *recordCache) clear() { *c = *newRecordCache(c.maxBytes) }

// shrink forgets what was not used for longest, about, until the bound holds.
func (c *recordCache) shrink() {
	for c.bytes > c.maxBytes {
		if c.hand >= len(c.clock) {
			c.hand = 0
		}
		if e := c.clock[c.hand]; e.used {
			e.used = false
			c.hand++
		} else {
			c.forget(e.key)
		}
	}
}
