package schedule

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxExprDepth bounds how deep conditions are nested.
const maxExprDepth = 50

// ParseExpr reads a condition. The error names what was found, and at which
// character.
func ParseExpr(text string) (*Expr, error) {
	p := exprParser{text: text}
	p.next()
	e, err := p.any()
	if err == nil && p.token != "" {
		err = p.unexpected("the end, && or ||")
	}
	if err != nil {
		return nil, fmt.Errorf("condition %q: %w", text, err)
	}
	return e, nil
}

// exprParser reads tokens one ahead:
//
//	any   = all { "||" all }
//	all   = one { "&&" one }
//	one   = "!" one | "(" any ")" | key [ test ]
//	test  = ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) word
//	      | ( "in" | "notin" ) "(" word { "," word } ")"
type exprParser struct {
	text  string
	at    int    // of the token
	end   int    // behind the token
	token string // "" at the end
	word  string // if the token is one
	kind  tokenKind
	depth int
}

type tokenKind int

const (
	tokenSign tokenKind = iota
	tokenWord
	tokenQuoted
	tokenBad
)

func isWordRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._/:@+-", r) || r >= utf8.RuneSelf && r != utf8.RuneError
}

// next reads the next token.
func (p *exprParser) next() {
	rest := p.text[p.end:]
	p.at = p.end + len(rest) - len(strings.TrimLeft(rest, " \t"))
	rest = p.text[p.at:]
	n := 0
	p.kind = tokenSign
	switch {
	case rest == "":
	case rest[0] == '"':
		p.kind, n = tokenBad, len(rest)
		if i := strings.IndexByte(rest[1:], '"'); i >= 0 {
			p.kind, n, p.word = tokenQuoted, i+2, rest[1:i+1]
		}
	case slices.ContainsFunc([]string{"&&", "||", "!=", "<=", ">="}, func(s string) bool { return strings.HasPrefix(rest, s) }):
		n = 2
	case strings.ContainsRune("=<>!(),", rune(rest[0])):
		n = 1
	default:
		n = strings.IndexFunc(rest, func(r rune) bool { return !isWordRune(r) })
		if n < 0 {
			n = len(rest)
		}
		p.kind, p.word = tokenWord, rest[:n]
		if n == 0 {
			_, n = utf8.DecodeRuneInString(rest)
			p.kind = tokenBad
		}
	}
	p.token, p.end = rest[:n], p.at+n
}

func (p *exprParser) unexpected(want string) error {
	if p.token == "" {
		return fmt.Errorf("ends where %s should be", want)
	}
	return fmt.Errorf("character %d: found %q, want %s", utf8.RuneCountInString(p.text[:p.at])+1, p.token, want)
}

// is reports whether the token is a sign, not a word that looks like one.
func (p *exprParser) is(sign string) bool { return p.kind == tokenSign && p.token == sign }

func (p *exprParser) any() (*Expr, error) { return p.joined(opAny, p.all) }

func (p *exprParser) all() (*Expr, error) { return p.joined(opAll, p.one) }

// joined reads one or more parts.
func (p *exprParser) joined(op exprOp, part func() (*Expr, error)) (*Expr, error) {
	e, err := part()
	if err != nil || !p.is(string(op)) {
		return e, err
	}
	all := &Expr{op: op, parts: []*Expr{e}}
	for p.is(string(op)) {
		p.next()
		if e, err = part(); err != nil {
			return nil, err
		}
		all.parts = append(all.parts, e)
	}
	return all, nil
}

func (p *exprParser) one() (*Expr, error) {
	if p.depth++; p.depth > maxExprDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxExprDepth)
	}
	defer func() { p.depth-- }()
	switch {
	case p.is("!"):
		p.next()
		e, err := p.one()
		return &Expr{op: opNot, parts: []*Expr{e}}, err
	case p.is("("):
		p.next()
		e, err := p.any()
		if err != nil {
			return nil, err
		}
		return e, p.expect(")")
	}
	key, err := p.readWord("a key, ! or (")
	if err != nil {
		return nil, err
	}
	return p.test(key)
}

// test reads what is asked of a key.
func (p *exprParser) test(key string) (*Expr, error) {
	if p.kind == tokenWord && (p.word == "in" || p.word == "notin") {
		op := map[string]exprOp{"in": opIs, "notin": opIsNot}[p.word]
		p.next()
		values, err := p.wordList()
		return &Expr{op: op, key: key, values: values}, err
	}
	op := exprOp(p.token)
	if p.kind != tokenSign || !slices.Contains([]exprOp{opIs, opIsNot, opLess, opMost, opMore, opLeast}, op) {
		return &Expr{op: opHas, key: key}, nil
	}
	p.next()
	value, err := p.readWord("a value")
	return &Expr{op: op, key: key, values: []string{value}}, err
}

// wordList reads words in parentheses, and returns them in order, each once.
func (p *exprParser) wordList() ([]string, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	var words []string
	for {
		w, err := p.readWord("a value")
		if err != nil {
			return nil, err
		}
		words = append(words, w)
		if !p.is(",") {
			slices.Sort(words)
			return slices.Compact(words), p.expect(")")
		}
		p.next()
	}
}

func (p *exprParser) readWord(what string) (string, error) {
	if p.kind != tokenWord && p.kind != tokenQuoted {
		return "", p.unexpected(what)
	}
	word := p.word
	p.next()
	return word, nil
}

func (p *exprParser) expect(sign string) error {
	if !p.is(sign) {
		return p.unexpected(sign)
	}
	p.next()
	return nil
}
