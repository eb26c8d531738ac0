package cloudconfig

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// around is how many lines a diff shows before and after a change.
const around = 3

// maxDiff bounds the table that finds what two texts have in common; longer
// texts are shown as replaced from the first to the last change.
const maxDiff = 1 << 22

// change is a line of a diff: ' ', '-' or '+', and the text.
type change struct {
	sign byte
	text string
}

// unified writes what changes between two texts, as diff -u does, without its
// heading.
func unified(b *strings.Builder, before, after string) {
	changes := compareLines(splitLines(before), splitLines(after))
	for at := 0; at < len(changes); {
		if changes[at].sign == ' ' {
			at++
			continue
		}
		// A hunk ends where more lines stay than are shown on both sides.
		first := max(0, at-around)
		end, same := at, 0
		for i := at; i < len(changes) && same <= 2*around; i++ {
			if changes[i].sign == ' ' {
				same++
				continue
			}
			end, same = i+1, 0
		}
		end = min(len(changes), end+around)
		writeHunk(b, changes, first, end)
		at = end
	}
}

func writeHunk(b *strings.Builder, changes []change, first, end int) {
	old, now := 1, 1
	for _, c := range changes[:first] {
		if c.sign != '+' {
			old++
		}
		if c.sign != '-' {
			now++
		}
	}
	removed, added := 0, 0
	for _, c := range changes[first:end] {
		if c.sign != '+' {
			removed++
		}
		if c.sign != '-' {
			added++
		}
	}
	if removed == 0 {
		old--
	}
	if added == 0 {
		now--
	}
	fmt.Fprintf(b, "@@ -%d,%d +%d,%d @@\n", old, removed, now, added)
	for _, c := range changes[first:end] {
		text, whole := strings.CutSuffix(c.text, "\n")
		b.WriteString(string(c.sign) + text + "\n")
		if !whole {
			b.WriteString("\\ No newline at end of file\n")
		}
	}
}

// compareLines returns the lines of both texts, those in common once.
func compareLines(a, b []string) []change {
	var head, tail int
	for head < min(len(a), len(b)) && a[head] == b[head] {
		head++
	}
	for tail < min(len(a), len(b))-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var changes []change
	add := func(sign byte, lines []string) {
		for _, line := range lines {
			changes = append(changes, change{sign, line})
		}
	}
	add(' ', a[:head])
	x, y := a[head:len(a)-tail], b[head:len(b)-tail]
	if len(x)*len(y) > maxDiff {
		add('-', x)
		add('+', y)
	} else {
		changes = append(changes, longestCommon(x, y)...)
	}
	add(' ', a[len(a)-tail:])
	return changes
}

// longestCommon finds the most lines that x and y have in common, in order.
func longestCommon(x, y []string) []change {
	common := make([][]int32, len(x)+1) // of x[i:] and y[j:]
	for i := range common {
		common[i] = make([]int32, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var changes []change
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			changes = append(changes, change{' ', x[i]})
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && common[i+1][j] >= common[i][j+1]:
			changes = append(changes, change{'-', x[i]})
			i++
		default:
			changes = append(changes, change{'+', y[j]})
			j++
		}
	}
	return changes
}

// splitLines splits a text after each newline.
func splitLines(text string) []string {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
