package tree

import (
	"encoding/binary"

	"github.com/strakeproject/strake/kv"
)

// An event is a kv.Event with what only the tree knows about it. It is what
// the changelog stores and the hub publishes; nobody modifies it once made.
type event struct {
	kv.Event
	refresh bool // only the TTL changed: not delivered to anyone
	memory  int  // of one in the ring: its size
}

// Actions as stored.
var actions = [...]kv.Action{
	1: kv.ActionGet, 2: kv.ActionSet, 3: kv.ActionCreate, 4: kv.ActionUpdate, 5: kv.ActionDelete,
	6: kv.ActionExpire, 7: kv.ActionCompareAndSwap, 8: kv.ActionCompareAndDelete,
}

const (
	eventRefresh = 1 << iota
	eventPrev
	eventDir
	eventExpires
	eventPrevDir
	eventPrevExpires
	eventFlags = 1<<iota - 1
)

// deliver returns the event for a watcher to keep.
func (e *event) deliver() kv.Event {
	ev := e.Event
	if ev.PrevNode != nil {
		prev := *ev.PrevNode
		ev.PrevNode = &prev
	}
	return ev
}

// size estimates the memory that the event takes.
func (e *event) size() int {
	n := 64 + len(e.Node.Key) + len(e.Node.Value)
	if e.PrevNode != nil {
		n += 32 + len(e.PrevNode.Value)
	}
	return n
}

// append encodes the event:
//
//	action(1) flags(1) index(uvarint) key node [node]
//
// The previous node shares the key. Event and node indexes are stored whole:
// an event can be decoded on its own.
func (e *event) append(b []byte) []byte {
	b = append(b, actionCode(e.Action), e.flags())
	b = binary.AppendUvarint(b, e.Index)
	b = appendString(b, e.Node.Key)
	b = appendNode(b, &e.Node)
	if e.PrevNode != nil {
		b = appendNode(b, e.PrevNode)
	}
	return b
}

// encodedLen returns how many bytes append adds.
func (e *event) encodedLen() int {
	n := 2 + uvarintLen(e.Index) + stringLen(e.Node.Key) + nodeLen(&e.Node)
	if e.PrevNode != nil {
		n += nodeLen(e.PrevNode)
	}
	return n
}

// actionCode is the place of an action among actions.
func actionCode(a kv.Action) byte {
	for i, known := range actions {
		if known == a {
			return byte(i)
		}
	}
	return 0
}

func (e *event) flags() byte {
	var f byte
	set := func(on bool, flag byte) {
		if on {
			f |= flag
		}
	}
	set(e.refresh, eventRefresh)
	set(e.Node.Dir, eventDir)
	set(!e.Node.Expiration.IsZero(), eventExpires)
	if p := e.PrevNode; p != nil {
		set(true, eventPrev)
		set(p.Dir, eventPrevDir)
		set(!p.Expiration.IsZero(), eventPrevExpires)
	}
	return f
}

func appendNode(b []byte, n *kv.Node) []byte { return appendString(appendNodeInfo(b, n), n.Value) }

// nodeLen returns how many bytes appendNode adds.
func nodeLen(n *kv.Node) int {
	size := uvarintLen(n.CreatedIndex) + uvarintLen(n.ModifiedIndex) + stringLen(n.Value)
	if !n.Expiration.IsZero() {
		size += 8
	}
	return size
}

// appendNodeInfo is appendNode without the value.
func appendNodeInfo(b []byte, n *kv.Node) []byte {
	b = binary.AppendUvarint(b, n.CreatedIndex)
	b = binary.AppendUvarint(b, n.ModifiedIndex)
	if !n.Expiration.IsZero() {
		b = binary.BigEndian.AppendUint64(b, uint64(nanos(n.Expiration)))
	}
	return b
}

// decodeEvent is the inverse of append.
func decodeEvent(d *decoder) event {
	action, flags, ok := decodeActionFlags(d)
	if !ok {
		return event{}
	}
	e := event{refresh: flags&eventRefresh != 0}
	e.Action = action
	e.Index = d.uvarint()
	key := d.string()
	e.Node = decodeNode(d, key, flags&eventDir != 0, flags&eventExpires != 0)
	if flags&eventPrev != 0 {
		prev := decodeNode(d, key, flags&eventPrevDir != 0, flags&eventPrevExpires != 0)
		e.PrevNode = &prev
	}
	return e
}

func decodeActionFlags(d *decoder) (action kv.Action, flags byte, ok bool) {
	code, flags := d.byte(), d.byte()
	if code == 0 || int(code) >= len(actions) || flags&^eventFlags != 0 {
		d.fail()
		return "", 0, false
	}
	return actions[code], flags, true
}

func decodeNode(d *decoder, key string, dir, expires bool) kv.Node {
	n := decodeNodeInfo(d, key, dir, expires)
	n.Value = d.string()
	return n
}

// decodeNodeInfo is decodeNode without the value.
func decodeNodeInfo(d *decoder, key string, dir, expires bool) kv.Node {
	n := kv.Node{Key: key, Dir: dir, CreatedIndex: d.uvarint(), ModifiedIndex: d.uvarint()}
	if expires {
		n.Expiration = instant(d.int64())
		if n.Expiration.IsZero() {
			d.fail()
		}
	}
	return n
}
