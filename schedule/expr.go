package schedule

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Expr is a condition on a machine's metadata:
//
//	key                  the key is there
//	key=v  key!=v        its value; != holds too if the key is absent
//	key in (a,b)         one of several
//	key notin (a,b)      none of several; holds too if the key is absent
//	key<v  <=  >  >=     in order, as numbers or dotted versions: 1.10 is more
//	                     than 1.9; false if the key is absent
//	!e  e && e  e || e  (e)
//
// && binds closer than ||. Words are made of letters, digits and ._/:@+-, or
// are in double quotes. An Expr does not change.
type Expr struct {
	op     exprOp
	key    string
	values []string
	parts  []*Expr // of opAll, opAny and opNot
}

type exprOp string

const (
	opIs    exprOp = "=" // one of values
	opIsNot exprOp = "!="
	opHas   exprOp = ""
	opLess  exprOp = "<"
	opMost  exprOp = "<="
	opMore  exprOp = ">"
	opLeast exprOp = ">="
	opNot   exprOp = "!"
	opAll   exprOp = "&&"
	opAny   exprOp = "||"
)

// Matches reports whether metadata meet the condition. A nil Expr is always met.
func (e *Expr) Matches(metadata map[string]string) bool {
	if e == nil {
		return true
	}
	switch e.op {
	case opAll:
		return !slices.ContainsFunc(e.parts, func(p *Expr) bool { return !p.Matches(metadata) })
	case opAny:
		return slices.ContainsFunc(e.parts, func(p *Expr) bool { return p.Matches(metadata) })
	case opNot:
		return !e.parts[0].Matches(metadata)
	}
	v, ok := metadata[e.key]
	switch e.op {
	case opHas:
		return ok
	case opIs:
		return ok && slices.Contains(e.values, v)
	case opIsNot:
		return !ok || !slices.Contains(e.values, v)
	}
	if !ok {
		return false
	}
	order := compareVersions(v, e.values[0])
	switch e.op {
	case opLess:
		return order < 0
	case opMost:
		return order <= 0
	case opMore:
		return order > 0
	default:
		return order >= 0
	}
}

// compareVersions compares part by part between dots: numbers by their value
// and before words, words by bytes, and what is shorter before what goes on.
func compareVersions(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		m, errM := strconv.ParseInt(x, 10, 64)
		n, errN := strconv.ParseInt(y, 10, 64)
		switch {
		case errM == nil && errN == nil:
			return cmp.Compare(m, n)
		case errM == nil:
			return -1
		case errN == nil:
			return 1
		}
		return strings.Compare(x, y)
	})
}

// names reports whether the condition asks for a value of a key, rather than
// only not ruling it out.
func (e *Expr) names(key, value string) bool {
	if e == nil {
		return false
	}
	switch e.op {
	case opAll, opAny:
		return slices.ContainsFunc(e.parts, func(p *Expr) bool { return p.names(key, value) })
	case opIs:
		return e.key == key && slices.Contains(e.values, value)
	}
	return false
}

// String is the condition in its canonical form: it parses to an equal Expr,
// and equal ones have equal strings.
func (e *Expr) String() string {
	if e == nil {
		return ""
	}
	switch e.op {
	case opNot:
		return "!" + e.parts[0].grouped()
	case opAll, opAny:
		var parts []string
		for _, p := range e.parts {
			parts = append(parts, p.grouped())
		}
		return strings.Join(parts, " "+string(e.op)+" ")
	case opHas:
		return quoteWord(e.key)
	case opIs, opIsNot:
		if len(e.values) != 1 {
			return quoteWord(e.key) + map[exprOp]string{opIs: " in (", opIsNot: " notin ("}[e.op] + e.list() + ")"
		}
	}
	return quoteWord(e.key) + string(e.op) + e.list()
}

// grouped puts what is joined into parentheses.
func (e *Expr) grouped() string {
	if e.op == opAll || e.op == opAny {
		return "(" + e.String() + ")"
	}
	return e.String()
}

func (e *Expr) list() string {
	var words []string
	for _, v := range e.values {
		words = append(words, quoteWord(v))
	}
	return strings.Join(words, ", ")
}

// quoteWord writes a word so that it is read as such.
func quoteWord(s string) string {
	if s == "" || s == "in" || s == "notin" || strings.ContainsFunc(s, func(r rune) bool { return !isWordRune(r) }) {
		return `"` + s + `"`
	}
	return s
}
