package httpapi

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

const plainPut = "PUT /v2/keys/a?ttl=1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 7\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\nvalue=1"

func TestTheLoopKnowsANarrowPartOfHTTP(t *testing.T) {
	const get, host = "GET /v2/keys/a HTTP/1.1\r\n", "Host: a\r\n"
	for _, c := range []struct {
		wire string
		want verdict
	}{
		{plainPut, hot},
		{get + host + "\r\n", hot},
		{get + "HOST:a\r\nUser-Agent: x y\t\"z\"\r\nAccept: */*\r\nCONNECTION: Keep-Alive\r\n\r\nGET ...", hot},
		{"DELETE /v2/keys/%61/%C3%A9?recursive=true HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", hot},
		{"POST /v2/keys HTTP/1.1\r\n" + host + "\r\n", hot},

		{"", more},
		{"GE", more},
		{get + host, more},
		{get + host + "X: y\r", more},

		{"\r\n" + get + host + "\r\n", cold},
		{"HEAD /v2/keys/a HTTP/1.1\r\n", cold},
		{"get /v2/keys/a HTTP/1.1\r\n", cold},
		{"GET /v2/keysx HTTP/1.1\r\n", cold},
		{"GET /v2/keys//a HTTP/1.1\r\n", cold},
		{"GET /v2/keys/a/%2e%2e/b HTTP/1.1\r\n", cold},
		{"GET /v2/keys/%zz HTTP/1.1\r\n", cold},
		{"GET /v2/keys/a b HTTP/1.1\r\n", cold},
		{"GET /v2/keys/\xff HTTP/1.1\r\n", cold},
		{"GET http://a/v2/keys/a HTTP/1.1\r\n", cold},
		{"GET /v2/keys/a HTTP/1.0\r\n", cold},
		{"GET /v2/keys/a HTTP/1.1 \r\n", cold},
		{"GET /v2/keys/a HTTP/1.1\n", cold},
		{"GET /v2/keys/a\r HTTP/1.1\r\n", cold},
		{get + "\r\n", cold}, // no host
		{get + host + host, cold},
		{get + "Host: a/b\r\n", cold},
		{get + "Host:\r\n", cold},
		{get + "Host : a\r\n", cold},
		{get + " Host: a\r\n", cold},
		{get + host + "X: y\n", cold},
		{get + host + "X: y\r\n z\r\n", cold},
		{get + host + "X: \x7f\r\n", cold},
		{get + host + "X\r\n", cold},
		{get + host + "Transfer-Encoding: chunked\r\n", cold},
		{get + host + "TRAILER: x\r\n", cold},
		{get + host + "Expect: 100-continue\r\n", cold},
		{get + host + "Upgrade: h2c\r\n", cold},
		{get + host + "Authorization: Basic eDp5\r\n", cold},
		{get + host + "Connection: close\r\n", cold},
		{get + host + "Connection: keep-alive\r\nConnection: keep-alive\r\n", cold},
		{get + host + "Content-Length: 1\r\n\r\n", cold},
		{get + host + "Content-Length: +1\r\n", cold},
		{get + host + "Content-Length: \r\n", cold},
		{get + host + "Content-Length: 0\r\nContent-Length: 0\r\n", cold},
		{"PUT /v2/keys/a HTTP/1.1\r\n" + host + "Content-Length: 65537\r\n", cold},
		{"PUT /v2/keys/a HTTP/1.1\r\n" + host + "Content-Length: 7\r\n\r\nvalue=1", cold}, // no type
		{"PUT /v2/keys/a HTTP/1.1\r\n" + host + "Content-Type: text/plain\r\n", cold},
	} {
		if _, got := parseHead([]byte(c.wire)); got != c.want {
			t.Errorf("%q: got %v, want %v", c.wire, got, c.want)
		}
	}
}

// FuzzHeads holds the parser against net/http's: what it takes for hot, the other
// reads the same, body included. Nor does more input make it change its mind.
func FuzzHeads(f *testing.F) {
	f.Add([]byte(plainPut))
	f.Add([]byte("GET /v2/keys/%41?x=%zz HTTP/1.1\r\nHost: [::1]:1\r\nX-Y: \t z\r\n\r\n"))
	f.Add([]byte("DELETE /v2/keys/a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 00\r\n\r\n\r\n"))
	f.Add([]byte("POST /v2/keys HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, v := parseHead(b)
		for i := range b {
			if _, early := parseHead(b[:i]); early != more && early != v {
				t.Fatalf("%q: verdict %v for %d bytes, %v for all", b, early, i, v)
			}
		}
		if v != hot {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(append(b, make([]byte, h.body)...))))
		if err != nil {
			t.Fatalf("%q: hot, but to net/http %v", b, err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) != h.body || r.ContentLength != int64(h.body) {
			t.Fatalf("%q: body of %d, to net/http of %d, %d: %v", b, h.body, r.ContentLength, len(body), err)
		}
		if r.Method != h.method || r.URL.Path != h.path || r.URL.RawQuery != h.query || r.Host == "" || r.Close || r.URL.Host != "" || len(r.TransferEncoding) > 0 {
			t.Fatalf("%q: got %+v, net/http %+v %+v", b, h, r, r.URL)
		}
		if got := r.Header.Get("Content-Type"); h.body > 0 && got != formType || got != "" && got != formType {
			t.Fatalf("%q: content type %q", b, got)
		}
		for name := range r.Header {
			if unhotHeader([]byte(strings.ToLower(name))) {
				t.Fatalf("%q: header %s", b, name)
			}
		}
	})
}
