package cloudconfig

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// decoder walks the YAML tree of one text along the fields that a Config has,
// and in that one walk fills the Config and writes the report:
//
//	text -> yaml.Node -> mapping(fields) -> target.take -> Config
//	                          |                  |
//	                          +--> note(rule) <--+--> refuse: Parse fails
//
// Both Parse and Validate are views of its result, so that they cannot
// disagree about what a text says.
type decoder struct {
	config  Config
	files   []fileText // write_files as written; finishFiles turns them into Files
	entries [rules][]Entry
	err     *Error // the first refusal; Parse returns it
	syntax  bool   // err is about the text as a whole: nothing was walked
	visited int    // nodes visited so far, aliases followed; see visit
	decoded int64  // bytes of file content decoded so far
	hints   int    // hints looked for so far; see suggest
}

// maxVisited bounds the work that aliases can ask for; it is far above any
// real configuration.
const maxVisited = 200_000

// place is a value in the text and what leads to it.
type place struct {
	// name is the last key with underscores, "users[0]" for a list item.
	name string
	// path is all keys, "coreos.units[0].command".
	path string
	// line and column are those of the key, or of the item.
	line, column int
	value        *yaml.Node
}

// field is one key that a mapping may have.
type field struct {
	key string // with underscores
	to  target
	// deprecated is why the key should not be used; empty if it may.
	deprecated string
	// valid is what a text must match to please the report; nil is anything.
	valid *regexp.Regexp
	// check refuses a text that could not be carried out; nil is anything.
	check func(text string) error
}

// target is where a value goes.
type target struct {
	// want names the type in the report's words.
	want string
	// take stores the value; false if it is not of the wanted type. A null is
	// never of that type and makes the target zero.
	take func(d *decoder, at place) bool
}

// decode reads data, which need not be a cloud-config.
func decode(data []byte) *decoder {
	d := &decoder{}
	root, err := document(data)
	if err != nil {
		d.err, d.syntax = err, true
		return d
	}
	if root != nil && root.Kind == yaml.MappingNode {
		d.mapping(root, "", configFields(&d.config))
		d.finishFiles()
	}
	return d
}

// parsed is the Config, or why there is none.
func (d *decoder) parsed() (*Config, error) {
	if d.err != nil {
		return nil, d.err
	}
	return &d.config, nil
}

// document returns the root of the first YAML document; nil if it is empty.
func document(data []byte) (*yaml.Node, *Error) {
	if kind := KindOf(data); kind != KindCloudConfig {
		return nil, kindError(data, kind)
	}
	if bytes.IndexByte(data, '\r') >= 0 { // wherever they come from, lines end in LF
		data = bytes.ReplaceAll(data, []byte("\r"), nil)
	}
	lines := countLines(data)
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, syntaxError(data, err, lines)
	}
	lines.correct(&doc)
	if err := elision(data); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], checkKeys(doc.Content[0])
}

// checkKeys refuses keys that are not plain text. They come from templates that
// nobody filled in: {{ hostname }} is a mapping within a mapping.
func checkKeys(n *yaml.Node) *Error {
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && follow(child).Kind != yaml.ScalarNode {
			return &Error{Line: child.Line, Column: child.Column, Reason: "invalid map key: a list or mapping cannot be a key; is this a template left unfilled?"}
		}
		if err := checkKeys(child); err != nil {
			return err
		}
	}
	return nil
}

// mapping hands the values of mapping n to the fields of their keys.
func (d *decoder) mapping(n *yaml.Node, path string, fields []field) {
	for _, p := range d.pairs(n) {
		key := follow(p.key)
		at := place{name: normalize(key.Value), line: p.key.Line, column: p.key.Column, value: follow(p.value)}
		at.path = at.name
		if path != "" {
			at.path = path + "." + at.name
		}
		if f := lookup(fields, at.name); f != nil {
			d.field(f, at)
		} else {
			d.note(ruleStructure, SeverityWarning, at, "unrecognized key %q", at.name).Hint = d.suggest(path, at.name, fields)
		}
		if at.path == "coreos.write_files" {
			d.note(ruleMisplaced, SeverityInfo, at, "write_files doesn't belong under coreos")
		}
	}
}

