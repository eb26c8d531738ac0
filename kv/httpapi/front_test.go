package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
)

// streams is how many TestBothFrontsAnswerTheSame sends.
const streams = 60

// TestBothFrontsAnswerTheSame sends random streams of requests, of which many
// have something odd, to a server with each front, in the same pieces at the
// same time. What comes back has to be equal in every byte.
func TestBothFrontsAnswerTheSame(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	g := stream{badRequest{r}}
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		for i := range streams {
			pieces := g.cut(g.next())
			if err := p.compare(pieces); err != nil {
				t.Errorf("seed %d, stream %d: %v, for\n%q", seed, i, err, pieces)
				break
			}
		}
		p.close()
	})
}

// FuzzBothFronts is the same for arbitrary bytes.
func FuzzBothFronts(f *testing.F) {
	g := stream{badRequest{rand.New(rand.NewPCG(1, 1))}}
	for range 20 {
		f.Add([]byte(g.next()), uint64(1))
	}
	f.Fuzz(func(t *testing.T, wire []byte, seed uint64) {
		g := stream{badRequest{rand.New(rand.NewPCG(seed, 1))}}
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t)
			defer p.close()
			if err := p.compare(g.cut(string(wire))); err != nil {
				t.Fatalf("%v, for %q", err, wire)
			}
		})
	})
}

