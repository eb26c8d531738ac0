package unit

import (
	"fmt"
	"strings"
	"unicode"
)

// maxLine is the longest line in bytes, that of systemd. Longer ones are
// refused, never cut.
const maxLine = 1 << 20

var tooLong = fmt.Sprintf("line too long (max %d bytes)", maxLine)

// ParseError tells what is wrong with a unit file.
type ParseError struct {
	// Line counts from 1; 0 if the file did not come from text.
	Line int
	// Reason is in fleet's words where fleet has any.
	Reason string
}

// Error gives line and reason.
func (e *ParseError) Error() string {
	if e.Line == 0 {
		return e.Reason
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
}

// Parse reads a unit file by fleet's rules, which are systemd's but for these:
// text before the first section header is skipped, and a comment that ends in
// a backslash continues on the next line. An error is a [*ParseError].
//
// Sections without options vanish. Lines may be up to 1 MiB long and end in
// "\n" or "\r\n".
func Parse(text []byte) (*File, error) {
	p := parser{rest: string(text), file: &File{}}
	for p.next() {
		if reason := p.statement(); reason != "" {
			return nil, &ParseError{Line: p.at, Reason: reason}
		}
	}
	if p.tooLong {
		return nil, &ParseError{Line: p.n, Reason: tooLong}
	}
	return p.file, nil
}

type parser struct {
	rest    string // what is not read yet
	line    string // the current line, without its end
	n       int    // number of the current line
	at      int    // number of the line where the current statement began
	tooLong bool   // the current line is; nothing more is read

	section   string
	inSection bool // a header was seen
	file      *File
}

// next moves to the next line, if there is one.
func (p *parser) next() bool {
	if p.rest == "" || p.tooLong {
		return false
	}
	p.n++
	p.line, p.rest, _ = strings.Cut(p.rest, "\n")
	p.line = strings.TrimSuffix(p.line, "\r")
	p.tooLong = len(p.line) > maxLine
	return !p.tooLong
}

// statement reads the header, comment or assignment that begins at the current
// line, and the lines it continues on. It returns what is wrong with it.
func (p *parser) statement() string {
	p.at = p.n
	line := strings.TrimLeftFunc(p.line, unicode.IsSpace)
	if !p.inSection {
		line = fromAny(line, "[#;")
	}
	switch {
	case line == "":
		return ""
	case isComment(line[0]):
		p.comment()
		return ""
	case line[0] == '[':
		return p.header(line[1:])
	}
	return p.assignment(line)
}

// fromAny is s from the first of chars on; empty if s has none.
func fromAny(s, chars string) string {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[i:]
	}
	return ""
}

func isComment(c byte) bool { return c == '#' || c == ';' }

func (p *parser) comment() {
	for strings.HasSuffix(strings.TrimSuffix(p.line, " "), `\`) && p.next() {
	}
}

func (p *parser) header(line string) string {
	name, garbage, ok := strings.Cut(line, "]")
	if !ok {
		return "unable to find end of section"
	}
	if garbage = strings.TrimSpace(garbage); garbage != "" {
		return fmt.Sprintf("found garbage after section name %s: %q", name, garbage)
	}
	p.section, p.inSection = name, true
	return ""
}

func (p *parser) assignment(line string) string {
	name, first, ok := strings.Cut(line, "=")
	if !ok {
		return "unexpected newline encountered while parsing option name"
	}
	var value strings.Builder
	value.WriteString(first)
	// A blank line ends a value even after a backslash.
	for more := first; strings.HasSuffix(more, `\`) && p.next() && strings.TrimSpace(p.line) != ""; more = p.line {
		value.WriteString("\n" + p.line)
	}
	if p.tooLong {
		return ""
	}
	o := Option{Section: p.section, Name: strings.TrimSpace(name), Value: canonicalValue(value.String())}
	if reason := o.fault(); reason != "" {
		return reason
	}
	p.file.options = append(p.file.options, o)
	p.file.lines = append(p.file.lines, p.at)
	return ""
}
