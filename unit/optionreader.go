package unit

import (
	"fmt"
	"slices"
	"strings"
)

// The spellings of fleet's options; earlier ones come first where values are
// merged.
var (
	machineIDKeys = []string{"MachineID", "X-ConditionMachineID", "X-ConditionMachineBootID"}
	machineOfKeys = []string{"X-ConditionMachineOf", "MachineOf"}
	metadataKeys  = []string{"X-ConditionMachineMetadata", "MachineMetadata"}
	conflictsKeys = []string{"X-Conflicts", "Conflicts"}
	replacesKeys  = []string{"Replaces"}
	globalKeys    = []string{"Global"}
)

// newKeys are the options that fleet did not have.
var newKeys = []string{
	"Memory", "CPU", "Disk", "Resources", "Ports", "Priority", "Preemptible", "Movable",
	"Spread", "SpreadGroup", "MaxPerMachine", "SoftConflicts", "Prefer", "Require", "Pin",
}

// optionReader reads the values of one unit's [X-Fleet] section and collects
// what is noteworthy about them.
type optionReader struct {
	name     Name
	file     *File
	warnings []Warning
	fault    *OptionError // that of the first line, of those found
}

// value is one value of an option, split and expanded.
type value struct {
	key  string
	line int
	text string
}

func texts(values []value) []string {
	var list []string
	for _, v := range values {
		list = append(list, v.text)
	}
	return list
}

func (r *optionReader) warn(key string, line int, text string) {
	r.warnings = append(r.warnings, Warning{Key: key, Line: line, Text: text})
}

// refuse takes down what is wrong with an option that fleet did not have.
func (r *optionReader) refuse(v value, format string, args ...any) {
	if r.fault == nil || v.line < r.fault.Line {
		r.fault = &OptionError{Key: v.key, Line: v.line, Reason: v.key + " " + fmt.Sprintf(format, args...)}
	}
}

// lineOf is where an option stands last.
func (r *optionReader) lineOf(key string) int {
	last := 0
	for line := range r.file.all(fleetSection, key) {
		last = line
	}
	return last
}

// fleetOptions reads the options that fleet has.
func (r *optionReader) fleetOptions() Options {
	var o Options
	if ids := r.required(machineIDKeys); len(ids) > 0 {
		o.MachineID = ids[0]
	}
	o.MachineOf = r.required(machineOfKeys)
	o.MachineMetadata = r.metadata()
	o.Conflicts = r.fields(conflictsKeys)
	o.Replaces = texts(r.filled(replacesKeys))
	o.Global = r.boolean(globalKeys)
	return o
}

// unknownKeys warns of keys that nobody knows, in fleet's words.
func (r *optionReader) unknownKeys() {
	known := slices.Concat([]string{"MachineID", "MachineOf", "MachineMetadata", "Conflicts"}, replacesKeys, globalKeys, newKeys,
		machineIDKeys, machineOfKeys, metadataKeys, conflictsKeys)
	for i, o := range r.file.Options() {
		if o.Section != fleetSection || slices.Contains(known, o.Name) {
			continue
		}
		text := fmt.Sprintf("unrecognized requirement in [%s] section: %q", fleetSection, o.Name)
		if meant := Suggest(o.Name, known); meant != "" {
			text += fmt.Sprintf(", did you mean %q?", meant)
		}
		r.warn(o.Name, r.file.line(i), text)
	}
}

// values gives all values under the given spellings, spelling by spelling.
func (r *optionReader) values(keys []string) []value {
	var list []value
	for _, key := range keys {
		for line, raw := range r.file.all(fleetSection, key) {
			for _, text := range splitQuoted(raw) {
				if !r.name.IsTemplate() {
					text = r.name.Expand(text)
				}
				list = append(list, value{key, line, text})
			}
		}
	}
	return list
}

