package tree

import (
	"encoding/binary"
	"errors"

	"github.com/strakeproject/strake/kv"
)

// Result is the outcome of a Command, as Apply returns it.
type Result struct {
	// Event is the answer to a write; zero for an expire or put-member, and
	// when Err is set. It has no child nodes.
	Event kv.Event
	// Err is why the command changed nothing.
	Err *kv.Error
}

const (
	resultNone = iota
	resultEvent
	resultError
)

var errResult = errors.New("tree: malformed result")

// append encodes the result. What the command says, key and value, is not
// repeated:
//
//	resultEvent action(1) flags(1) index(uvarint) node [previous node, with value]
//	resultError code(uvarint) cause(string) index(uvarint)
func (r *Result) append(b []byte) []byte {
	switch {
	case r.Err != nil:
		b = binary.AppendUvarint(append(b, resultError), uint64(r.Err.Code))
		b = appendString(b, r.Err.Cause)
		return binary.AppendUvarint(b, r.Err.Index)
	case r.Event.Action != "":
		ev := event{Event: r.Event}
		b = append(b, resultEvent, actionCode(r.Event.Action), ev.flags())
		b = binary.AppendUvarint(b, ev.Index)
		b = appendNodeInfo(b, &ev.Node)
		if ev.PrevNode != nil {
			b = appendNode(b, ev.PrevNode)
		}
		return b
	default:
		return append(b, resultNone)
	}
}

// DecodeResult decodes what Apply returned for the command.
func (c *Command) DecodeResult(b []byte) (Result, error) {
	d := decoder{b: b}
	var r Result
	switch d.byte() {
	case resultNone:
	case resultEvent:
		r.Event = c.decodeEvent(&d)
	case resultError:
		r.Err = &kv.Error{Code: kv.Code(d.uvarint()), Cause: d.string(), Index: d.uvarint()}
		if r.Err.Code < 0 {
			d.fail()
		}
	default:
		d.fail()
	}
	if !d.done() {
		return Result{}, errResult
	}
	return r, nil
}

// decodeEvent fills in what the command says.
func (c *Command) decodeEvent(d *decoder) kv.Event {
	action, flags, ok := decodeActionFlags(d)
	if !ok {
		return kv.Event{}
	}
	ev := kv.Event{Action: action, Index: d.uvarint()}
	key := c.Key
	if c.Op == OpCreateInOrder {
		key = orderedKey(c.Key, ev.Index)
	}
	ev.Node = decodeNodeInfo(d, key, flags&eventDir != 0, flags&eventExpires != 0)
	if flags&eventPrev != 0 {
		prev := decodeNode(d, key, flags&eventPrevDir != 0, flags&eventPrevExpires != 0)
		ev.PrevNode = &prev
	}
	switch {
	case !c.writes() || ev.Node.Dir:
	case c.Refresh && ev.PrevNode != nil:
		ev.Node.Value = ev.PrevNode.Value
	default:
		ev.Node.Value = c.Value
	}
	return ev
}
