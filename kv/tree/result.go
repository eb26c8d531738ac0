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

// Encode returns the result as bytes.
func (r *Result) Encode() []byte {
	switch {
	case r.Err != nil:
		b := binary.AppendUvarint([]byte{resultError}, uint64(r.Err.Code))
		b = appendString(b, r.Err.Cause)
		return binary.AppendUvarint(b, r.Err.Index)
	case r.Event.Action != "":
		ev := event{Event: r.Event}
		return ev.append(append(make([]byte, 0, 1+ev.size()), resultEvent))
	default:
		return []byte{resultNone}
	}
}

// DecodeResult is the inverse of Encode.
func DecodeResult(b []byte) (Result, error) {
	d := decoder{b: b}
	var r Result
	switch d.byte() {
	case resultNone:
	case resultEvent:
		ev := decodeEvent(&d)
		r.Event = ev.Event
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
