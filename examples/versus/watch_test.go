package main

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// watching is a watch that both serve.
type watching struct {
	q    step
	legs [2]*leg
}

// A leg is a watch at one side. What it delivers arrives by itself.
//
//	reader goroutine: connection --> lines --changed--> test
type leg struct {
	wire    *wire
	head    answer
	changed chan struct{} // of capacity 1

	mu    sync.Mutex
	lines []string
	ended bool
}

// startWatch begins a watch at both and compares how they take it.
func (p *pair) startWatch(q step) {
	p.t.Helper()
	w := &watching{q: q}
	for i, s := range p.sides {
		conn, err := s.dial()
		if err != nil {
			p.t.Fatal(err)
		}
		l := &leg{wire: conn, changed: make(chan struct{}, 1)}
		w.legs[i] = l
		head, resp := conn.begin(q)
		l.head = head
		if head.broken != nil || head.status != http.StatusOK {
			if head.broken == nil {
				l.head.finish(resp)
			}
			l.ended = true
			continue
		}
		go l.read(resp)
	}
	a, b := w.legs[0].head, w.legs[1].head
	p.compare(q.String(), q, a, b)
	p.watch = append(p.watch, w)
}

// read notes the lines of an answer until it ends.
func (l *leg) read(resp *http.Response) {
	buf := make([]byte, 64<<10)
	var part string
	for {
		n, err := resp.Body.Read(buf)
		part += string(buf[:n])
		l.mu.Lock()
		for {
			line, rest, ok := strings.Cut(part, "\n")
			if !ok {
				break
			}
			l.lines, part = append(l.lines, line+"\n"), rest
		}
		l.ended = l.ended || err != nil
		l.mu.Unlock()
		select {
		case l.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// state returns what has arrived so far.
func (l *leg) state() (lines []string, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...), l.ended
}

// watchTimeout is how long one side may take longer than the other to deliver.
const watchTimeout = time.Minute

// endWatches compares what the watches have delivered, and ends them.
func (p *pair) endWatches() {
	p.t.Helper()
	for _, w := range p.watch {
		p.endWatch(w)
	}
	p.watch = nil
}

func (p *pair) endWatch(w *watching) {
	p.t.Helper()
	defer w.legs[0].wire.Close()
	defer w.legs[1].wire.Close()
	timeout := time.After(watchTimeout)
	for {
		a, aEnded := w.legs[0].state()
		b, bEnded := w.legs[1].state()
		what := p.difference(w.q, delivered(a, aEnded), delivered(b, bEnded))
		if what == "" {
			return
		}
		select {
		case <-w.legs[0].changed:
		case <-w.legs[1].changed:
		case <-timeout:
			p.t.Errorf("%s\n%s", w.q, what)
			return
		}
	}
}

// delivered makes an answer of what a watch has delivered.
func delivered(lines []string, ended bool) answer {
	return answer{status: http.StatusOK, body: strings.Join(lines, "") + "ended: " + strconv.FormatBool(ended) + "\n"}
}
