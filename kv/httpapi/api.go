package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/auth"
)

// Config says what an API serves. Store is required.
type Config struct {
	Store kv.Store
	// Cluster tells about the members; nil for a store that stands alone: no
	// members, always healthy.
	Cluster Cluster
	// Changer changes the members; nil for those of a cluster that stays as it
	// is, where such requests are not allowed.
	Changer Changer
	// Auth guards keys, members and itself; nil for a store that all may use, and
	// that has no users or roles.
	Auth *auth.Authority
	// ClientCertAuth takes the common name of a client's verified certificate for
	// a user, if the request names none.
	ClientCertAuth bool
	// Version is what /version reports; default "3.4.0", whose v2 API this is.
	Version string
	// Metrics answers GET /metrics; nil leaves that path unknown.
	Metrics http.Handler
	// Logger receives failures of the store; nil discards.
	Logger *slog.Logger

	// RequestTimeout bounds a write or a quorum read, after which error 300
	// answers and a write may still take place; default 7 s.
	RequestTimeout time.Duration
	// MaxBodyBytes bounds a form body; default 10 MiB.
	MaxBodyBytes int64

	// The rest is for Serve alone.

	// MaxHeaderBytes bounds request line and headers; default 1 MiB.
	MaxHeaderBytes int
	// HeaderTimeout is how long a client may take to send headers; default
	// 30 s.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a connection may stay open without a request;
	// default 5 min.
	IdleTimeout time.Duration
	// Grace is how long requests under way may go on when Serve is to end;
	// default 5 s.
	Grace time.Duration
}

func (c Config) withDefaults() Config {
	if c.Cluster == nil {
		c.Cluster = alone{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Version = cmp.Or(c.Version, "3.4.0")
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 7*time.Second)
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, 10<<20)
	c.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, 1<<20)
	c.HeaderTimeout = cmp.Or(c.HeaderTimeout, 30*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 5*time.Minute)
	c.Grace = cmp.Or(c.Grace, 5*time.Second)
	return c
}

// API is the v2 HTTP API as an http.Handler. It is safe for concurrent use.
type API struct {
	cfg       Config
	clusterID []string  // header value
	buffers   sync.Pool // of *[]byte, for answers
}

// New makes an API.
func New(cfg Config) *API {
	cfg = cfg.withDefaults()
	return &API{
		cfg:       cfg,
		clusterID: []string{strconv.FormatUint(cfg.Cluster.ClusterID(), 16)},
		buffers:   sync.Pool{New: func() any { return new([]byte) }},
	}
}

// Serve answers requests on l until ctx ends, and closes l. Watches then end at
// once, other requests have Config.Grace to finish. It returns nil after the end
// of ctx, and the listener's error otherwise. It may run on several listeners
// at a time.
func (a *API) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.serve(w, r, ctx)
		}),
		MaxHeaderBytes:    a.cfg.MaxHeaderBytes,
		ReadHeaderTimeout: a.cfg.HeaderTimeout,
		IdleTimeout:       a.cfg.IdleTimeout,
		ErrorLog:          slog.NewLogLogger(a.cfg.Logger.Handler(), slog.LevelDebug),
	}
	defer func() { _ = srv.Close() }()
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Grace)
		defer cancel()
		_ = srv.Shutdown(grace) // what is left after that, Close ends
	})
	err := srv.Serve(l)
	if stop() {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	<-ended
	return nil
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, context.Background())
}

// serve routes a request. It does not leave that to http.ServeMux, which would
// answer an unclean path with another status than the original.
func (a *API) serve(w http.ResponseWriter, r *http.Request, stop context.Context) {
	if r.Method == http.MethodOptions { // a browser's question, which the original answers for any path
		w.WriteHeader(http.StatusOK)
		return
	}
	p := r.URL.Path
	if c := cleanPath(p); c != p {
		to := url.URL{Path: c, RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusMovedPermanently)
		return
	}
	switch {
	case under(p, keysPrefix):
		a.serveKeys(w, r, stop)
	case under(p, membersPath):
		a.serveMembers(w, r)
	case under(p, authPath) && a.cfg.Auth != nil:
		a.serveAuth(w, r)
	case p == "/v2/machines":
		a.serveMachines(w, r)
	case p == "/version":
		a.serveVersion(w, r)
	case p == "/health":
		a.serveHealth(w, r)
	case p == "/metrics" && a.cfg.Metrics != nil:
		a.cfg.Metrics.ServeHTTP(w, r)
	default:
		http.NotFound(w, r)
	}
}

// under reports whether p is the prefix or a path below it.
func under(p, prefix string) bool {
	return strings.HasPrefix(p, prefix) && (len(p) == len(prefix) || p[len(prefix)] == '/')
}

// cleanPath is path.Clean for an absolute path that keeps one slash at the end.
func cleanPath(p string) string {
	c := path.Clean("/" + p)
	if c != "/" && strings.HasSuffix(p, "/") {
		c += "/"
	}
	return c
}

func (a *API) clusterHeader(h http.Header) { h["X-Etcd-Cluster-Id"] = a.clusterID }

func methodNotAllowed(w http.ResponseWriter, allow string) {
	w.Header().Set("Allow", allow)
	http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
}

// jsonType is shared by all answers, so it must not be modified.
var jsonType = []string{"application/json"}

// writeJSON answers with a whole body. It gives its length, which a HEAD request
// needs for bodies that the server does not buffer.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}
