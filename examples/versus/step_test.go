package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A step is one request to both, as a line of a file:
//
//	METHOD TARGET [(CONTENT-TYPE)] [BODY]
//
// The content type defaults to that of a form if there is a body; (-) sends none.
// A body that begins with a quote is a Go string. In target and body, {n} stands
// for the store index, {n+1} and {n-1} for its neighbours, and so on.
type step struct {
	method, target string
	contentType    string
	body           string
	past           bool // a watch that begins in history
}

const formType = "application/x-www-form-urlencoded"

func parseStep(line string) (step, error) {
	s := step{}
	var rest string
	s.method, rest, _ = strings.Cut(line, " ")
	s.target, s.body, _ = strings.Cut(rest, " ")
	if s.target == "" {
		return s, fmt.Errorf("step %q has no target", line)
	}
	if after, ok := strings.CutPrefix(s.body, "("); ok {
		s.contentType, s.body, _ = strings.Cut(after, ")")
		s.body = strings.TrimPrefix(s.body, " ")
	} else if s.body != "" {
		s.contentType = formType
	}
	if strings.HasPrefix(s.body, `"`) {
		body, err := strconv.Unquote(s.body)
		if err != nil {
			return s, fmt.Errorf("body of step %q: %w", line, err)
		}
		s.body = body
	}
	return s, nil
}

func (s step) String() string {
	line := s.method + " " + s.target
	if s.contentType != "" && s.contentType != formType {
		line += " (" + s.contentType + ")"
	}
	if len(s.body) > 100 {
		return fmt.Sprintf("%s %.50q… of %d bytes", line, s.body, len(s.body))
	}
	if s.body != "" {
		line += " " + s.body
	}
	return line
}

var indexRef = regexp.MustCompile(`\{n([+-]\d+)?\}`)

// fill replaces references to the store index.
func fill(s string, index uint64) string {
	return indexRef.ReplaceAllStringFunc(s, func(ref string) string {
		offset, _ := strconv.Atoi(ref[2 : len(ref)-1]) // 0 if there is none
		return strconv.FormatUint(index+uint64(offset), 10)
	})
}

// request returns the step as it goes over the wire.
func (s step) request(host string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", s.method, s.target, host)
	if s.contentType != "" && s.contentType != "-" {
		fmt.Fprintf(&b, "Content-Type: %s\r\n", s.contentType)
	}
	if s.body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(s.body))
	}
	return b.String() + "\r\n" + s.body
}

// params returns the parameters of the step, those of the body first.
func (s step) params() url.Values {
	_, query, _ := strings.Cut(s.target, "?")
	v, _ := url.ParseQuery(query) // as far as it can be read
	if strings.HasPrefix(strings.ToLower(s.contentType), formType) && (s.method == http.MethodPut || s.method == http.MethodPost) {
		body, _ := url.ParseQuery(s.body)
		for name, values := range v {
			body[name] = append(body[name], values...)
		}
		return body
	}
	return v
}

// is reports whether a parameter is true.
func (s step) is(name string) bool {
	on, err := strconv.ParseBool(s.params().Get(name))
	return on && err == nil
}

// waits reports whether the answer may take for ever.
func (s step) waits() bool {
	return s.method == http.MethodGet && strings.HasPrefix(s.target, "/v2/keys") && s.is("wait") && !s.is("quorum")
}

// streams reports whether a watch goes on after its first event.
func (s step) streams() bool { return s.is("stream") }

// answerTimeout bounds the wait for an answer.
const answerTimeout = time.Minute

func (s *side) dial() (*wire, error) {
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		return nil, err
	}
	return &wire{c, bufio.NewReader(c)}, nil
}

// ask sends a request over the kept connection and reads the answer.
func (s *side) ask(q step) answer {
	if s.conn == nil {
		c, err := s.dial()
		if err != nil {
			return answer{broken: err}
		}
		s.conn = c
	}
	a, resp := s.conn.begin(q)
	if a.broken == nil {
		a.finish(resp)
	}
	if a.broken != nil || a.close {
		_ = s.conn.Close()
		s.conn = nil
	}
	return a
}

