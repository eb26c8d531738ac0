package httpapi_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/strakeproject/strake/kv/auth"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
)

// badRequests is how many requests TestBadRequests sends.
const badRequests = 10_000

// TestBadRequestsAreTheClientsFault sends requests with something wrong in each.
// All are answered with a 4xx, or broken off by the client; nothing is changed;
// and no goroutine is left, or the bubble would not end.
func TestBadRequestsAreTheClientsFault(t *testing.T) {
	for _, guarded := range []bool{false, true} {
		t.Run(fmt.Sprintf("auth %v", guarded), func(t *testing.T) {
			eachFront(t, func(t *testing.T, f front) { sendBadRequests(t, f, guarded, badRequests/4) })
		})
	}
}

func sendBadRequests(t *testing.T, f front, guarded bool, n int) {
	store, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	authority, err := auth.Open(t.Context(), auth.Config{Store: store, Cost: bcrypt.MinCost})
	if err != nil {
		t.Fatal(err)
	}
	defer authority.Close()
	if guarded {
		lockUp(t, authority)
	}
	c := newTrio(false)
	api := f.api(httpapi.Config{
		Store: store, Cluster: c, Changer: c, Activity: c.Activity, Auth: authority,
		MaxHeaderBytes: 4096, MaxBodyBytes: 1000,
	})
	l := newPipeListener()
	ctx, stop := context.WithCancel(t.Context())
	var served sync.WaitGroup
	served.Go(func() { _ = api.Serve(ctx, l) })
	before := store.Index()
	seed := rand.Uint64()
	g := badRequest{rand.New(rand.NewPCG(seed, 1))}
	for i := range n {
		wire, answered := g.next()
		status, err := sendRaw(l, wire, answered)
		if answered && (err != nil || status < 400 || status > 499) {
			t.Errorf("seed %d, request %d: got status %d, %v, want 4xx for\n%q", seed, i, status, err, wire)
		}
	}
	if after := store.Index(); after != before {
		t.Errorf("seed %d: bad requests took the store from %d to %d", seed, before, after)
	}
	if got := fmt.Sprint(c.Members()); got != fmt.Sprint(newTrio(false).Members()) {
		t.Errorf("seed %d: bad requests changed the members to %s", seed, got)
	}
	stop()
	served.Wait()
}

