package cloudconfig

import (
	"math"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// The targets that fields are made of. A scalar is taken by its literal text
// wherever text is wanted; see the package comment.

// text stores a string.
func text(to *string) target {
	return target{want: "string", take: func(d *decoder, at place) bool {
		s, ok := d.scalar(at)
		if !ok {
			return false
		}
		*to = s.text
		return !s.null
	}}
}

// flag stores a boolean.
func flag(to *bool) target {
	return target{want: "bool", take: func(d *decoder, at place) bool {
		s, ok := d.scalar(at)
		if !ok || s.boolean == nil && !s.null {
			return false
		}
		*to = s.boolean != nil && *s.boolean
		return !s.null
	}}
}

// flagText stores "true" for a true boolean and nothing for a false one.
func flagText(to *string) target {
	return target{want: "bool", take: func(d *decoder, at place) bool {
		var b bool
		ok := flag(&b).take(d, at)
		*to = ""
		if b {
			*to = "true"
		}
		return ok
	}}
}

// integerText stores an integer in decimal, and nothing for 0. A fraction is
// cut off, yet not of the wanted type.
func integerText(to *string) target {
	return target{want: "int", take: func(d *decoder, at place) bool {
		s, ok := d.scalar(at)
		switch {
		case !ok:
			return false
		case s.null:
			*to = ""
			return false
		case s.integer != nil:
			*to = decimal(float64(*s.integer), strconv.FormatInt(*s.integer, 10))
			return true
		case s.float != nil && math.Abs(*s.float) < math.MaxInt64:
			cut := int64(*s.float)
			*to = decimal(float64(cut), strconv.FormatInt(cut, 10))
		}
		return false
	}}
}

// floatText stores a number in plain decimals, and nothing for 0.
func floatText(to *string) target {
	return target{want: "float64", take: func(d *decoder, at place) bool {
		s, ok := d.scalar(at)
		switch {
		case !ok:
			return false
		case s.null:
			*to = ""
			return false
		case s.float != nil:
			*to = decimal(*s.float, strconv.FormatFloat(*s.float, 'f', -1, 64))
			return true
		}
		return false
	}}
}

// decimal returns text, or nothing if the number it prints is 0.
func decimal(number float64, text string) string {
	if number == 0 {
		return ""
	}
	return text
}

// texts appends to a list of strings; items of another type are left out.
func texts(to *[]string) target {
	return target{want: "[]string", take: func(d *decoder, at place) bool {
		return d.items(at, func() { *to = nil }, func(item place) bool {
			var s string
			ok := text(&s).take(d, item)
			if ok {
				*to = append(*to, s)
			}
			return ok
		}, "string")
	}}
}

// structs appends to a list of mappings, each read by the fields that of
// returns for it; items that are no mapping are left out.
func structs[T any](to *[]T, of func(*T) []field) target {
	return target{want: "[]struct", take: func(d *decoder, at place) bool {
		var v T
		fields := of(&v) // of one item after the other
		return d.items(at, func() { *to = nil }, func(item place) bool {
			if item.value.Kind != yaml.MappingNode {
				return false
			}
			v = *new(T)
			d.mapping(item.value, item.path, fields)
			*to = append(*to, v)
			return true
		}, "struct")
	}}
}

// section reads a mapping by fields.
func section(fields []field) target {
	return target{want: "struct", take: func(d *decoder, at place) bool {
		if at.value.Kind != yaml.MappingNode {
			return false
		}
		d.mapping(at.value, at.path, fields)
		return true
	}}
}

// items gives each item of the list at a place to take. A null empties the list
// instead.
func (d *decoder) items(at place, empty func(), take func(place) bool, want string) bool {
	if at.value.Kind != yaml.SequenceNode {
		if s, ok := d.scalar(at); ok && s.null {
			empty()
		}
		return false
	}
	for i, n := range at.value.Content {
		if !d.visit(n) {
			return true
		}
		number := "[" + strconv.Itoa(i) + "]"
		item := place{
			name: at.name + number,
			path: at.path + number,
			line: n.Line, column: n.Column,
			value: follow(n),
		}
		if !take(item) {
			d.note(ruleStructure, SeverityWarning, item, "incorrect type for %q (want %s)", item.name, want)
		}
	}
	return true
}

// scalar reads the scalar at a place; false if there is none. A !!binary that
// does not decode refuses the text.
func (d *decoder) scalar(at place) (scalar, bool) {
	if at.value.Kind != yaml.ScalarNode {
		return scalar{}, false
	}
	s, err := readScalar(at.value)
	if err != nil {
		d.refuse(ruleValues, at, "!!binary value contains invalid base64 data")
		return scalar{}, true
	}
	return s, true
}
