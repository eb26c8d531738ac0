package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// A mixer makes random steps.
type mixer struct {
	*rand.Rand
	index uint64
}

// episode is how many steps the watches of an episode live through.
const episode = 50

// random compares so many random steps. What one seed gives depends on the
// answers alone.
func (p *pair) random(seed uint64, steps int) {
	p.t.Helper()
	m := mixer{Rand: rand.New(rand.NewPCG(seed, 0))}
	var lately []string
	for n := range steps {
		m.index = p.index
		q := m.step()
		lately = append(lately, fmt.Sprintf("%d: %s", p.index, q))
		p.do(q)
		last := n%episode == episode-1 || n == steps-1
		if last {
			p.endWatches()
		}
		if p.t.Failed() {
			p.t.Fatalf("at random step %d of seed %d, after:\n%s", n, seed, strings.Join(lately, "\n"))
		}
		if last {
			lately = nil
		}
	}
}

// pick returns one of the words of a list.
func (m *mixer) pick(words string) string {
	ws := strings.Split(words, " ")
	return ws[m.IntN(len(ws))]
}

// one reports true once in n times.
func (m *mixer) one(n int) bool { return m.IntN(n) == 0 }

func (m *mixer) step() step {
	q := step{method: m.pick("GET GET GET PUT PUT PUT PUT PUT POST DELETE DELETE HEAD")}
	if m.one(200) {
		q.method = m.pick("OPTIONS PATCH TRACE get FOO")
	}
	q.target = "/v2/keys" + m.pick("/a /a /a/b /a/b/c /a/b/c/d /d /d/_h /d/_h/x /e%20f%C3%A9 /q /q/x /_h /_h/y /a/ /")
	if m.one(100) {
		q.target = m.pick("/v2/keys /v2/keys//a /v2/keys/a/../d /v2/keys/a%2Fb /v2/keys/a%2f%2e%2e /v2/keysa /v2/keys/%FF%00 /v2/keys/a;b:c")
	}
	var query, body []string
	add := func(name, value string) {
		if m.one(2) && (q.method == http.MethodPut || q.method == http.MethodPost) {
			body = append(body, name+"="+value)
		} else {
			query = append(query, name+"="+value)
		}
	}
	m.params(&q, add)
	if len(query) > 0 {
		q.target += "?" + strings.Join(query, "&")
	}
	if q.body = strings.Join(body, "&"); q.body != "" {
		q.contentType = formType
		if m.one(50) {
			q.contentType = m.pick("- text/plain application/json Application/X-WWW-Form-Urlencoded application/x-www-form-urlencoded;charset=utf-8 ;;")
		}
	}
	return q
}

// params adds parameters that suit the method, and now and then others.
func (m *mixer) params(q *step, add func(name, value string)) {
	flag := func(name string, n int) {
		if m.one(n) {
			add(name, m.boolean())
		}
	}
	strange := 1
	if m.one(20) {
		strange = 0 // any parameter on any method
	}
	writes := q.method == http.MethodPut || q.method == http.MethodPost
	reads := q.method == http.MethodGet || q.method == http.MethodHead
	if writes || strange == 0 {
		if !m.one(4) {
			add("value", url.QueryEscape(m.pick("1 2 x&y=z <>% é \xff\x01 a+b")))
		}
		if m.one(5) {
			add("ttl", m.ttl())
		}
		flag("dir", 6)
		flag("noValueOnSuccess", 15)
		if m.one(12) {
			add("refresh", m.boolean())
		}
		flag("prevExist", 6)
	}
	if !reads || strange == 0 {
		if m.one(8) {
			add("prevValue", url.QueryEscape(m.pick("1 2 x&y=z  é")))
		}
		if m.one(8) {
			add("prevIndex", m.number())
		}
	}
	if q.method == http.MethodDelete || strange == 0 {
		flag("dir", 3)
		flag("recursive", 3)
	}
	if reads || strange == 0 {
		flag("recursive", 3)
		flag("sorted", 3)
		flag("quorum", 5)
		if m.one(5) && q.method == http.MethodGet || m.one(60) {
			add("wait", m.boolean())
			if m.one(3) {
				add("waitIndex", m.number())
			}
			flag("stream", 4)
		}
	}
}

func (m *mixer) boolean() string {
	if m.one(40) {
		return m.pick("yes  2 TrUe nil")
	}
	return m.pick("true true true true true false 1 0 t F")
}

func (m *mixer) ttl() string {
	if m.one(15) {
		return m.pick("0 -1 1.5 x  0x10 18446744073709551616")
	}
	return m.pick("100000 200000 0300000") // longer than any run
}

func (m *mixer) number() string {
	if m.one(30) {
		return m.pick("-1 x  1.0 18446744073709551616 18446744073709551615")
	}
	return strconv.FormatUint(max(m.index+2, 8)-m.Uint64N(8), 10)
}
