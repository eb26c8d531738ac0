package cloudconfig

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
)

// UserData is what the whole of a machine's user-data asks for.
type UserData struct {
	// Config is merged from all cloud-configs in the user-data, in their
	// order; see [Merge]. It is never nil.
	Config *Config
	// Scripts are to be run after everything else, in this order.
	Scripts []Script
	// Ignition is true if there is an Ignition config in the user-data: that
	// is for another program.
	Ignition bool
	// Unknown names the places where an unknown address left a gap.
	Unknown Report
}

// Script is a program in the user-data, addresses already substituted. It
// begins with "#!".
type Script string

// Read unpacks user-data, substitutes addresses in each part and parses it.
func Read(data []byte, a Addresses) (*UserData, error) { return NewDraft(data).Read(a) }

// Part is one text of the user-data, free of all wrapping.
type Part struct {
	// Name is the file name that a multipart message gives it; mostly empty.
	Name string
	Kind Kind
	Text string
	// Line is where the part begins in the user-data, counting from 1; 0 if it
	// does not stand there as it is, but compressed or encoded.
	Line int

	number int // in a multipart message, counting from 1; 0 outside
}

// Unpack takes gzip, base64 and MIME multipart wrappings off user-data, in any
// nesting, and returns the texts inside in their order: one, if there is no
// multipart message. It does not look at what they say. Together they hold at
// most 64 MiB.
func Unpack(data []byte) ([]Part, error) {
	u := unpacker{left: maxDecoded}
	if err := u.unpack(data, Part{Line: 1}, 0); err != nil {
		return nil, err
	}
	return u.parts, nil
}

// Wrappings may be nested, yet not without end.
const (
	maxNesting = 8
	maxParts   = 1000
)

type unpacker struct {
	parts  []Part
	left   int64 // bytes that unwrapping may still make
	number int
}

// unpack adds what data holds to the parts; like is where it comes from.
func (u *unpacker) unpack(data []byte, like Part, depth int) error {
	if depth > maxNesting {
		return like.fail("wrapped more than %d times", maxNesting)
	}
	kind := KindOf(data)
	switch kind {
	case KindGzip:
		raw, err := gunzip(string(data), u.left)
		if err != nil {
			return like.fail("unable to decompress: %v", err)
		}
		u.left -= int64(len(raw))
		like.Line = 0
		return u.unpack([]byte(raw), like, depth+1)
	case KindBase64:
		raw, err := base64.StdEncoding.DecodeString(stripBlanks(string(data)))
		if err != nil {
			return like.fail("unable to decode base64: %v", err)
		}
		like.Line = 0
		return u.unpack(raw, like, depth+1)
	case KindMultipart:
		return u.multipart(data, like, depth)
	}
	if len(u.parts) == maxParts {
		return like.fail("more than %d parts", maxParts)
	}
	like.Kind, like.Text = kind, string(data)
	u.parts = append(u.parts, like)
	return nil
}

// fail is an Error about a part as a whole.
func (p Part) fail(format string, args ...any) error {
	return p.locate(&Error{Line: 1, Reason: fmt.Sprintf(format, args...)})
}

// locate turns lines of the part into those of the user-data, or else names
// the part.
func (p Part) locate(err error) error {
	e, ok := err.(*Error)
	if !ok || p.number == 0 {
		return err
	}
	located := *e
	if p.Line > 0 {
		located.Line += p.Line - 1
	} else {
		located.Reason = p.String() + ": " + e.Reason
		if e.Key != "" {
			located.Reason, located.Key = p.String()+": "+e.Key+": "+e.Reason, ""
		}
	}
	return &located
}

// place is locate for an entry of a report.
func (p Part) place(e Entry) Entry {
	switch {
	case p.number == 0:
	case p.Line > 0:
		e.Line += p.Line - 1
	default:
		e.Message = p.String() + ": " + e.Message
	}
	return e
}

// String names the part.
func (p Part) String() string {
	if p.Name != "" {
		return fmt.Sprintf("part %d (%s)", p.number, p.Name)
	}
	return fmt.Sprintf("part %d", p.number)
}

// isBase64 reports whether data is nothing but base64 of something that is
// user-data itself. Its first bytes decide; that the rest decodes is seen later.
func isBase64(data []byte) bool {
	const enough = 64
	head := make([]byte, 0, enough)
	for _, c := range data {
		if len(head) == enough {
			break
		}
		if !strings.ContainsRune(" \t\r\n", rune(c)) {
			head = append(head, c)
		}
	}
	if len(head)%4 != 0 {
		return false
	}
	raw, err := base64.StdEncoding.DecodeString(string(head))
	if err != nil {
		return false
	}
	for _, prefix := range []string{"\x1f\x8b", "#cloud-config", "#!", "{", "Content-Type:", "MIME-Version:"} {
		if bytes.HasPrefix(raw, []byte(prefix)) {
			return true
		}
	}
	return false
}
