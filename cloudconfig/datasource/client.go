package datasource

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client gets documents over HTTP. It may be used by several goroutines.
//
// A request ends after 10 seconds. A status of 2xx is success; 4xx says that
// there is no such document, and is not tried again; everything else is, up to
// 15 times in all, after 100 ms, doubling to 5 s. Among 4xx, 408 and 429 ask for
// patience and are tried again, too.
type Client struct {
	http   http.Client
	logger *slog.Logger
}

// The limits of a Client.
const (
	requestTimeout = 10 * time.Second
	attempts       = 15
	firstRetry     = 100 * time.Millisecond
	slowestRetry   = 5 * time.Second

	maxUserData = 16 << 20
	maxMetadata = 1 << 20
)

// ClientOptions are how a Client reaches servers. The zero value is right for a
// machine.
type ClientOptions struct {
	// Transport is by default one that opens a connection for each request, uses
	// the environment's proxies for a document at a URL and no proxy for a
	// platform's own service.
	Transport http.RoundTripper
	// Logger gets a line for each request; nil discards them.
	Logger *slog.Logger
}

// NewClient returns a client that has nothing open.
func NewClient(o ClientOptions) *Client {
	transport := o.Transport
	if transport == nil {
		transport = &http.Transport{Proxy: proxy, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}
	}
	return &Client{
		http:   http.Client{Transport: transport, CheckRedirect: redirect},
		logger: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
	}
}

// direct marks the context of a request that goes to a platform's service.
type direct struct{}

func proxy(r *http.Request) (*url.URL, error) {
	if r.Context().Value(direct{}) != nil {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

// redirect keeps what is meant for a platform's service, such as its tokens, from
// other hosts.
func redirect(r *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("redirected more than 10 times")
	}
	if r.Context().Value(direct{}) != nil && r.URL.Host != via[0].URL.Host {
		return fmt.Errorf("redirected to another host, %s", r.URL.Host)
	}
	return nil
}

// request is a document to get.
type request struct {
	method string // GET if empty
	url    string
	header http.Header
	limit  int64 // bytes of the document
	direct bool  // see direct
	// patience is how long it may take, 10 seconds if 0.
	patience time.Duration
}

// statusError is a server's refusal.
type statusError struct {
	url  string
	code int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("get %s: %d %s", e.url, e.code, http.StatusText(e.code))
}

// notFound reports whether a server has said that there is no such document. 401
// asks for credentials instead.
func notFound(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.code/100 == 4 && e.code != http.StatusUnauthorized
}

// errLarge is a document beyond its limit.
var errLarge = errors.New("document is too large")

// get gets a document and tries again where that may help.
func (c *Client) get(ctx context.Context, r request) ([]byte, error) {
	wait := backoff{first: firstRetry, longest: slowestRetry}
	for attempt := 1; ; attempt++ {
		c.logger.Info(fmt.Sprintf("Fetching data from %s. Attempt #%d", redact(r.url), attempt))
		body, err := c.once(ctx, r)
		if err == nil || final(err) {
			return body, err
		}
		if attempt == attempts {
			return nil, fmt.Errorf("after %d attempts: %w", attempts, err)
		}
		c.logger.Warn("Unable to fetch data", "error", err)
		if err := wait.sleep(ctx); err != nil {
			return nil, fmt.Errorf("get %s: %w", redact(r.url), err)
		}
	}
}

// final reports whether to try again is of no use.
func final(err error) bool {
	if e, ok := errors.AsType[*statusError](err); ok {
		patience := e.code == http.StatusRequestTimeout || e.code == http.StatusTooManyRequests
		return e.code/100 == 4 && !patience
	}
	return errors.Is(err, errLarge) || errors.Is(err, ErrNever)
}

// once gets a document, or not.
func (c *Client) once(ctx context.Context, r request) ([]byte, error) {
	if !isHTTP(r.url) {
		return nil, never("%q is no address that begins with http", redact(r.url))
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.patience, requestTimeout))
	defer cancel()
	if r.direct {
		ctx = context.WithValue(ctx, direct{}, true)
	}
	req, err := http.NewRequestWithContext(ctx, cmp.Or(r.method, http.MethodGet), r.url, nil)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL, which may hold a password
		}
		return nil, never("the URL cannot be read: %w", err)
	}
	if req.URL.Host == "" {
		return nil, never("%q names no host", redact(r.url))
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return nil, &statusError{url: redact(r.url), code: resp.StatusCode}
	}
	body, err := readLimited(resp.Body, r.limit)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", redact(r.url), err)
	}
	return body, nil
}

// redact leaves the password out of a URL that is to be shown.
func redact(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "a URL that cannot be read"
	}
	return u.Redacted()
}

func isHTTP(text string) bool {
	scheme, _, found := strings.Cut(text, "://")
	return found && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// readLimited reads to the end, unless that is beyond the limit.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	var b bytes.Buffer
	if _, err := b.ReadFrom(io.LimitReader(r, limit+1)); err != nil {
		return nil, err
	}
	if int64(b.Len()) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", errLarge, limit)
	}
	return b.Bytes(), nil
}
