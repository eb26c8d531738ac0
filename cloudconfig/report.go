package cloudconfig

import "fmt"

// Severity says how bad an [Entry] is.
type Severity string

// The severities, in the report's words.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityInfo    Severity = "info"
)

// Entry is one remark about a text. As JSON it has the members kind, line and
// message.
type Entry struct {
	Severity Severity `json:"kind"`
	// Line counts from 1 in the text as given.
	Line    int    `json:"line"`
	Message string `json:"message"`
}

// String gives the entry as "line 3: warning: message".
func (e Entry) String() string {
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Severity, e.Message)
}

// Report is what [Validate] has to say, rule by rule and within a rule in the
// order of the text, aliases where they are used. The rules, in order: discovery address, contents of files,
// structure (unknown keys, wrong types, deprecated keys), values, paths,
// misplaced keys.
type Report []Entry

// Validate checks user-data as it was written, before addresses are
// substituted. Empty text, scripts and Ignition configs have nothing to report.
// Wherever [Parse] fails, the report has an entry of [SeverityError].
func Validate(data []byte) Report {
	switch KindOf(data) {
	case KindEmpty, KindScript, KindIgnition:
		return nil
	case KindUnknown:
		return Report{{Severity: SeverityError, Line: 1, Message: unknownKind}}
	}
	d := decode(data)
	if d.syntax {
		return Report{{Severity: SeverityError, Line: d.err.Line, Message: d.err.Reason}}
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