// field takes the value at one known key.
func (d *decoder) field(f *field, at place) {
	if f.deprecated != "" {
		d.note(ruleStructure, SeverityWarning, at, "deprecated key %q (%s)", at.name, f.deprecated)
	}
	if !f.to.take(d, at) {
		d.note(ruleStructure, SeverityWarning, at, "incorrect type for %q (want %s)", at.name, f.to.want)
	}
	if f.valid == nil && f.check == nil || at.value.Kind != yaml.ScalarNode {
		return
	}
	s, err := readScalar(at.value)
	if err != nil || s.text == "" {
		return
	}
	bad := f.valid != nil && !f.valid.MatchString(s.text)
	if bad {
		d.note(ruleValues, SeverityError, at, "invalid value %s", s.text)
	}
	if f.check == nil {
		return
	}
	if err := f.check(s.text); err != nil {
		d.fail(at, err.Error())
		if !bad {
			d.note(ruleValues, SeverityError, at, "%s: %v", at.path, err)
		}
	}
}

// pair is one entry of a mapping, aliases not followed.
type pair struct{ key, value *yaml.Node }

// pairs returns the entries of mapping n: first what merge keys bring in and n
// does not say itself, then its own in the order of the text.
func (d *decoder) pairs(n *yaml.Node) []pair {
	own := make([]pair, 0, len(n.Content)/2)
	var merges []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		p := pair{n.Content[i], n.Content[i+1]}
		if p.key.ShortTag() == "!!merge" {
			merges = append(merges, p)
			continue
		}
		if !d.visit(p.key) || !d.visit(p.value) {
			return nil
		}
		own = append(own, p)
	}
	if len(merges) == 0 {
		return own
	}
	return append(d.merged(merges, own), own...)
}

// merged returns what merge keys bring in that own does not say.
func (d *decoder) merged(merges, own []pair) []pair {
	said := map[string]bool{}
	for _, p := range own {
		said[normalize(follow(p.key).Value)] = true
	}
	var merged []pair
	for _, merge := range merges {
		if !d.visit(merge.key) {
			continue
		}
		for _, source := range d.mergeSources(merge.value) {
			for _, p := range d.pairs(source) {
				if name := normalize(follow(p.key).Value); !said[name] {
					merged = append(merged, p)
					said[name] = true
				}
			}
		}
	}
	return merged
}

// mergeSources returns the mappings that the value of a merge key names.
func (d *decoder) mergeSources(value *yaml.Node) []*yaml.Node {
	value = follow(value)
	if value.Kind == yaml.MappingNode {
		return []*yaml.Node{value}
	}
	var sources []*yaml.Node
	if value.Kind == yaml.SequenceNode {
		for _, item := range value.Content {
			if !d.visit(item) {
				return nil
			}
			if item = follow(item); item.Kind == yaml.MappingNode {
				sources = append(sources, item)
			}
		}
	}
	return sources
}

// visit counts a node, a long text as several; false when there were too many.
func (d *decoder) visit(n *yaml.Node) bool {
	if d.visited > maxVisited {
		return false
	}
	d.visited += 1 + len(follow(n).Value)/256
	if d.visited > maxVisited {
		d.refuse(ruleStructure, place{line: n.Line, column: n.Column}, fmt.Sprintf("more than %d values after following aliases", maxVisited))
		return false
	}
	return true
}

// note adds an entry to the report, and returns it until the next is added.
func (d *decoder) note(r rule, severity Severity, at place, format string, args ...any) *Entry {
	e := Entry{Severity: severity, Line: at.line, Column: at.column, Message: fmt.Sprintf(format, args...)}
	d.entries[r] = append(d.entries[r], e)
	return &d.entries[r][len(d.entries[r])-1]
}

// fail makes Parse fail, unless something before did.
func (d *decoder) fail(at place, reason string) {
	if d.err != nil {
		return
	}
	d.err = &Error{Line: at.line, Column: at.column, Key: at.path, Reason: reason}
	if at.value != nil {
		d.err.Line, d.err.Column = at.value.Line, at.value.Column
	}
}

// refuse makes Parse fail and says so in the report.
func (d *decoder) refuse(r rule, at place, reason string) {
	d.fail(at, reason)
	if at.path != "" {
		reason = at.path + ": " + reason
	}
	d.note(r, SeverityError, at, "%s", reason)
}

func lookup(fields []field, key string) *field {
	for i := range fields {
		if fields[i].key == key {
			return &fields[i]
		}
	}
	return nil
}

// normalize gives the spelling of a key under which fields are known.
func normalize(key string) string { return strings.ReplaceAll(key, "-", "_") }

// follow returns the node that an alias stands for. An alias node points at the
// anchored node itself, never at another alias.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}