// lockUp turns auth on and leaves guests nothing.
func lockUp(t *testing.T, a *auth.Authority) {
	t.Helper()
	if _, _, err := a.PutUser(t.Context(), auth.UserChange{Name: "root", Password: "top"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.PutRole(t.Context(), auth.RoleChange{Role: auth.Role{Name: auth.GuestRole}}); err != nil {
		t.Fatal(err)
	}
	if err := a.Enable(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// sendRaw sends bytes and returns the status of the answer.
func sendRaw(l *pipeListener, wire string, answered bool) (int, error) {
	conn, err := l.dial()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		_, _ = io.WriteString(conn, wire) // the server need not read it all
	}()
	defer func() { conn.Close(); <-wrote }()
	if !answered {
		<-wrote
		return 0, nil
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

// badRequest makes requests that are wrong.
type badRequest struct{ *rand.Rand }

func pick[T any](r *rand.Rand, items ...T) T { return items[r.IntN(len(items))] }

// garbage returns bytes without line breaks.
func (g badRequest) garbage(most int) string {
	b := make([]byte, 1+g.IntN(most))
	for i := range b {
		for b[i] = byte(g.Uint32()); b[i] == '\n' || b[i] == '\r'; {
			b[i] = byte(g.Uint32())
		}
	}
	return string(b)
}

func (g badRequest) word() string {
	const letters = "abcXYZ019._-~%2e"
	var b strings.Builder
	for range 1 + g.IntN(6) {
		b.WriteByte(letters[g.IntN(13)])
	}
	return strings.Trim(b.String(), ".") + "w"
}

// next returns a request as it goes over the wire, and whether it is complete
// enough for an answer.
func (g badRequest) next() (wire string, answered bool) {
	switch g.IntN(9) {
	case 0:
		return g.wrongParameter(), true
	case 1:
		return g.request(pick(g.Rand, "PATCH", "TRACE", "get", "BREW", "Put"), g.knownPath(), ""), true
	case 2:
		path := "/" + g.word() + pick(g.Rand, "", "/", "/"+g.word())
		return g.request(pick(g.Rand, "GET", "PUT", "POST", "DELETE", "HEAD"), pick(g.Rand, "/v2", "/v2/keysx", "/v2/stats", "/v2/auth", "")+path, ""), true
	case 3:
		return g.wrongDocument(), true
	case 4:
		return g.malformed(), true
	case 5:
		body := "value=" + strings.Repeat("x", 1000+g.IntN(3000))
		return g.request(pick(g.Rand, "PUT", "POST"), "/v2/keys/"+g.word(), "Content-Type: application/x-www-form-urlencoded\r\n", body), true
	case 6:
		key := pick(g.Rand, "/v2/keys/_strake", "/v2/keys/_strake/auth", "/v2/keys/_strake/"+g.word())
		return g.request(pick(g.Rand, "GET", "PUT", "POST", "DELETE", "HEAD"), key+pick(g.Rand, "", "?wait=false", "?recursive=true"), ""), true
	case 7:
		header := "Authorization: " + pick(g.Rand, "Basic ", "basic", "Bearer ", "") + base64.StdEncoding.EncodeToString([]byte(g.garbage(20))) + "\r\n"
		return g.request("DELETE", "/v2/keys/"+g.word(), header), true
	}
	whole := g.request("PUT", "/v2/keys/a", "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 500\r\n")
	return whole[:g.IntN(len(whole))], false
}

func (g badRequest) request(method, target, headers string, body ...string) string {
	all := strings.Join(body, "")
	if len(all) > 0 {
		headers += fmt.Sprintf("Content-Length: %d\r\n", len(all))
	}
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n%s", method, target, headers, all)
}

func (g badRequest) knownPath() string {
	return pick(g.Rand, "/v2/keys", "/v2/keys/"+g.word(), "/v2/members", "/v2/members/"+g.word(), "/v2/machines",
		"/v2/stats/self", "/v2/stats/store", "/v2/stats/leader", "/version", "/health", "/debug/vars",
		"/v2/auth/enable", "/v2/auth/users", "/v2/auth/roles", "/v2/auth/users/"+g.word(), "/v2/auth/roles/"+g.word())
}

// wrongParameter returns a key request with a parameter that does not parse.
func (g badRequest) wrongParameter() string {
	form := pick(g.Rand,
		pick(g.Rand, "recursive", "sorted", "wait", "dir", "quorum", "stream", "noValueOnSuccess", "prevExist", "refresh")+"="+pick(g.Rand, "", "yes", "2", "tRuE", "%00"),
		pick(g.Rand, "prevIndex", "waitIndex", "ttl")+"="+pick(g.Rand, "-1", "1.5", "x", "0x1", "18446744073709551616", "+1"),
		"prevValue=", "refresh=true", "refresh=true&ttl=1&value=x", "a;b=c", "value=%zz", "%=", "value=%f", "ttl=1;ttl=2",
	)
	method := pick(g.Rand, "GET", "PUT", "POST", "DELETE", "HEAD")
	if method[0] == 'P' && g.IntN(2) == 0 {
		return g.request(method, "/v2/keys/"+g.word(), "Content-Type: application/x-www-form-urlencoded\r\n", form)
	}
	return g.request(method, "/v2/keys/"+g.word()+"?"+form, "")
}

// wrongDocument returns a request with a JSON document that will not do.
func (g badRequest) wrongDocument() string {
	document := pick(g.Rand, "{", "[]", "null", `"x"`, "1e999", `{"user":1}`, `{"role":[]}`, `{"peerURLs":{}}`, `{"peerURLs":[1]}`,
		`{"peerURLs":["http://x"]}`, `{"peerURLs":["`+g.word()+`://h:1"]}`, `{"user":"other"}`, `{"role":"other"}`,
		strings.Repeat("[", 100), `{"user":"\ud800"}`, "{\"\xff\":", strings.Repeat("{\"a\":", 50))
	method, path := "PUT", pick(g.Rand, "/v2/auth/users/", "/v2/auth/roles/", "/v2/members/")+g.word()
	if g.IntN(3) == 0 {
		method, path = "POST", "/v2/members"
	}
	return g.request(method, path, "Content-Type: "+pick(g.Rand, "application/json", "application/json; a=b", "text/plain", ";")+"\r\n", document)
}

// malformed returns what is hardly HTTP.
func (g badRequest) malformed() string {
	return pick(g.Rand,
		"\x00"+g.garbage(50)+"\r\n\r\n",
		"GET /v2/keys/%z"+g.word()+" HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /v2/keys/a HTTQ/1.1\r\nHost: a\r\n\r\n",
		"GET /v2/keys/a HTTP/1.1\r\n\r\n", // no host
		"GET /v2/keys/a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET /v2/keys/a HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
		"GET /v2/keys/a HTTP/1.1\r\nHost: a\r\na b: c\r\n\r\n",
		"GET /v2/keys/a HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("x", 20_000)+"\r\n\r\n",
		"GET /"+strings.Repeat("x", 20_000)+" HTTP/1.1\r\nHost: a\r\n\r\n",
		"PUT /v2/keys/a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
		"PUT /v2/keys/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"PUT /v2/keys/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\nzz\r\n",
		"PUT /v2/keys/a?ttl=x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		"PUT /v2/keys/a HTTP/1.1\r\nHost: a\r\nContent-Type: ;\r\n\r\n",
	)
}

// TestSlowClientsAreLeftBehind holds the limits of time.
func TestSlowClientsAreLeftBehind(t *testing.T) {
	for _, c := range []struct {
		name, wire string
		after      time.Duration // when the connection ends
		answer     string
	}{
		{"headers", "GET /version HTTP/1.1\r\nHo", 3 * time.Second, "400 Bad Request"},
		{"nothing at all", "", 3 * time.Second, ""},
		{
			"form", "PUT /v2/keys/a HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nvalu",
			5 * time.Second, "400 Bad Request",
		},
		{"headers of a key", "GET /v2/keys/a HTTP/1.1\r\nHo", 3 * time.Second, "400 Bad Request"},
		{"request line of a key", "GET /v2/k", 3 * time.Second, "400 Bad Request"},
		{"next request for a key", "GET /v2/keys/a HTTP/1.1\r\nHost: a\r\n\r\n", 7 * time.Second, "200 OK"},
		{"next request", "GET /version HTTP/1.1\r\nHost: a\r\n\r\n", 7 * time.Second, "200 OK"},
	} {
		eachFront(t, func(t *testing.T, f front) {
			l, stop := serveStore(t, f, httpapi.Config{HeaderTimeout: 3 * time.Second, ReadTimeout: 5 * time.Second, IdleTimeout: 7 * time.Second})
			defer stop()
			conn, err := l.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			begun := time.Now()
			if _, err := io.WriteString(conn, c.wire); err != nil {
				t.Fatal(err)
			}
			all, err := io.ReadAll(conn)
			if err != nil {
				t.Fatal(err)
			}
			line, _, _ := strings.Cut(strings.TrimPrefix(string(all), "HTTP/1.1 "), "\r\n")
			// Lingering, for half a second, lets a client read its answer.
			if took := time.Since(begun); took < c.after || took > c.after+time.Second || line != c.answer {
				t.Errorf("slow %s: ended after %v with %q, want %v and %q", c.name, took, line, c.after, c.answer)
			}
		})
	}
}

func TestAStreamWhoseReaderStopsReadingEnds(t *testing.T) {
	eachFront(t, func(t *testing.T, f front) {
		store, err := tree.NewLocal()
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		l, stop := serveStore(t, f, httpapi.Config{Store: store, WriteTimeout: time.Minute, ReadTimeout: time.Second})
		defer stop()
		conn, err := l.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /v2/keys/a?wait=true&stream=true HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		// Much time without events does no harm.
		time.Sleep(24 * time.Hour)
		mustSet(t, store, "/a")
		line, err := bufio.NewReader(resp.Body).ReadString('\n')
		if err != nil || !strings.Contains(line, `"/a"`) {
			t.Fatalf("after a day: %q, %v", line, err)
		}
		mustSet(t, store, "/a")
		time.Sleep(2 * time.Minute)
		if _, err := conn.Write([]byte("x")); err == nil {
			t.Error("the connection lives on though its client has not taken an event for two minutes")
		}
	})
}

func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	eachFront(t, func(t *testing.T, f front) {
		l, stop := serveStore(t, f, httpapi.Config{MaxConns: 2})
		defer stop()
		var first []io.Closer
		for range 2 {
			conn, err := l.dial()
			if err != nil {
				t.Fatal(err)
			}
			first = append(first, conn)
		}
		accepted := make(chan error, 1)
		go func() {
			conn, err := l.dial()
			if err == nil {
				defer conn.Close()
			}
			accepted <- err
		}()
		time.Sleep(10 * time.Second) // less than connections without a request get
		select {
		case err := <-accepted:
			t.Fatalf("a third connection was accepted, of two: %v", err)
		default:
		}
		first[0].Close()
		if err := <-accepted; err != nil {
			t.Error(err)
		}
		first[1].Close()
	})
}

// serveStore serves a store over pipes; the default one says what it is asked.
func serveStore(t *testing.T, f front, cfg httpapi.Config) (l *pipeListener, stop func()) {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = &echo{}
	}
	_, l, stop = server(t, f, cfg)
	return l, stop
}
