package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A pair is the original and ours, each a fresh cluster of one member. They are
// asked the same things, one after the other.
type pair struct {
	t     *testing.T
	sides [2]*side
	masks *strings.Replacer // of addresses, which differ
	watch []*watching
	index uint64 // of the store, as the original told it last
	rules []*rule
	steps int
}

// A side is one of the two.
type side struct {
	name string
	addr string
	conn *wire // nil if the last one was closed
}

// A wire is a connection to a server.
type wire struct {
	net.Conn
	r *bufio.Reader
}

// An answer is what came back for a request.
type answer struct {
	status         int
	header         http.Header
	close          bool // the connection ends with it
	body           string
	broken         error // there was no answer
	sent, received time.Time
}

func newPair(t *testing.T) *pair {
	t.Helper()
	old, err := original(t.Context())
	if errors.Is(err, errNoOriginal) {
		t.Skipf("%v: nothing to compare with", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	new, err := ours(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{t: t, rules: rules()}
	var masks []string
	for i, s := range []system{old, new} {
		c, err := s.start(t.Context(), 1, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.stop(); err != nil {
				t.Error(err)
			}
		})
		p.sides[i] = &side{name: s.name, addr: c.members[0].addr}
		for _, a := range c.members[0].cmd.Args {
			if u, ok := strings.CutPrefix(a, "http://"); ok {
				masks = append(masks, u, fmt.Sprintf("ADDRESS-%d", len(masks)%4/2))
			}
		}
	}
	p.masks = strings.NewReplacer(masks...)
	return p
}

// on moves the pair to a subtest, with an empty key space and equal indexes.
func (p *pair) on(t *testing.T) {
	t.Helper()
	p.t = t
	for _, s := range p.sides {
		for _, child := range s.children(t) {
			if a := s.ask(step{method: "DELETE", target: "/v2/keys" + child + "?recursive=true"}); a.status != http.StatusOK {
				t.Fatalf("%s cannot be emptied: %d %s", s.name, a.status, a.body)
			}
		}
	}
	for p.align() {
		continue
	}
}

// hidden is the one name at the root that listings leave out and steps use.
const hidden = "/_h"

// children lists what is in the root.
func (s *side) children(t *testing.T) []string {
	t.Helper()
	n, err := decodeNode(s.ask(step{method: "GET", target: "/v2/keys/"}).body)
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	var keys []string
	for _, child := range n.Nodes {
		keys = append(keys, escapePath(child.Key))
	}
	if s.ask(step{method: "GET", target: "/v2/keys" + hidden}).status == http.StatusOK {
		keys = append(keys, hidden)
	}
	return keys
}

// align brings the side that is behind one index further, and reports whether
// there was one.
func (p *pair) align() bool {
	p.t.Helper()
	a, b := p.sides[0].index(p.t), p.sides[1].index(p.t)
	p.index = a
	if a == b {
		return false
	}
	behind := p.sides[0]
	if b < a {
		behind = p.sides[1]
	}
	behind.ask(step{method: "PUT", target: "/v2/keys/_pad"})
	return true
}

// index returns where a store stands.
func (s *side) index(t *testing.T) uint64 {
	t.Helper()
	a := s.ask(step{method: "GET", target: "/v2/keys/"})
	n, err := strconv.ParseUint(a.header.Get("X-Etcd-Index"), 10, 64)
	if err != nil {
		t.Fatalf("%s does not tell its index: %d %s, %v", s.name, a.status, a.body, a.broken)
	}
	return n
}
