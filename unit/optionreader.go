package unit

import (
	"fmt"
	"slices"
	"strings"
)

// optionReader reads the values of one unit's [X-Fleet] section and collects
// what is noteworthy about them.
type optionReader struct {
	name     Name
	file     *File
	warnings []Warning
	fault    *OptionError // the first
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

// unknownKeys warns of keys that fleet does not know, in its words.
func (r *optionReader) unknownKeys() {
	known := slices.Concat(machineIDKeys, machineOfKeys, metadataKeys, conflictsKeys, replacesKeys, globalKeys)
	for i, o := range r.file.Options() {
		if o.Section == fleetSection && !slices.Contains(known, o.Name) {
			text := fmt.Sprintf("unrecognized requirement in [%s] section: %q", fleetSection, o.Name)
			r.warnings = append(r.warnings, Warning{Key: o.Name, Line: r.file.line(i), Text: text, Unknown: true})
		}
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
		if v.text == "" && r.fault == nil {
			r.fault = &OptionError{Key: v.key, Reason: v.key + " is empty: no machine could run the unit"}
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

// boolean is the last value; anything but a word for true is false.
func (r *optionReader) boolean(keys []string) bool {
	on := false
	for _, v := range r.values(keys) {
		word := strings.ToLower(v.text)
		on = slices.Contains([]string{"true", "yes", "1", "on", "t"}, word)
		if !on && !slices.Contains([]string{"false", "no", "0", "off", "f"}, word) {
			r.warn(v.key, v.line, fmt.Sprintf("%s %q is neither true nor false and counts as false", v.key, v.text))
		}
	}
	return on
}
