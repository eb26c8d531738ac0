package httpapi

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/strakeproject/strake/kv"
)

// appendEvent appends the JSON of an event and a newline. Members stand in the
// order in which the original writes them.
func appendEvent(b []byte, ev *kv.Event, now time.Time) []byte {
	b = append(b, `{"action":"`...)
	b = append(b, ev.Action...)
	b = append(b, `","node":`...)
	b = appendNode(b, &ev.Node, now, !removal(ev.Action))
	if ev.PrevNode != nil {
		b = append(b, `,"prevNode":`...)
		b = appendNode(b, ev.PrevNode, now, true)
	}
	return append(b, "}\n"...)
}

// removal reports whether an event of this action leaves no node behind.
func removal(a kv.Action) bool {
	return a == kv.ActionDelete || a == kv.ActionCompareAndDelete || a == kv.ActionExpire
}

// appendNode appends a node. A file shows its value even if empty, but the node
// that a removal leaves has none. The root has neither key nor indexes.
func appendNode(b []byte, n *kv.Node, now time.Time, withValue bool) []byte {
	b = appendNodeHead(b, n, now, withValue)
	if len(n.Nodes) > 0 {
		b = append(b, `"nodes":[`...)
		for i := range n.Nodes {
			b = appendNode(b, &n.Nodes[i], now, withValue)
			b = append(b, ',')
		}
		b = append(b[:len(b)-1], `],`...)
	}
	return appendNodeTail(b, n)
}

// appendNodeHead appends what comes before the children.
func appendNodeHead(b []byte, n *kv.Node, now time.Time, withValue bool) []byte {
	b = append(b, '{')
	if n.Key != "/" {
		b = append(b, `"key":`...)
		b = appendString(b, n.Key)
		b = append(b, ',')
	}
	if n.Dir {
		b = append(b, `"dir":true,`...)
	} else if withValue {
		b = append(b, `"value":`...)
		b = appendString(b, n.Value)
		b = append(b, ',')
	}
	if !n.Expiration.IsZero() {
		b = append(b, `"expiration":"`...)
		b = n.Expiration.UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, `",`...)
		if left := ttlLeft(n.Expiration, now); left != 0 {
			b = append(b, `"ttl":`...)
			b = strconv.AppendInt(b, left, 10)
			b = append(b, ',')
		}
	}
	return b
}

// appendNodeTail appends what comes after the children.
func appendNodeTail(b []byte, n *kv.Node) []byte {
	if n.ModifiedIndex != 0 {
		b = append(b, `"modifiedIndex":`...)
		b = strconv.AppendUint(b, n.ModifiedIndex, 10)
		b = append(b, ',')
	}
	if n.CreatedIndex != 0 {
		b = append(b, `"createdIndex":`...)
		b = strconv.AppendUint(b, n.CreatedIndex, 10)
		b = append(b, ',')
	}
	if last := len(b) - 1; b[last] == ',' {
		b = b[:last]
	}
	return append(b, '}')
}

// ttlLeft returns the whole seconds left, rounded up; negative once a second has
// passed. The nanosecond taken off is what a TTL of no seconds is given.
func ttlLeft(expiration, now time.Time) int64 {
	left := expiration.Sub(now) - 1
	if left > 0 {
		left += time.Second - 1
	}
	return int64(left / time.Second)
}

// appendError appends the JSON of an error and a newline.
func appendError(b []byte, e *kv.Error) []byte {
	b = append(b, `{"errorCode":`...)
	b = strconv.AppendInt(b, int64(e.Code), 10)
	b = append(b, `,"message":`...)
	b = appendString(b, e.Code.Message())
	if e.Cause != "" {
		b = append(b, `,"cause":`...)
		b = appendString(b, e.Cause)
	}
	b = append(b, `,"index":`...)
	b = strconv.AppendUint(b, e.Index, 10)
	return append(b, "}\n"...)
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string. Like the original it escapes what could
// end a script element and the two line separators that JavaScript chokes on,
// and replaces each byte that is not UTF-8.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0 // of what is not yet appended
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			b = appendEscaped(b, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029':
			b = append(append(b, s[start:i]...), `\u202`...)
			b = append(b, hexDigits[r&0xf])
			start = i + size
		}
		i += size
	}
	return append(append(b, s[start:]...), '"')
}

// plain tells which bytes stand for themselves in a string.
var plain = func() (t [256]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return t
}()

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}