// begin sends a request and reads the answer but for its body.
func (w *wire) begin(q step) (answer, *http.Response) {
	a := answer{sent: time.Now()}
	_ = w.SetDeadline(a.sent.Add(answerTimeout))
	// A server may answer, and close, before it has read the whole request.
	_, writeErr := io.WriteString(w, q.request(w.RemoteAddr().String()))
	resp, err := http.ReadResponse(w.r, &http.Request{Method: q.method})
	a.received = time.Now()
	if err != nil {
		a.broken = fmt.Errorf("write: %v; read: %w", writeErr, err)
		return a, nil
	}
	_ = w.SetDeadline(time.Time{})
	a.status, a.header, a.close = resp.StatusCode, resp.Header, resp.Close
	return a, resp
}

// finish reads the body.
func (a *answer) finish(resp *http.Response) {
	b, err := io.ReadAll(resp.Body)
	a.body, a.broken, a.received = string(b), err, time.Now()
}

// escapePath makes a request path of a key.
func escapePath(key string) string { return (&url.URL{Path: key}).EscapedPath() }

// do carries a step out and compares.
func (p *pair) do(q step) {
	p.t.Helper()
	p.steps++
	q.target, q.body = fill(q.target, p.index), fill(q.body, p.index)
	if q.waits() {
		from, err := strconv.ParseUint(q.params().Get("waitIndex"), 10, 64)
		q.past = err == nil && from > 0 && from <= p.index
		p.startWatch(q)
		return
	}
	a, b := p.sides[0].ask(q), p.sides[1].ask(q)
	p.compare(q.String(), q, a, b)
	if n, err := strconv.ParseUint(a.header.Get("X-Etcd-Index"), 10, 64); err == nil && n > 0 {
		p.index = n
	}
	if p.expiresAtOnce(q, a) {
		p.awaitIndex(p.index + 1)
	}
}

// expiresAtOnce reports whether a step left something that goes by itself.
func (p *pair) expiresAtOnce(q step, a answer) bool {
	if a.status >= 300 || q.method != http.MethodPut && q.method != http.MethodPost {
		return false
	}
	ttl, err := strconv.ParseUint(q.params().Get("ttl"), 10, 64)
	return err == nil && ttl == 0
}

// awaitIndex waits until both stores have reached an index by themselves, as the
// original does within half a second after an expiry.
func (p *pair) awaitIndex(index uint64) {
	p.t.Helper()
	for _, s := range p.sides {
		for deadline := time.Now().Add(answerTimeout); s.index(p.t) < index; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				p.t.Fatalf("%s does not reach index %d in %v", s.name, index, answerTimeout)
			}
		}
	}
	p.index = index
}

// run carries out the lines of a script. Besides steps it knows
//
//	await +2         until so many more changes have happened by themselves
//	repeat 50 STEP   so many times
//	huge N STEP      with N bytes added to the body
func (p *pair) run(script string) {
	p.t.Helper()
	for n, line := range strings.Split(script, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := p.runLine(line); err != nil {
			p.t.Fatalf("line %d: %v", n+1, err)
		}
	}
	p.endWatches()
}

func (p *pair) runLine(line string) error {
	p.t.Helper()
	word, rest, _ := strings.Cut(line, " ")
	if word == "await" {
		n, err := strconv.ParseUint(strings.TrimPrefix(rest, "+"), 10, 64)
		p.awaitIndex(p.index + n)
		return err
	}
	times, extra := 1, 0
	if word == "repeat" || word == "huge" {
		number, after, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			return err
		}
		if line = after; word == "repeat" {
			times = n
		} else {
			extra = n
		}
	}
	q, err := parseStep(line)
	if err != nil {
		return err
	}
	q.body += strings.Repeat("x", extra)
	for range times {
		p.do(q)
	}
	return nil
}

func TestAStepIsWrittenAsOneLine(t *testing.T) {
	for _, line := range []string{
		"GET /v2/keys/", "PUT /v2/keys/a?b=c value=1 2", "PUT /v2/members (application/json) {}", "PUT /v2/keys/a (-) value=1",
	} {
		q, err := parseStep(line)
		if err != nil || q.String() != line {
			t.Errorf("%q is read as %q, %v", line, q, err)
		}
	}
	if got := fill("{n} {n+1} {n-2}", 7); got != "7 8 5" {
		t.Errorf("references give %s", got)
	}
}
