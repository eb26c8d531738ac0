package unit

import (
	"fmt"
	"slices"
	"strings"
)

// maxNameLen is the longest unit name, in bytes.
const maxNameLen = 256

// suffixes are the unit types there are; templateSuffixes those that can be
// templates. Both are sorted.
var (
	suffixes = []string{
		"automount", "busname", "device", "mount", "path", "scope", "service",
		"slice", "snapshot", "socket", "swap", "target", "timer",
	}
	templateSuffixes = []string{"path", "service", "socket", "target", "timer"}
)

// Name is the name of a unit, such as "web@1.service". Its methods take it
// apart and never fail; they mean something for names that pass [CheckName].
//
//	web@1.service
//	╰┬╯ │╰──┬───╯
//	 │  │   Suffix
//	 │  Instance
//	 Prefix
type Name string

// NameError tells why a name is none.
type NameError struct {
	Name   string
	Reason string
}

// Error gives the reason, in the words of fleet's API.
func (e *NameError) Error() string { return e.Reason }

// CheckName returns a [*NameError] for a name that no unit may have. The rules,
// their order and their texts are those of fleet's API.
func CheckName(name string) error {
	if reason := nameFault(name); reason != "" {
		return &NameError{Name: name, Reason: reason}
	}
	return nil
}

func nameFault(name string) string {
	if name == "" {
		return "unit name cannot be empty"
	}
	if len(name) > maxNameLen {
		return fmt.Sprintf("unit name exceeds maximum length (%d)", maxNameLen)
	}
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return `unit name must contain "."`
	}
	stem, suffix := name[:dot], name[dot+1:]
	if suffix == "" {
		return `unit name cannot end in "."`
	}
	if _, ok := slices.BinarySearch(suffixes, suffix); !ok {
		return fmt.Sprintf("invalid unit type: %q", suffix)
	}
	if strings.Contains(name, "@") && !slices.Contains(templateSuffixes, suffix) {
		return fmt.Sprintf("invalid unit type for template: %q", suffix)
	}
	if i := strings.IndexFunc(stem, notInName); i >= 0 {
		return fmt.Sprintf("invalid character %q in unit name", []rune(stem[i:])[0])
	}
	if name[0] == '@' {
		return `unit name cannot start in "@"`
	}
	return ""
}

func notInName(r rune) bool {
	switch {
	case '0' <= r && r <= '9', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		return false
	}
	return !strings.ContainsRune(`:-_.\@`, r)
}

// Mangle makes a unit name of what a person typed: it appends ".service" unless
// the text ends in one of systemd's suffixes.
func Mangle(name string) string {
	if _, ok := slices.BinarySearch(suffixes, strings.TrimPrefix(Name(name).Suffix(), ".")); ok {
		return name
	}
	return name + ".service"
}

// Suffix is the last dot and what follows: ".service".
func (n Name) Suffix() string {
	if i := strings.LastIndexByte(string(n), '.'); i >= 0 {
		return string(n[i:])
	}
	return ""
}

// Stem is the name without its suffix: "web@1".
func (n Name) Stem() string { return strings.TrimSuffix(string(n), n.Suffix()) }

// Prefix is what stands before the first "@": "web"; the whole stem of a name
// that has none.
func (n Name) Prefix() string {
	prefix, _, _ := strings.Cut(n.Stem(), "@")
	return prefix
}

// Instance is what stands between the first "@" and the suffix: "1"; empty for
// templates and for names without "@".
func (n Name) Instance() string {
	_, instance, _ := strings.Cut(n.Stem(), "@")
	return instance
}

// IsTemplate reports whether the name is that of a template, "web@.service". A
// template can be stored but not run.
func (n Name) IsTemplate() bool { return strings.Contains(n.Stem(), "@") && n.Instance() == "" }

// Template is the name of the template that the unit is an instance of:
// "web@.service"; empty unless it is an instance.
func (n Name) Template() string {
	if n.Instance() == "" {
		return ""
	}
	return n.Prefix() + "@" + n.Suffix()
}

// Expand replaces the specifiers that fleet knows in [X-Fleet]: %n the name, %N
// the stem, %p the prefix, %i the instance. Anything else stays, "%%" too.
func (n Name) Expand(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	return strings.NewReplacer(
		"%n", string(n), "%N", n.Stem(), "%p", n.Prefix(), "%i", n.Instance(),
	).Replace(s)
}
