package cloudconfig

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Severity says how bad an [Entry] is.
type Severity string

// The severities, in the report's words.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityInfo    Severity = "info"
)

// Entry is one remark about a text.
type Entry struct {
	Severity Severity `json:"kind"`
	// Line and Column count from 1 in the text as given, in characters; Column
	// is 0 where only the line is known.
	Line    int    `json:"line"`
	Message string `json:"message"`
	Column  int    `json:"column,omitempty"`
	// Hint is what the author may have meant; mostly empty.
	Hint string `json:"hint,omitempty"`
}

// String gives the entry as "line 3: warning: message", with its hint in
// parentheses.
func (e Entry) String() string {
	s := fmt.Sprintf("line %d: %s: %s", e.Line, e.Severity, e.Message)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Report is what [Validate] has to say, rule by rule and within a rule in the
// order of the text, aliases where they are used. The rules, in order:
// discovery address, contents of files, structure (unknown keys, wrong types,
// deprecated keys), values, paths, misplaced keys.
//
// Its JSON is a list of objects with the members kind, line, message and where
// known column and hint; an empty report is an empty list.
type Report []Entry

// String gives the entries, a line each.
func (r Report) String() string {
	var b strings.Builder
	for _, e := range r {
		b.WriteString(e.String() + "\n")
	}
	return b.String()
}

// MarshalJSON implements [json.Marshaler].
func (r Report) MarshalJSON() ([]byte, error) {
	if r == nil {
		r = Report{}
	}
	return json.Marshal([]Entry(r))
}

// Validate checks user-data as it was written, before addresses are
// substituted. Empty text, scripts and Ignition configs have nothing to report.
// Wrappings are taken off and every part is checked; lines of what was
// compressed or encoded are those of the part.
// Wherever [Read] or [Parse] fails, the report has an entry of [SeverityError],
// unless it is a substituted address that broke the text.
func Validate(data []byte) Report { return NewDraft(data).Report() }

// report is what the walk through a text has found.
func (d *decoder) report() Report {
	if d.syntax {
		return Report{{Severity: SeverityError, Line: d.err.Line, Column: d.err.Column, Message: d.err.Reason}}
	}
	var report Report
	for _, entries := range d.entries {
		report = append(report, entries...)
	}
	return report
}

// rule numbers the checks in the order in which the report shows them.
type rule int

const (
	ruleDiscovery rule = iota
	ruleContents
	ruleStructure
	ruleValues
	rulePaths
	ruleMisplaced
	rules // how many there are
)
