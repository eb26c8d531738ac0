package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// screen prints the story, at most 80 columns wide.
type screen struct {
	w     io.Writer
	start time.Time
	part  int
}

func newScreen(w io.Writer) *screen { return &screen{w: w, start: time.Now()} }

// chapter begins a part of the story.
func (s *screen) chapter(format string, args ...any) {
	s.part++
	fmt.Fprintf(s.w, "\n%d. %s\n", s.part, fmt.Sprintf(format, args...))
}

// say tells something, with the time since the start.
func (s *screen) say(format string, args ...any) {
	at := fmt.Sprintf("%6.2fs  ", time.Since(s.start).Seconds())
	text := fmt.Sprintf(format, args...)
	for i, line := range wrap(text, 80-len(at)) {
		if i > 0 {
			at = strings.Repeat(" ", len(at))
		}
		fmt.Fprintf(s.w, "%s%s\n", at, line)
	}
}

// show prints text as it is, indented; lines that are too long are wrapped.
func (s *screen) show(text string) {
	const indent = "   "
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if len(indent+line) <= 80 {
			fmt.Fprintf(s.w, "%s%s\n", indent, line)
			continue
		}
		for i, part := range wrap(line, 80-2*len(indent)) {
			fmt.Fprintf(s.w, "%s%s%s\n", indent, strings.Repeat(" ", min(i, 1)*len(indent)), part)
		}
	}
}

// table prints rows in columns; the first row is the header.
func (s *screen) table(rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&b, "%-*s  ", widths[i], cell)
		}
		fmt.Fprintf(s.w, "   %s\n", strings.TrimRight(b.String(), " "))
	}
}

// wrap breaks text at blanks into lines of at most width columns where it can.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// short gives a duration as a person says it.
func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