// server serves a store with one front until the test ends.
func server(t *testing.T, f front, cfg httpapi.Config) (api *httpapi.API, l *pipeListener, stop func()) {
	t.Helper()
	l = newPipeListener()
	api = f.api(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var served sync.WaitGroup
	served.Go(func() {
		if err := api.Serve(ctx, l); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return api, l, func() { cancel(); served.Wait() }
}

// dialPeer connects a client that reads all that comes.
func dialPeer(t *testing.T, l *pipeListener, wire string) *peer {
	t.Helper()
	conn, err := l.dial()
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{conn: conn}
	go p.read()
	if _, err := io.WriteString(conn, wire); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return p
}

const watchA = "GET /v2/keys/a?wait=true HTTP/1.1\r\nHost: a\r\n\r\n"

func TestAWatchEndsWithItsClient(t *testing.T) {
	eachFront(t, func(t *testing.T, f front) {
		store, err := tree.NewLocal()
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		api, l, stop := server(t, f, httpapi.Config{Store: store})
		defer stop()
		for _, then := range []string{"", "G"} { // of the next request
			p := dialPeer(t, l, watchA)
			if then != "" {
				_, _ = io.WriteString(p.conn, then)
				synctest.Wait()
			}
			if got := api.Counts().Watches; got != 1 {
				t.Fatalf("%d watches, want 1", got)
			}
			p.conn.Close()
			if then != "" {
				mustSet(t, store, "/a") // after a byte, only a write tells
			}
			synctest.Wait()
			if got := api.Counts().Watches; got != 0 {
				t.Errorf("with %q sent before: %d watches after the client has gone, want none", then, got)
			}
		}
	})
}

func TestARequestSentDuringAWatchIsAnsweredAfterIt(t *testing.T) {
	eachFront(t, func(t *testing.T, f front) {
		store, err := tree.NewLocal()
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		_, l, stop := server(t, f, httpapi.Config{Store: store})
		defer stop()
		const get = "GET /v2/keys/a HTTP/1.1\r\nHost: a\r\n\r\n"
		p := dialPeer(t, l, watchA+get)
		defer p.conn.Close()
		wrote := make(chan error, 1)
		go func() { // since the server reads no more than a byte of it
			_, err := io.WriteString(p.conn, get)
			wrote <- err
		}()
		synctest.Wait()
		mustSet(t, store, "/a")
		if err := <-wrote; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := strings.Count(p.state(), "HTTP/1.1 200 OK"); got != 3 || !strings.HasSuffix(p.state(), "ended: false") {
			t.Errorf("got %d answers, want 3: %s", got, p.state())
		}
	})
}

// slow is a store whose sets take a while, or for ever.
type slow struct {
	echo
	takes time.Duration
}

func (s *slow) Set(ctx context.Context, _, _ string, _ kv.SetOptions) (kv.Event, error) {
	select {
	case <-ctx.Done():
		return kv.Event{}, ctx.Err()
	case <-time.After(s.takes):
		return stillEvent, nil
	}
}

func TestTheEndOfServeLeavesRequestsTheirGrace(t *testing.T) {
	for _, c := range []struct {
		takes, ends time.Duration
		answer      string
	}{
		{2 * time.Second, 2 * time.Second, "Connection: close"},
		{time.Hour, 3 * time.Second, ""},
	} {
		eachFront(t, func(t *testing.T, f front) {
			_, l, stop := server(t, f, httpapi.Config{Store: &slow{takes: c.takes}, Grace: 3 * time.Second})
			fresh := dialPeer(t, l, "")
			waits := dialPeer(t, l, "GET /v2/keys/a HTTP/1.1\r\nHost: a\r\n\r\n")
			put := dialPeer(t, l, "PUT /v2/keys/a HTTP/1.1\r\nHost: a\r\n\r\n")
			begun := time.Now()
			stop()
			// net/http looks every now and then whether it may end.
			if took := time.Since(begun); took < c.ends || took > c.ends+time.Second {
				t.Errorf("with a put of %v: ended after %v, want %v", c.takes, took, c.ends)
			}
			synctest.Wait()
			if got := put.state(); !strings.Contains(got, c.answer) || c.answer == "" && !strings.HasPrefix(got, `""`) {
				t.Errorf("put of %v: got %s, want %q", c.takes, got, c.answer)
			}
			for _, p := range []*peer{fresh, waits, put} {
				if got := p.state(); !strings.HasSuffix(got, "ended: true") {
					t.Errorf("a connection is open after the end: %s", got)
				}
				p.conn.Close()
			}
		})
	}
}

// panics is a store that fails badly.
type panics struct{ echo }

func (*panics) Get(context.Context, string, kv.GetOptions) (kv.Event, error) { panic("of the store") }

func TestAPanicEndsTheConnectionAlone(t *testing.T) {
	eachFront(t, func(t *testing.T, f front) {
		_, l, stop := server(t, f, httpapi.Config{Store: &panics{}, MaxConns: 1})
		defer stop()
		for range 2 { // which takes that the slot came back
			p := dialPeer(t, l, "GET /v2/keys/a HTTP/1.1\r\nHost: a\r\n\r\n")
			if got := p.state(); got != `"", ended: true` {
				t.Errorf("got %s", got)
			}
			p.conn.Close()
		}
	})
}

// pair is two servers that differ in their front.
type pair struct {
	listeners [2]*pipeListener
	close     func()
}

func newPair(t *testing.T) *pair {
	p := &pair{}
	ctx, stop := context.WithCancel(t.Context())
	var served sync.WaitGroup
	var stores []io.Closer
	for i, f := range fronts {
		store, err := tree.NewLocal()
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, store)
		l := newPipeListener()
		p.listeners[i] = l
		api := f.api(httpapi.Config{
			Store: store, Cluster: newTrio(false), MaxHeaderBytes: 8 << 10, MaxBodyBytes: 20_000,
			ReadTimeout: time.Minute, // less than WriteTimeout, or it depends on who looks when
		})
		served.Go(func() { _ = api.Serve(ctx, l) })
	}
	p.close = func() {
		stop()
		served.Wait()
		for _, s := range stores {
			s.Close()
		}
	}
	return p
}

// compare sends pieces to both, waits until nothing comes back any more, and
// compares what did, and whether the connections were still open then.
func (p *pair) compare(pieces []string) error {
	var peers [2]*peer
	for i, l := range p.listeners {
		conn, err := l.dial()
		if err != nil {
			return err
		}
		defer conn.Close()
		peers[i] = &peer{conn: conn, pieces: make(chan string, len(pieces))}
		go peers[i].read()
		go peers[i].write()
		defer close(peers[i].pieces)
	}
	for _, s := range pieces {
		for _, p := range peers {
			p.pieces <- s
		}
		synctest.Wait()
	}
	for _, pause := range []time.Duration{0, time.Second, time.Hour} {
		time.Sleep(pause)
		synctest.Wait()
		if got, want := peers[0].state(), peers[1].state(); got != want {
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			return fmt.Errorf("after %v, byte %d:\n got ...%s\nwant ...%s", pause, at, got[max(0, at-500):], want[max(0, at-500):])
		}
	}
	return nil
}

// peer is the client's end of a connection.
type peer struct {
	conn   net.Conn
	pieces chan string

	mu    sync.Mutex
	got   bytes.Buffer
	ended bool
}

func (p *peer) write() {
	for s := range p.pieces {
		_, _ = io.WriteString(p.conn, s) // the server need not read it all
	}
}

func (p *peer) read() {
	b := make([]byte, 4096)
	for {
		n, err := p.conn.Read(b)
		p.mu.Lock()
		p.got.Write(b[:n])
		p.ended = err != nil
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *peer) state() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("%q, ended: %v", p.got.String(), p.ended)
}

// stream makes what a client may send over a connection.
type stream struct{ badRequest }

// next returns some requests, one after the other, and perhaps breaks off.
func (g stream) next() string {
	var b strings.Builder
	for range 1 + g.IntN(6) {
		switch g.IntN(10) {
		case 0:
			wire, _ := g.badRequest.next()
			b.WriteString(wire)
		case 1:
			b.WriteString(g.odd())
		default:
			b.WriteString(g.plain())
		}
	}
	all := b.String()
	if g.IntN(8) == 0 {
		all = all[:g.IntN(len(all))]
	}
	return all
}

// cut parts a stream at random.
func (g stream) cut(s string) []string {
	var pieces []string
	most := max(pick(g.Rand, 20, 200, 100_000), len(s)/100)
	for s != "" {
		n := min(len(s), 1+g.IntN(most))
		pieces = append(pieces, s[:n])
		s = s[n:]
	}
	return pieces
}

// plain is a request that clients do send.
func (g stream) plain() string {
	path := "/v2/keys" + pick(g.Rand, "", "/", "/a", "/b", "/d/a", "/d/b/c", "/d", "/é%2f%20x", "/a%2Fb", "/d/")
	extra := pick(g.Rand, "", "", "User-Agent: test/1.0\r\nAccept: */*\r\n", "Connection: keep-alive\r\n", "X:\t y \r\n")
	switch g.IntN(5) {
	case 0:
		return g.request("GET", path+pick(g.Rand, "", "?recursive=true&sorted=true", "?quorum=true&sorted=1", "?sorted=true"), extra)
	case 1:
		return g.request("DELETE", path+pick(g.Rand, "", "?recursive=true", "?dir=true", "?prevValue=1"), extra)
	case 2:
		wait := pick(g.Rand, "?wait=true&waitIndex=1", "?wait=true&waitIndex=1&recursive=true", "?wait=true&waitIndex=1&recursive=true&stream=true", "?wait=true")
		if strings.HasSuffix(wait, "e=1") || g.IntN(20) == 0 {
			return g.request("GET", path+wait, extra)
		}
		return g.request("GET", "/v2/keys/?wait=true&recursive=true&waitIndex=1", extra)
	}
	value := strings.Repeat(pick(g.Rand, "v", "%20+", "\xff<"), pick(g.Rand, 0, 1, 10, 100, 3000, 6000))
	form := "value=" + value + pick(g.Rand, "", "&ttl=60", "&prevExist=true", "&prevExist=false", "&noValueOnSuccess=true", "&dir=true")
	extra += pick(g.Rand, "Content-Type", "content-type") + ": application/x-www-form-urlencoded\r\n"
	return g.request(pick(g.Rand, "PUT", "PUT", "POST"), path+pick(g.Rand, "", "?prevIndex=5", "?ttl=5"), extra, form)
}

// odd is a request that two servers might see different things in.
func (g stream) odd() string {
	const form = "Content-Type: application/x-www-form-urlencoded\r\n"
	line := pick(g.Rand, "PUT", "GET", "POST", "DELETE", "HEAD", "OPTIONS") + " " +
		pick(g.Rand, "/v2/keys/a", "/v2/keys//a", "/v2/keys/a/../b", "/v2/keysx", "http://h/v2/keys/a", "/v2/keys/a?", "/v2/keys/a??x", "/v2/keys/a#b",
			"/v2/keys/%zz", "/v2/keys/\xff", "/v2/keys/a b", "/v2/keys/%00", "//v2/keys/a", "*", "/version") +
		pick(g.Rand, " ", "  ", "\t") + pick(g.Rand, "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.1 ", "HTTP/2.0", "http/1.1", "")
	head := pick(g.Rand, "Host: a\r\n", "host:a\r\n", "Host: a\r\nHost: a\r\n", "Host:\r\n", "", "Host: a/b\r\n", "Host : a\r\n")
	head += pick(g.Rand, "", "", "Connection: close\r\n", "Connection: Keep-Alive, x\r\n", "Connection: upgrade\r\nUpgrade: h2c\r\n", "Expect: 100-continue\r\n",
		"Expect: else\r\n", " folded: x\r\n", "X: y\r\n folded\r\n", "X\x00: y\r\n", "X: \x01\r\n", "X: \xff\r\n", ": x\r\n", "X y: z\r\n", "Authorization: Basic eDp5\r\n", "Origin: http://a\r\n")
	head += pick(g.Rand, form, "", "Content-Type: Application/x-www-form-urlencoded; charset=utf-8\r\n", form+form)
	body := "value=1"
	head += pick(g.Rand,
		"Content-Length: 7\r\n", "Content-Length: 7\r\nContent-Length: 7\r\n", "Content-Length: 7\r\nContent-Length: 5\r\n", "Content-Length: +7\r\n",
		"Content-Length: 07\r\n", "Content-Length: 7, 7\r\n", "Content-Length:\r\n", "Content-Length: 0\r\n", "Content-Length: 99999999999999999999\r\n",
		"Content-Length : 7\r\n", "Content-Length: 0x7\r\n",
		"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 7\r\n", "transfer-encoding: identity\r\n", "Transfer-Encoding: x\r\n")
	if strings.Contains(head, "chunked") {
		body = "7\r\nvalue=1\r\n" + pick(g.Rand, "0\r\n\r\n", "0\r\nTrailer: x\r\n\r\n", "zz\r\n")
	}
	wire := line + "\r\n" + head + "\r\n" + body
	switch g.IntN(8) {
	case 0: // bare line feeds
		return strings.ReplaceAll(wire, "\r\n", "\n")
	case 1:
		return strings.Replace(wire, "\r\n", pick(g.Rand, "\n", "\r", "\r\r\n", "\n\r\n"), 1)
	case 2:
		return pick(g.Rand, "\r\n", "\n", "\r", "\r\n\r\n\r\n") + wire
	}
	return wire
}
