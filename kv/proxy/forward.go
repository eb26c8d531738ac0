package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

// maxBody bounds what is held of a request. Members take 10 MiB.
const maxBody = 32 << 20

// Reasons to drop a request, as the original counts them.
const (
	droppedNobody  = "zero_endpoints"
	droppedRequest = "failed_reading_request"
	droppedAnswer  = "failed_getting_response"
)

// forward passes a request on to the first endpoint that can be reached.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	p.cfg.Observer.Accepted(r.Method)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		p.cfg.Observer.Dropped(r.Method, droppedRequest)
		status := http.StatusInternalServerError
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			status = http.StatusRequestEntityTooLarge
		}
		refuse(w, status, "httpproxy: failed to read request body")
		return
	}
	endpoints := p.awake()
	if len(endpoints) == 0 {
		p.cfg.Observer.Dropped(r.Method, droppedNobody)
		refuse(w, http.StatusServiceUnavailable, noEndpoints)
		return
	}
	resp := p.ask(r, body, endpoints)
	if resp == nil {
		p.cfg.Observer.Dropped(r.Method, droppedAnswer)
		if r.Context().Err() == nil {
			refuse(w, http.StatusBadGateway, fmt.Sprintf("httpproxy: unable to get response from %d endpoint(s)", len(endpoints)))
		}
		return
	}
	defer resp.Body.Close()
	err = passOn(w, resp)
	p.cfg.Observer.Handled(r.Method, resp.StatusCode, time.Since(begin))
	if err != nil {
		panic(http.ErrAbortHandler) // so that the client does not take it for the whole
	}
}

// ask sends a request to one endpoint after the other until one answers; nil if
// none does.
func (p *Proxy) ask(r *http.Request, body []byte, endpoints []*endpoint) *http.Response {
	for _, e := range endpoints {
		resp, sent, err := p.send(r, body, e)
		switch {
		case err == nil:
			return resp
		case r.Context().Err() != nil:
			return nil // the client has gone
		}
		e.failed(p.cfg.FailureWait)
		p.cfg.Logger.Warn("proxy: endpoint failed", "url", e.url.String(), "rest", p.cfg.FailureWait, "err", err)
		if sent && r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions {
			return nil
		}
	}
	return nil
}

// send sends a request to one endpoint. sent tells whether that may have seen it.
func (p *Proxy) send(r *http.Request, body []byte, e *endpoint) (resp *http.Response, sent bool, err error) {
	var connected atomic.Bool
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		// The transport asks for another connection only when it is sure that
		// nothing went out on the one before.
		GetConn: func(string) { connected.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	out := r.Clone(ctx)
	out.URL.Scheme, out.URL.Host = e.url.Scheme, e.url.Host
	out.RequestURI, out.Close = "", false
	out.Body = http.NoBody
	if len(body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
	out.ContentLength, out.TransferEncoding = int64(len(body)), nil
	dropHopByHop(out.Header)
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		out.Header.Set("X-Forwarded-For", strings.Join(append(r.Header.Values("X-Forwarded-For"), host), ", "))
	}
	resp, err = p.members.RoundTrip(out)
	return resp, connected.Load(), err
}

// passOn sends an answer to the client as it comes. An error says that it is not
// whole.
func passOn(w http.ResponseWriter, resp *http.Response) error {
	dropHopByHop(resp.Header)
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	flusher := http.NewResponseController(w)
	_ = flusher.Flush() // a watch shows its headers at once
	buf := make([]byte, 32<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			_ = flusher.Flush() // a client that has gone is noticed above
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// dropHopByHop removes the headers that concern one connection alone (RFC 9110,
// section 7.6.1).
func dropHopByHop(h http.Header) {
	for _, list := range h.Values("Connection") {
		for name := range strings.SplitSeq(list, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{
		"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade",
	} {
		h.Del(name)
	}
}
