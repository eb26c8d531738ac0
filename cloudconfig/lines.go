package cloudconfig

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// lineTable gives for a line as YAML counts, from 1, the line as everybody else
// does: to YAML, a line also ends in some characters of Unicode. It is nil where
// there are none and both are the same.
type lineTable []int

// otherBreaks are next line, line separator and paragraph separator.
const otherBreaks = "\u0085\u2028\u2029"

// countLines makes the table for a text.
func countLines(data []byte) lineTable {
	if !hasOtherBreaks(data) {
		return nil
	}
	table, line := lineTable{0, 1}, 1
	for _, r := range string(data) {
		switch {
		case r == '\n':
			line++
		case !strings.ContainsRune(otherBreaks, r):
			continue
		}
		table = append(table, line)
	}
	return table
}

// hasOtherBreaks looks for each of them by itself, which is far faster than for
// any of them.
func hasOtherBreaks(data []byte) bool {
	for _, r := range otherBreaks {
		if bytes.Contains(data, utf8.AppendRune(nil, r)) {
			return true
		}
	}
	return false
}

// line returns the line for one of YAML's.
func (t lineTable) line(n int) int {
	if n < 1 || n >= len(t) {
		return n
	}
	return t[n]
}

// correct corrects the lines of a node and all below it.
func (t lineTable) correct(n *yaml.Node) {
	if t == nil {
		return
	}
	n.Line = t.line(n.Line)
	for _, child := range n.Content {
		t.correct(child)
	}
}
