package unit

import (
	"crypto/sha1"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Option is one assignment in a unit file. Value is verbatim: a continued line
// still holds its backslashes and newlines.
type Option struct {
	Section, Name, Value string
}

// File is a unit file: options in order, without comments. It is immutable, so
// safe for concurrent use; nil and the zero File are empty files.
//
// Invariant: parsing String() gives the same options, grouped by section.
type File struct {
	options []Option
	lines   []int // line of each option in the text that was parsed; nil if none was
}

// NewFile makes a file of options. Values lose surrounding white space, as they
// would in a file. It returns a [*ParseError] for an option that a file cannot
// express: one with a newline in it, which would come back as further options,
// or with a section or name that would read as something else.
func NewFile(options []Option) (*File, error) {
	f := &File{options: make([]Option, 0, len(options))}
	for _, o := range options {
		o.Value = canonicalValue(strings.ReplaceAll(o.Value, "\r\n", "\n"))
		if reason := o.fault(); reason != "" {
			return nil, &ParseError{Reason: fmt.Sprintf("option %q in section %q: %s", o.Name, o.Section, reason)}
		}
		f.options = append(f.options, o)
	}
	return f, nil
}

// canonicalValue trims a value. One that ends in a backslash gets the newline
// back, so that what follows it in a file is a blank line that ends it and not
// the next option.
func canonicalValue(v string) string {
	v = strings.TrimSpace(v)
	if strings.HasSuffix(v, `\`) {
		v += "\n"
	}
	return v
}

// fault tells why the option cannot stand in a file as it is. NUL and carriage
// return end a line for systemd.
func (o Option) fault() string {
	switch {
	case strings.ContainsAny(o.Section, "]\r\n\x00"):
		return "section name contains a character that ends it"
	case o.Name == "":
		return "option name is empty"
	case o.Name != strings.TrimSpace(o.Name) || strings.ContainsAny(o.Name, "=\r\n\x00") || strings.ContainsAny(o.Name[:1], "[#;"):
		return "option name would read as something else in a file"
	case strings.ContainsAny(o.Value, "\r\x00"):
		return "value contains a carriage return or NUL byte"
	}
	lines := strings.Split(o.Name+"="+o.Value, "\n")
	for i, line := range lines {
		if len(line) > maxLine {
			return tooLong
		}
		if i < len(lines)-1 && !strings.HasSuffix(line, `\`) {
			return "value contains a newline without a backslash before it"
		}
	}
	return ""
}

// Options returns the options in the order in which they were given.
func (f *File) Options() []Option {
	if f == nil {
		return nil
	}
	return slices.Clone(f.options)
}

// String is the file as fleet stores and prints it: options grouped by section
// in order of first appearance, a blank line between sections, a newline at the
// end. It is empty for an empty file.
func (f *File) String() string {
	if f == nil {
		return ""
	}
	var order []string
	bySection := map[string][]Option{}
	for _, o := range f.options {
		if _, ok := bySection[o.Section]; !ok {
			order = append(order, o.Section)
		}
		bySection[o.Section] = append(bySection[o.Section], o)
	}
	var b strings.Builder
	for i, section := range order {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString("[" + section + "]\n")
		for _, o := range bySection[section] {
			b.WriteString(o.Name + "=" + o.Value + "\n")
		}
	}
	return b.String()
}

// Hash is the SHA-1 of String().
func (f *File) Hash() Hash { return sha1.Sum([]byte(f.String())) }

// Value is what systemd takes for a setting that holds one value: the last
// assignment. It is empty when there is none. Continued lines are joined by a
// space, and comments between them dropped.
func (f *File) Value(section, name string) string {
	last := ""
	for _, v := range f.all(section, name) {
		last = v
	}
	return last
}

// Values is what systemd takes for a setting that holds a list: all assignments
// since the last empty one, which resets the list. Continued lines are joined as
// in Value.
func (f *File) Values(section, name string) []string {
	var list []string
	for _, v := range f.all(section, name) {
		if v == "" {
			list = nil
			continue
		}
		list = append(list, v)
	}
	return list
}

// all yields line (0 if unknown) and joined value of each assignment.
func (f *File) all(section, name string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		if f == nil {
			return
		}
		for i, o := range f.options {
			if o.Section == section && o.Name == name && !yield(f.line(i), joinLines(o.Value)) {
				return
			}
		}
	}
}

// line is the line of the i-th option, 0 if unknown.
func (f *File) line(i int) int {
	if f.lines == nil {
		return 0
	}
	return f.lines[i]
}

// joinLines makes one line of a continued value.
func joinLines(v string) string {
	if !strings.Contains(v, "\n") {
		return v
	}
	lines := strings.Split(v, "\n")
	kept := lines[:0]
	for i, line := range lines {
		if t := strings.TrimLeft(line, " \t"); i > 0 && t != "" && isComment(t[0]) {
			continue
		}
		kept = append(kept, strings.TrimSuffix(line, `\`))
	}
	return strings.TrimSpace(strings.Join(kept, " "))
}