// splitQuoted splits a value that begins and ends with a quote at spaces outside
// quotes, and drops the quotes. Spaces in a row give no empty values. Any other
// value is one.
func splitQuoted(s string) []string {
	if !strings.HasPrefix(s, `"`) || !strings.HasSuffix(s, `"`) {
		return []string{s}
	}
	var list []string
	var b strings.Builder
	quoted, started := false, false
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"':
			quoted, started = !quoted, true
		case c != ' ' || quoted:
			b.WriteByte(c)
			started = true
		case started:
			list = append(list, b.String())
			b.Reset()
			started = false
		}
	}
	return append(list, b.String())
}

// filled is values without empty ones, which it warns of.
func (r *optionReader) filled(keys []string) []value {
	return slices.DeleteFunc(r.values(keys), func(v value) bool {
		if v.text == "" {
			r.warn(v.key, v.line, v.key+" is empty and ignored")
		}
		return v.text == ""
	})
}

// required is values where an empty one would be a constraint that nothing
// meets.
func (r *optionReader) required(keys []string) []string {
	list := r.values(keys)
	for _, v := range list {
		if v.text == "" {
			r.refuse(v, "is empty: no machine could run the unit")
		}
		if strings.ContainsAny(v.text, " \t") {
			r.warn(v.key, v.line, fmt.Sprintf("%s takes one value: no name can match %q", v.key, v.text))
		}
	}
	return texts(list)
}

// fields is values split once more at white space.
func (r *optionReader) fields(keys []string) []string {
	var list []string
	for _, v := range r.filled(keys) {
		list = append(list, strings.Fields(v.text)...)
	}
	return list
}

// metadata groups key=value pairs by key.
func (r *optionReader) metadata() map[string][]string {
	var m map[string][]string
	for _, v := range r.values(metadataKeys) {
		key, val, ok := strings.Cut(v.text, "=")
		if !ok || key == "" || val == "" || strings.Contains(val, "=") {
			r.warn(v.key, v.line, fmt.Sprintf("%s %q is not one key=value pair and is ignored: it constrains nothing", v.key, v.text))
			continue
		}
		if m == nil {
			m = map[string][]string{}
		}
		if !slices.Contains(m[key], val) {
			m[key] = append(m[key], val)
		}
	}
	return m
}

// The words that systemd takes for yes and no.
var (
	yesWords = []string{"true", "yes", "1", "on", "t"}
	noWords  = []string{"false", "no", "0", "off", "f"}
)

// boolean is the last value; anything but a word for true is false.
func (r *optionReader) boolean(keys []string) bool {
	on := false
	for _, v := range r.values(keys) {
		word := strings.ToLower(v.text)
		on = slices.Contains(yesWords, word)
		if !on && !slices.Contains(noWords, word) {
			r.warn(v.key, v.line, fmt.Sprintf("%s %q is neither true nor false and counts as false", v.key, v.text))
		}
	}
	return on
}

// given is the values of an option that fleet did not have. It refuses empty
// ones, and leaves out those of a template that are not yet known.
func (r *optionReader) given(key string) []value {
	return slices.DeleteFunc(r.values([]string{key}), func(v value) bool {
		empty := strings.TrimSpace(v.text) == ""
		if empty {
			r.refuse(v, "is empty")
		}
		return empty || r.unknown(v.text)
	})
}

// unknown reports whether a text depends on the instance of a template.
func (r *optionReader) unknown(text string) bool {
	return r.name.IsTemplate() && Name("x@y.z").Expand(text) != text
}

// words is given split once more at white space.
func (r *optionReader) words(key string) []value {
	var list []value
	for _, v := range r.given(key) {
		for _, word := range strings.Fields(v.text) {
			list = append(list, value{v.key, v.line, word})
		}
	}
	return list
}

// last is the last of given, which counts; it is ok if there is one.
func (r *optionReader) last(key string) (v value, ok bool) {
	list := r.given(key)
	if len(list) == 0 {
		return value{}, false
	}
	return list[len(list)-1], true
}
