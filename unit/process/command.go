//go:build linux

package process

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// command is one command of an Exec setting.
type command struct {
	path          string   // absolute, or a bare name to look up in PATH
	argv          []string // argv[0] included
	ignoreFailure bool     // "-"
	verbatim      bool     // ":": no variables in arguments
}

// name is what the journal calls the program.
func (c command) name() string { return filepath.Base(c.path) }

// parseCommands reads the value of an Exec setting: one command, or several with
// ";" between. Words are split and unquoted as systemd does, then their
// specifiers expanded.
//
// Of the prefixes, "+" and "!" change privileges in systemd; here every command
// has those of the unit, so they mean nothing.
func parseCommands(line string, expand func(string) string) ([]command, error) {
	var list []command
	for rest := strings.TrimLeft(line, whitespace); rest != ""; {
		c, after, err := parseCommand(rest, expand)
		if err != nil {
			return nil, err
		}
		list, rest = append(list, c), after
	}
	if len(list) == 0 {
		return nil, errors.New("no command")
	}
	return list, nil
}

// parseCommand reads one command from the beginning of line.
func parseCommand(line string, expand func(string) string) (c command, rest string, err error) {
	prefix := leading(line, "-@:+!")
	c.ignoreFailure = strings.Contains(prefix, "-")
	c.verbatim = strings.Contains(prefix, ":")
	rest = line[len(prefix):]
	for rest != "" {
		if after, ok := cutSemicolon(rest, ";"); ok {
			rest = after
			break
		}
		if after, ok := cutSemicolon(rest, `\;`); ok {
			c.argv, rest = append(c.argv, ";"), after
			continue
		}
		var word string
		if word, rest, err = nextWord(rest); err != nil {
			return command{}, "", err
		}
		c.argv = append(c.argv, expand(word))
	}
	if len(c.argv) == 0 || c.argv[0] == "" {
		return command{}, "", errors.New("no program")
	}
	c.path = c.argv[0]
	if strings.Contains(c.path, "/") && !filepath.IsAbs(c.path) {
		return command{}, "", fmt.Errorf("program %q is neither an absolute path nor a bare name", c.path)
	}
	if strings.Contains(prefix, "@") {
		if c.argv = c.argv[1:]; len(c.argv) == 0 {
			return command{}, "", errors.New(`"@" without a name for the program to see`)
		}
	}
	return c, rest, nil
}

// cutSemicolon removes sep from the beginning of s if it is a word by itself.
func cutSemicolon(s, sep string) (rest string, ok bool) {
	after, ok := strings.CutPrefix(s, sep)
	rest = strings.TrimLeft(after, whitespace)
	return rest, ok && (after == "" || len(rest) < len(after))
}

const whitespace = " \t\r\n"

// nextWord takes the first word off s, which has no leading white space, and
// drops the white space behind it. Quotes may open and close anywhere in a
// word; C escapes are resolved inside and outside of them, unknown ones stay.
func nextWord(s string) (word, rest string, err error) {
	var b strings.Builder
	var quote byte
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '\\':
			text, n := unescape(s[i:])
			b.WriteString(text)
			i += n
			continue
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && strings.IndexByte(whitespace, c) >= 0:
			return b.String(), strings.TrimLeft(s[i:], whitespace), nil
		default:
			b.WriteByte(c)
		}
		i++
	}
	if quote != 0 {
		return "", "", fmt.Errorf("quote %c is not closed", quote)
	}
	return b.String(), "", nil
}

// words splits s into all its words.
func words(s string) ([]string, error) {
	var list []string
	for rest := strings.TrimLeft(s, whitespace); rest != ""; {
		word, after, err := nextWord(rest)
		if err != nil {
			return nil, err
		}
		list, rest = append(list, word), after
	}
	return list, nil
}

// escapes of one character.
var escapes = map[byte]string{
	'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v",
	'\\': `\`, '"': `"`, '\'': `'`, 's': " ",
}

// unescape resolves the C escape that s begins with and tells its length. What
// is none stands for itself.
func unescape(s string) (text string, length int) {
	if len(s) < 2 {
		return s, len(s)
	}
	if text, ok := escapes[s[1]]; ok {
		return text, 2
	}
	digits, skip, base := 0, 2, 16
	switch c := s[1]; {
	case c == 'x':
		digits = 2
	case c == 'u':
		digits = 4
	case c == 'U':
		digits = 8
	case '0' <= c && c <= '7':
		digits, skip, base = 3, 1, 8
	}
	if digits == 0 || len(s) < skip+digits {
		return s[:2], 2
	}
	n, err := strconv.ParseUint(s[skip:skip+digits], base, 32)
	if err != nil || n == 0 || n > utf8.MaxRune || digits < 4 && n > 0xff {
		return s[:2], 2
	}
	if digits < 4 {
		return string([]byte{byte(n)}), skip + digits
	}
	return string(rune(n)), skip + digits
}

// expandArgs replaces variables in arguments: ${NAME} anywhere by its value; a
// word that is $NAME as a whole by the words of its value, of which there may be
// none; $$ by a dollar sign. The program's name is left alone.
func expandArgs(argv []string, env map[string]string) []string {
	out := argv[:min(1, len(argv)):1]
	for _, word := range argv[len(out):] {
		if len(word) > 1 && word[0] == '$' && word[1] != '{' && word[1] != '$' {
			list, err := words(env[word[1:]])
			if err != nil {
				list = strings.Fields(env[word[1:]])
			}
			out = append(out, list...)
			continue
		}
		out = append(out, expandBraces(word, env))
	}
	return out
}

func expandBraces(word string, env map[string]string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(word, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if dollar, ok := strings.CutPrefix(after, "$"); ok {
			b.WriteByte('$')
			word = dollar
			continue
		}
		if name, rest, ok := strings.Cut(strings.TrimPrefix(after, "{"), "}"); ok && strings.HasPrefix(after, "{") && isVariable(name) {
			b.WriteString(env[name])
			word = rest
			continue
		}
		b.WriteByte('$')
		word = after
	}
}

// isVariable reports whether s can be the name of an environment variable.
func isVariable(s string) bool {
	if s == "" || '0' <= s[0] && s[0] <= '9' {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
}
