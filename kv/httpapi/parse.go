package httpapi

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
)

const (
	// maxHotHead bounds request line and headers of what the loop serves itself.
	maxHotHead = 4 << 10
	// maxHotBody bounds the body.
	maxHotBody = 64 << 10
)

// hotHead is the head of a request that the loop serves itself.
type hotHead struct {
	method string
	path   string // decoded, clean, at or below keysPrefix
	query  string // as it stands
	size   int    // of the head
	body   int    // size of the body, a form if there is one
}

// verdict is what becomes of a connection after the bytes it has sent.
type verdict int

const (
	hot  verdict = iota // the loop serves the request
	more                // so far it might
	cold                // it is net/http's
)

// parseHead reads the head of a request. It knows a narrow part of HTTP/1.1, the
// one that clients use for keys, in which no two servers could see different
// things. It judges nothing to be wrong: what it does not know for sure is cold,
// as soon as a line shows it, and net/http makes of it what it will.
//
//	METHOD SP /v2/keys... SP HTTP/1.1 CRLF     GET PUT POST DELETE, no unclean path
//	Host: NAME[:PORT] CRLF                     once
//	Content-Length: N CRLF                     once at most; 0 without a form
//	Content-Type: application/x-www-form-urlencoded CRLF
//	                                           once at most; as it stands here
//	Connection: keep-alive CRLF                once at most
//	NAME: VALUE CRLF                           ignored, but for those of unhotHeader
//	CRLF
//
// Lines end with CRLF and none is continued; bytes beyond printable ASCII have no
// place but for tabs in values.
func parseHead(b []byte) (hotHead, verdict) {
	var h hotHead
	line, rest, v := cutLine(b)
	if v != hot {
		return h, v
	}
	if !h.requestLine(line) {
		return h, cold
	}
	var seen headers
	for {
		if line, rest, v = cutLine(rest); v != hot {
			return h, v
		}
		if len(line) == 0 {
			break
		}
		if !h.header(line, &seen) {
			return h, cold
		}
	}
	if !seen.host || h.body > 0 && !(seen.form && takesForm(h.method)) {
		return h, cold
	}
	h.size = len(b) - len(rest)
	return h, hot
}

// cutLine returns the first line of b without its end.
func cutLine(b []byte) (line, rest []byte, v verdict) {
	i := bytes.IndexByte(b, '\n')
	switch {
	case i < 0:
		return nil, nil, more
	case i == 0 || b[i-1] != '\r':
		return nil, nil, cold
	}
	return b[:i-1], b[i+1:], hot
}

func (h *hotHead) requestLine(line []byte) bool {
	method, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return false
	}
	switch string(method) {
	case http.MethodGet:
		h.method = http.MethodGet
	case http.MethodPut:
		h.method = http.MethodPut
	case http.MethodPost:
		h.method = http.MethodPost
	case http.MethodDelete:
		h.method = http.MethodDelete
	default:
		return false
	}
	target, ok := bytes.CutSuffix(rest, []byte(" HTTP/1.1"))
	if !ok {
		return false
	}
	for _, c := range target {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	path, query, _ := strings.Cut(string(target), "?")
	if strings.IndexByte(path, '%') >= 0 {
		var err error
		if path, err = url.PathUnescape(path); err != nil {
			return false
		}
	}
	h.path, h.query = path, query
	return under(path, keysPrefix) && cleanPath(path) == path
}

// headers are those that may come once, and whether they have.
type headers struct{ host, length, form, connection bool }

// header takes a header in and reports whether the request is still hot.
func (h *hotHead) header(line []byte, seen *headers) bool {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || len(name) == 0 {
		return false
	}
	for _, c := range name {
		if !nameByte(c) {
			return false
		}
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	value = bytes.Trim(value, " \t")
	switch {
	case isHeader(name, "host"):
		return once(&seen.host) && isHost(value)
	case isHeader(name, "content-length"):
		return once(&seen.length) && h.length(value)
	case isHeader(name, "content-type"):
		return once(&seen.form) && string(value) == formType
	case isHeader(name, "connection"):
		return once(&seen.connection) && isHeader(value, "keep-alive")
	}
	return !unhotHeader(name)
}

// unhotHeader reports whether a header says something that net/http or its
// handlers would heed, or that has to do with where a message ends.
func unhotHeader(name []byte) bool {
	for _, n := range [...]string{
		"authorization", "expect", "http2-settings", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	} {
		if isHeader(name, n) {
			return true
		}
	}
	return false
}

// length reads the size of the body.
func (h *hotHead) length(value []byte) bool {
	if len(value) == 0 || len(value) > len("65536") {
		return false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return false
		}
		h.body = 10*h.body + int(c-'0')
	}
	return h.body <= maxHotBody
}

// once notes that a header has come, and reports whether it is the first time.
func once(seen *bool) bool {
	first := !*seen
	*seen = true
	return first
}

// isHeader compares without regard to case; name is in lower case.
func isHeader(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range b {
		if lower(b[i]) != name[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func alphanumeric(c byte) bool {
	return 'a' <= lower(c) && lower(c) <= 'z' || '0' <= c && c <= '9'
}

// nameByte reports whether c may stand in the name of a header that is hot, which
// is what most of them are made of.
func nameByte(c byte) bool { return alphanumeric(c) || c == '-' || c == '_' }

func isHost(b []byte) bool {
	for _, c := range b {
		if !alphanumeric(c) && c != '.' && c != ':' && c != '-' && c != '_' && c != '[' && c != ']' {
			return false
		}
	}
	return len(b) > 0
}
