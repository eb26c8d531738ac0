package cloudconfig

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Error is why a text was refused. Parsing the same text again fails the same
// way.
type Error struct {
	// Line and Column count from 1, in the text as given; Column is 0 where
	// only the line is known.
	Line, Column int
	// Key leads to the value at fault, such as "coreos.units[0].command";
	// empty if the text as a whole is at fault.
	Key    string
	Reason string
}

// Error gives place, key and reason on one line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "line %d", e.Line)
	if e.Column > 0 {
		fmt.Fprintf(&b, ", column %d", e.Column)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	return b.String() + ": " + e.Reason
}

// kindError says why data, which is not a cloud-config, is not one.
func kindError(data []byte, kind Kind) *Error {
	switch kind {
	case KindEmpty:
		return &Error{Line: 1, Reason: "the text is empty"}
	case KindScript:
		return &Error{Line: 1, Reason: "the text is a script, not a cloud-config"}
	case KindIgnition:
		return &Error{Line: 1, Reason: "the text is an Ignition config, not a cloud-config"}
	}
	first, _, _ := bytes.Cut(data, []byte("\n"))
	const most = 40
	if len(first) > most {
		first = first[:most]
	}
	return &Error{Line: 1, Reason: fmt.Sprintf("first line is %q, %s", first, unknownKind)}
}

// unknownKind is the report's wording for text of an unknown kind.
const unknownKind = `must be "#cloud-config" or begin with "#!"`

// syntaxError is the Error for what the YAML parser said of data.
func syntaxError(data []byte, err error, lines lineTable) *Error {
	e := &Error{Line: 1, Reason: strings.TrimPrefix(err.Error(), "yaml: ")}
	if load, ok := errors.AsType[*yaml.LoadError](err); ok && load.Mark.Line > 0 {
		e.Line, e.Column, e.Reason = lines.line(load.Mark.Line), load.Mark.Column, load.Message
	} else if line, column, ok := badRune(data); ok {
		e.Line, e.Column = line, column
	}
	if tabbed(data, e.Line) {
		e.Reason += "; the line is indented with a tab, YAML takes only blanks"
	}
	if flattened(data) {
		e.Reason += "; no line of the text is indented, as if its indentation were lost"
	}
	return e
}

// badRune finds the first character that no YAML text may hold. The parser
// names such a character without its place.
func badRune(data []byte) (line, column int, found bool) {
	line, column = 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1, r < ' ' && !strings.ContainsRune("\t\r\n", r), r == 0x7f:
			return line, column, true
		case r == '\n':
			line, column = line+1, 0
		}
		data = data[size:]
		column++
	}
	return 0, 0, false
}

// tabbed reports whether a line, counted from 1, is indented with a tab.
func tabbed(data []byte, line int) bool {
	n := 0
	for text := range bytes.Lines(data) {
		if n++; n == line {
			indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]
			return bytes.IndexByte(indent, '\t') >= 0
		}
	}
	return false
}

// flattened reports whether a text that has keys to nest has no indented line.
// Copying a configuration from a web page or a wiki often does that.
func flattened(data []byte) bool {
	nests := false
	for line := range bytes.Lines(data) {
		text := bytes.TrimRight(line, " \t\r\n")
		if len(text) > 0 && (text[0] == ' ' || text[0] == '\t') {
			return false
		}
		nests = nests || bytes.HasSuffix(text, []byte(":")) || bytes.HasSuffix(text, []byte(": |"))
	}
	return nests
}

// elision finds a line "..." with text after it. To YAML that is the end of
// the document, so that what follows would be lost in silence; mostly it is
// what somebody wrote for lines left out.
func elision(data []byte) *Error {
	const marker = "..."
	if !bytes.Contains(data, []byte("\n"+marker)) {
		return nil
	}
	at, n, begun := 0, 0, false
	for line := range bytes.Lines(data) {
		n++
		text := string(bytes.TrimRight(line, " \t\r\n"))
		blank := text == "" || text[0] == '#'
		if text == "---" || strings.HasPrefix(text, "--- ") {
			if begun || at > 0 {
				return nil // the second document is not looked at
			}
			begun = true
			continue
		}
		switch {
		case text == marker && at == 0:
			at = n
		case !blank && at > 0:
			return &Error{Line: at, Column: 1, Reason: `found "..." with more text after it: lines were left out, or the document ends here`}
		case !blank:
			begun = true
		}
	}
	return nil
}
