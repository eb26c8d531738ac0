package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// compare fails the test if two answers to a step differ.
func (p *pair) compare(what string, q step, a, b answer) {
	p.t.Helper()
	if d := p.difference(q, a, b); d != "" {
		p.t.Errorf("%s\n%s", what, d)
	}
}

// difference says how two answers to a step differ, once what must differ and
// what the rules allow is out of the way; empty if they do not.
func (p *pair) difference(q step, a, b answer) string {
	for _, r := range p.rules {
		if r.applies(q) && r.change(q, &a, &b) {
			r.used = true
		}
	}
	x, y := p.normal(q, a), p.normal(q, b)
	if x == y {
		return ""
	}
	return fmt.Sprintf("original: %s\n    ours: %s", clip(x, y), clip(y, x))
}

// clip cuts a long text to where it differs from another.
func clip(s, other string) string {
	const most = 2000
	if len(s) <= most && len(other) <= most {
		return s
	}
	i := 0
	for i < len(s) && i < len(other) && s[i] == other[i] {
		i++
	}
	from := max(i-200, 0)
	return fmt.Sprintf("…%s… (byte %d of %d)", s[from:min(i+200, len(s))], i, len(s))
}

// normal spells an answer out without what differs by nature: dates, ids,
// addresses and raft's own numbers.
func (p *pair) normal(q step, a answer) string {
	if a.broken != nil {
		return "no answer"
	}
	body := p.normalBody(q, a)
	h := maps.Clone(a.header)
	for name := range h {
		value := h.Get(name)
		switch name {
		case "Date":
			if _, err := http.ParseTime(value); err == nil {
				h.Set(name, "DATE")
			}
		case "X-Etcd-Cluster-Id":
			if n, err := strconv.ParseUint(value, 16, 64); err == nil && strconv.FormatUint(n, 16) == value {
				h.Set(name, "ID")
			}
		case "X-Raft-Index", "X-Raft-Term":
			if n, err := strconv.ParseUint(value, 10, 64); err == nil && n > 0 {
				h.Set(name, "N")
			}
		case "Content-Length":
			// Times are not all of the same length.
			if value == strconv.Itoa(len(a.body)) || q.method == http.MethodHead {
				h.Set(name, "LENGTH")
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d", a.status)
	if a.close {
		b.WriteString(" and closes")
	}
	b.WriteByte('\n')
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	return b.String() + body
}

var (
	ids        = regexp.MustCompile(`"id":"[0-9a-f]{8,16}"`)
	expiration = regexp.MustCompile(`"expiration":"([^"]*)"(,"ttl":(-?\d+))?`)
)

// normalBody masks ids, addresses and times, and orders what may come in any
// order.
func (p *pair) normalBody(q step, a answer) string {
	body := ids.ReplaceAllString(a.body, `"id":"ID"`)
	body = p.masks.Replace(body)
	body = expiration.ReplaceAllStringFunc(body, func(s string) string { return p.normalExpiration(s, a) })
	if q.method == http.MethodGet && q.params().Get("sorted") != "true" {
		body = sortNodes(body)
	}
	return body
}

// normalExpiration masks a time of expiry, if it is in the right form and the TTL
// with it is right, and rounds the TTL to what both must agree on.
func (p *pair) normalExpiration(s string, a answer) string {
	m := expiration.FindStringSubmatch(s)
	at, err := time.Parse(time.RFC3339Nano, m[1])
	if err != nil || at.UTC().Format(time.RFC3339Nano) != m[1] {
		return s
	}
	if m[3] == "" {
		return `"expiration":"TIME"`
	}
	ttl, _ := strconv.ParseFloat(m[3], 64) // digits
	// Of an event that a watch delivers it is not known when it was made.
	if !a.sent.IsZero() {
		early, late := math.Ceil(at.Sub(a.received).Seconds()), math.Ceil(at.Sub(a.sent).Seconds())
		if ttl < early-1 || ttl > late {
			return s
		}
	}
	// TTLs in scripts are multiples of a hundred seconds, or are awaited; random
	// ones multiples of a hundred thousand.
	unit := 100.0
	if ttl > 1000 {
		unit = 100_000
	}
	if ttl > 0 {
		ttl = math.Ceil(ttl/unit) * unit
	}
	return fmt.Sprintf(`"expiration":"TIME","ttl":%g`, ttl)
}

// A node is a node of the key space in JSON.
type node struct {
	Key   string `json:"key"`
	Nodes []node `json:"nodes"`
}

// decodeNode returns the node of an answer.
func decodeNode(body string) (node, error) {
	var ev struct{ Node node }
	err := json.Unmarshal([]byte(body), &ev)
	return ev.Node, err
}

// sortNodes orders the children in a listing by their text, at each level.
func sortNodes(body string) string {
	begin := strings.Index(body, `"nodes":[`)
	if begin < 0 {
		return body
	}
	begin += len(`"nodes":[`)
	var items []string
	depth, start, quoted := 0, begin, false
	for i := begin; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == ']' && depth == 0:
			items = append(items, sortNodes(body[start:i]))
			slices.SortFunc(items, cmp.Compare)
			return body[:begin] + strings.Join(items, ",") + sortNodes(body[i:])
		case c == '}' || c == ']':
			depth--
		case c == ',' && depth == 0:
			items = append(items, sortNodes(body[start:i]))
			start = i + 1
		}
	}
	return body
}
