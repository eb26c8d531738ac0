//go:build linux

package process

import (
	"maps"
	"slices"
	"strings"
)

// defaultPath is where systemd looks for programs.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// assign adds NAME=value entries to env and returns those that are none.
func assign(env map[string]string, entries []string) (bad []string) {
	for _, entry := range entries {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || !isVariable(name) {
			bad = append(bad, entry)
			continue
		}
		env[name] = value
	}
	return bad
}

// entries lists env as NAME=value, ordered by name.
func entries(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// parseEnvFile reads an environment file by systemd's rules: NAME=value lines,
// comments, quotes, and lines continued by a backslash. Lines without "=" are
// ignored.
func parseEnvFile(text string) []string {
	var list []string
	for rest := text; rest != ""; {
		rest = strings.TrimLeft(rest, whitespace)
		if rest == "" {
			break
		}
		if rest[0] == '#' || rest[0] == ';' {
			rest = skipComment(rest)
			continue
		}
		end := strings.IndexAny(rest, "=\n")
		if end < 0 {
			break
		}
		if rest[end] == '\n' {
			rest = rest[end:]
			continue
		}
		value, after := envValue(rest[end+1:])
		list = append(list, strings.TrimRight(rest[:end], " \t")+"="+value)
		rest = after
	}
	return list
}

// skipComment returns what follows the comment at the beginning of s; a
// backslash continues a comment.
func skipComment(s string) string {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '\n':
			return s[i:]
		}
	}
	return ""
}

// envValue reads a value up to the end of its line and returns the rest. Quoted
// parts join; once a bare part has begun, quotes are ordinary. White space around
// the value goes.
func envValue(s string) (value, rest string) {
	var b strings.Builder
	bare := false
	kept := 0 // length of b without bare white space at its end
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\n' || c == '\r':
			return b.String()[:kept], s[i:]
		case c == '\\':
			bare = true
			if i++; i < len(s) && s[i] != '\n' {
				b.WriteByte(s[i])
				kept = b.Len()
			}
		case !bare && (c == '"' || c == '\''):
			i += 1 + quotedValue(&b, s[i+1:], c)
			kept = b.Len()
		case c == ' ' || c == '\t':
			if bare {
				b.WriteByte(c)
			}
		default:
			bare = true
			b.WriteByte(c)
			kept = b.Len()
		}
	}
	return b.String()[:kept], ""
}

// quotedValue writes what stands before the closing quote and tells where that
// is. Double quotes know the shell's escapes, single quotes none.
func quotedValue(b *strings.Builder, s string, quote byte) (end int) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == quote:
			return i
		case c == '\\' && quote == '"' && i+1 < len(s):
			i++
			if strings.IndexByte("\"\\`$\n", s[i]) < 0 {
				b.WriteByte('\\')
			}
			if s[i] != '\n' {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return len(s)
}
