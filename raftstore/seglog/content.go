package seglog

import (
	"fmt"

	"github.com/strakeproject/strake/raftstore"
)

// place is where an entry is.
type place struct {
	segment uint32 // number
	offset  uint32 // of the entry's header
	length  uint32 // of its data
}

// content is what a log holds: the state, and where the entries are.
type content struct {
	hard raftstore.HardState
	base raftstore.LogPosition
	// missing entries right after the base stand in segments that have not been
	// read. There are none in an open log.
	missing uint64
	places  []place // of the entries after these
}

// newContent returns the content that a segment's header tells of.
func newContent(s state) content {
	return content{hard: s.hard, base: s.base, missing: s.last - s.base.Index}
}

func (c *content) last() uint64 { return c.base.Index + c.missing + uint64(len(c.places)) }

func (c *content) state() state { return state{hard: c.hard, base: c.base, last: c.last()} }

// place returns where a stored entry is.
func (c *content) place(index uint64) place {
	return c.places[index-c.base.Index-c.missing-1]
}

// check returns why a group cannot follow.
func (c *content) check(g *raftstore.LogGroup) error {
	base, last := c.base.Index, c.last()
	if g.Base != nil {
		base, last = g.Base.Index, g.Base.Index
	}
	if t := g.Trim; t != nil {
		if t.Index < base || t.Index > last {
			return fmt.Errorf("cannot trim to %d a log from %d to %d", t.Index, base, last)
		}
		base = t.Index
	}
	for i := range g.Entries {
		index := g.Entries[i].Index
		switch {
		case i == 0 && index <= base:
			return fmt.Errorf("entry %d is not after the base %d", index, base)
		case i == 0 && index > last+1:
			return fmt.Errorf("entry %d leaves a gap after %d", index, last)
		case i > 0 && index != g.Entries[i-1].Index+1:
			return fmt.Errorf("entry %d follows entry %d", index, g.Entries[i-1].Index)
		}
	}
	return nil
}

// rebase empties the log.
func (c *content) rebase(base raftstore.LogPosition) {
	c.base, c.missing, c.places = base, 0, nil
}

// trim drops what is up to a position within the log. Places before it are let
// go when the slice next grows.
func (c *content) trim(to raftstore.LogPosition) {
	n := to.Index - c.base.Index
	gone := min(n, c.missing)
	c.missing -= gone
	c.places = c.places[n-gone:]
	c.base = to
}

// cut drops the entries from index on, which is after the base.
func (c *content) cut(index uint64) {
	keep := index - c.base.Index - 1
	if keep < c.missing {
		c.missing, c.places = keep, c.places[:0]
		return
	}
	c.places = c.places[:min(uint64(len(c.places)), keep-c.missing)]
}

// apply does what a group says that was found in a segment.
func (c *content) apply(g *group) error {
	if g.flags&flagBase != 0 {
		c.rebase(g.base)
	}
	if g.flags&flagTrim != 0 {
		if g.trim.Index < c.base.Index || g.trim.Index > c.last() {
			return errMalformed
		}
		c.trim(g.trim)
	}
	if len(g.entryPlaces) > 0 {
		if g.first <= c.base.Index || g.first > c.last()+1 {
			return errMalformed
		}
		c.cut(g.first)
		c.places = append(c.places, g.entryPlaces...)
	}
	if g.flags&flagHard != 0 {
		c.hard = g.hard
	}
	return nil
}

// firstNeeded returns the number of the first segment that holds an entry, or
// that of the one at the end.
func (c *content) firstNeeded(end uint32) uint32 {
	if len(c.places) > 0 {
		return c.places[0].segment
	}
	return end
}
