package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Config says where the cluster is and how to talk to it. The zero Config means
// a server on this machine without authentication.
type Config struct {
	// Endpoints are base URLs of members, with scheme and port. Default:
	// DefaultEndpoints.
	Endpoints []string
	// Username and Password are sent as basic authentication if Username is
	// given.
	Username, Password string
	// TLS configures connections to https endpoints; nil means the system's
	// roots and no client certificate.
	TLS *tls.Config
	// Timeout bounds each attempt at one endpoint, for a watch until the
	// headers arrive; default 10 s. Contexts bound the whole.
	Timeout time.Duration
	// Quorum makes every Get linearizable, as if GetOptions.Quorum were set.
	Quorum bool
	// RepeatWrites sends a write to the next endpoint also when an earlier one
	// may have carried it out. Right for writes that do no harm twice: a second
	// try of a Create may find the key of the first, one of a CreateInOrder
	// makes another.
	RepeatWrites bool
	// WatchRenewal is after how long without an event a watch asks anew, which
	// finds out when the member asked has lost its cluster or, silently, what
	// there was to tell, and keeps a quiet watch from growing older than the
	// server's history. Default 1 min.
	WatchRenewal time.Duration
	// Transport replaces the HTTP transport, and TLS with it.
	Transport http.RoundTripper
	// Logger receives fail-overs; nil discards.
	Logger *slog.Logger
	// Trace, if not nil, sees each request just before it is sent, with its
	// body or "".
	Trace func(r *http.Request, body string)
}

// DefaultEndpoints returns the current and the legacy client port of this
// machine.
func DefaultEndpoints() []string {
	return []string{"http://127.0.0.1:2379", "http://127.0.0.1:4001"}
}

// Client is a kv.Store over HTTP. It is safe for concurrent use.
type Client struct {
	cfg       Config
	transport http.RoundTripper
	logger    *slog.Logger
	endpoints atomic.Pointer[endpoints]
}

// endpoints is a list of base URLs, of which one is in use.
type endpoints struct {
	urls   []*url.URL   // immutable
	pinned atomic.Int64 // index of the one that answered last
}

// New makes a Client. An endpoint that is not an http or https URL is an error.
func New(cfg Config) (*Client, error) {
	if len(cfg.Endpoints) == 0 {
		cfg.Endpoints = DefaultEndpoints()
	}
	urls, err := parseEndpoints(cfg.Endpoints)
	if err != nil {
		return nil, err
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	cfg.WatchRenewal = cmp.Or(cfg.WatchRenewal, time.Minute)
	c := &Client{cfg: cfg, transport: cfg.Transport, logger: cfg.Logger}
	if c.transport == nil {
		c.transport = newTransport(cfg)
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	c.endpoints.Store(&endpoints{urls: urls})
	return c, nil
}

// maxDial bounds how long a connection may take, where attempts may take longer.
const maxDial = 10 * time.Second

func newTransport(cfg Config) *http.Transport {
	dial := min(cfg.Timeout, maxDial)
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dial}).DialContext,
		TLSClientConfig:     cfg.TLS,
		TLSHandshakeTimeout: dial,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
	}
}

// parseEndpoints parses base URLs; a slash at the end makes no difference.
func parseEndpoints(list []string) ([]*url.URL, error) {
	urls := make([]*url.URL, 0, len(list))
	for _, s := range list {
		u, err := url.Parse(strings.TrimSpace(s))
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("client: endpoint %q is not a URL like http://host:2379", s)
		}
		urls = append(urls, &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")})
	}
	return urls, nil
}

// Endpoints returns the URLs in use, the one that answered last first.
func (c *Client) Endpoints() []string {
	eps := c.endpoints.Load()
	n, pinned := len(eps.urls), int(eps.pinned.Load())
	list := make([]string, n)
	for i := range list {
		list[i] = eps.urls[(pinned+i)%n].String()
	}
	return list
}

// Sync asks the cluster for its members and goes on with the client URLs that
// they publish. A cluster that publishes none leaves the endpoints as they are.
func (c *Client) Sync(ctx context.Context) error {
	members, err := c.Members(ctx)
	if err != nil {
		return err
	}
	var list []string
	for _, m := range members {
		list = append(list, m.ClientURLs...)
	}
	if len(list) == 0 {
		return nil
	}
	urls, err := parseEndpoints(list)
	if err != nil {
		return fmt.Errorf("sync endpoints: %w", err)
	}
	next := &endpoints{urls: urls}
	current := c.Endpoints()[0]
	if i := slices.IndexFunc(urls, func(u *url.URL) bool { return u.String() == current }); i > 0 {
		next.pinned.Store(int64(i))
	}
	c.endpoints.Store(next)
	return nil
}

// AutoSync syncs at once and then at every interval until ctx ends, and returns
// the context's error. A failure is logged and leaves the endpoints as they are.
func (c *Client) AutoSync(ctx context.Context, interval time.Duration) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := c.Sync(ctx); err != nil && ctx.Err() == nil {
			c.logger.Warn("sync of endpoints failed", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close releases idle connections. It does not end watches: their contexts do.
func (c *Client) Close() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// UnavailableError says that no endpoint could be reached. Nothing was changed
// and a retry is safe: the error matches kv.ErrNotApplied.
type UnavailableError struct {
	Errs []error // one for each endpoint, in the order tried
}

// Error lists what went wrong at each endpoint.
func (e *UnavailableError) Error() string {
	var b strings.Builder
	b.WriteString("client: etcd cluster is unavailable or misconfigured")
	for i, err := range e.Errs {
		fmt.Fprintf(&b, "; error #%d: %v", i, err)
	}
	return b.String()
}

// Unwrap returns the errors of the endpoints and kv.ErrNotApplied.
func (e *UnavailableError) Unwrap() []error {
	return append(slices.Clone(e.Errs), errNotApplied)
}

// StatusError is an answer that is neither a success nor an error of the key
// space.
type StatusError struct {
	Status  int
	Message string // what the server said, if it can be told; else empty
}

// Error gives the server's message, or the status if there is none.
func (e *StatusError) Error() string {
	if e.Message != "" {
		return e.Message
	}
	return fmt.Sprintf("unexpected status code %d", e.Status)
}

// errTimeout ends an attempt that took longer than Config.Timeout.
var errTimeout = errors.New("attempt timed out")
