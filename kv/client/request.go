package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/strakeproject/strake/kv"
)

var errNotApplied = kv.ErrNotApplied

// call is a request before an endpoint is chosen for it.
type call struct {
	method string
	path   string
	query  url.Values
	form   url.Values // the body of a PUT or POST on a key
	json   []byte     // the body of any other request that has one
	// live leaves the body of a success unread, for a watch.
	live bool
}

func (c *call) write() bool { return c.method != http.MethodGet }

// answer is what an endpoint said.
type answer struct {
	status int
	header http.Header
	body   []byte
	live   *liveBody // instead of body, for the success of a live call
}

// send carries a call to the endpoint in use, or to the next ones when that
// fails. It gives up on a write once some endpoint may have seen it, unless it
// is told to go on.
func (c *Client) send(ctx context.Context, cl call) (*answer, error) {
	eps := c.endpoints.Load()
	first := int(eps.pinned.Load())
	var errs []error
	var refused *answer // the latest answer that another endpoint might better
	unknown := false    // some endpoint may have seen a write and has not answered
	for i := range eps.urls {
		n := (first + i) % len(eps.urls)
		a, sent, err := c.attempt(ctx, eps.urls[n], cl)
		if err == nil && a.status < 500 {
			eps.pinned.Store(int64(n))
			return a, nil
		}
		// Whoever fails is not asked first next time, also where this call has to
		// end with it.
		eps.pinned.CompareAndSwap(int64(n), int64((n+1)%len(eps.urls)))
		if err == nil && cl.write() && !c.cfg.RepeatWrites {
			return a, nil
		}
		if err == nil {
			refused = a
			continue
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if sent && cl.write() {
			unknown = true
			if !c.cfg.RepeatWrites {
				return nil, fmt.Errorf("%w: %w", kv.ErrOutcomeUnknown, err)
			}
		}
		if ctx.Err() != nil && unknown {
			return nil, fmt.Errorf("%w: %w", kv.ErrOutcomeUnknown, err)
		}
		if ctx.Err() != nil {
			return nil, err
		}
		c.logger.Info("endpoint failed", "endpoint", eps.urls[n].String(), "err", err)
		errs = append(errs, err)
	}
	if refused != nil {
		return refused, nil
	}
	if unknown {
		return nil, fmt.Errorf("%w: %w", kv.ErrOutcomeUnknown, errors.Join(errs...))
	}
	return nil, &UnavailableError{Errs: errs}
}

// attempt tries one endpoint. sent tells whether the endpoint may have seen the
// request.
func (c *Client) attempt(ctx context.Context, base *url.URL, cl call) (a *answer, sent bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.cfg.Timeout, func() { cancel(errTimeout) })
	defer func() {
		timer.Stop()
		if err != nil || a.live == nil {
			cancel(nil)
		}
	}()
	var connected atomic.Bool
	if cl.write() {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			// The transport asks for another connection only when it is sure
			// that nothing went out on the one before.
			GetConn: func(string) { connected.Store(false) },
			GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
		})
	}
	r := c.newRequest(ctx, base, cl)
	resp, err := c.transport.RoundTrip(r)
	if err != nil {
		if errors.Is(context.Cause(ctx), errTimeout) {
			err = fmt.Errorf("client: endpoint %s exceeded header timeout", base)
		}
		return nil, connected.Load(), err
	}
	a = &answer{status: resp.StatusCode, header: resp.Header}
	if cl.live && resp.StatusCode == http.StatusOK {
		a.live = &liveBody{ReadCloser: resp.Body, cancel: func() { cancel(nil) }}
		return a, true, nil
	}
	defer resp.Body.Close()
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return nil, true, fmt.Errorf("read answer of %s: %w", base, err)
	}
	return a, true, nil
}

// liveBody frees the request's context with the body.
type liveBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *liveBody) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// newRequest makes the HTTP request for an endpoint.
func (c *Client) newRequest(ctx context.Context, base *url.URL, cl call) *http.Request {
	u := *base
	u.Path += cl.path
	u.RawQuery = cl.query.Encode()
	r := (&http.Request{
		Method: cl.method,
		URL:    &u,
		Host:   u.Host,
		Header: make(http.Header, 4),
	}).WithContext(ctx)
	var body string
	switch {
	case cl.form != nil:
		body = cl.form.Encode()
		setBody(r, "application/x-www-form-urlencoded", body)
	case cl.json != nil:
		body = string(cl.json)
		setBody(r, "application/json", body)
	}
	if c.cfg.Username != "" {
		r.SetBasicAuth(c.cfg.Username, c.cfg.Password)
	}
	if c.cfg.Trace != nil {
		c.cfg.Trace(r, body)
	}
	return r
}

func setBody(r *http.Request, contentType, body string) {
	r.Header.Set("Content-Type", contentType)
	r.ContentLength = int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	r.Body, _ = r.GetBody() // which cannot fail
}
