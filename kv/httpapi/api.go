package httpapi

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	// Activity tells how busy the member is; nil leaves /v2/stats/self and
	// /v2/stats/leader unknown.
	Activity func() Activity
	// Metrics answers GET /metrics, and Profiler all below /debug/pprof, as a mux
	// with the handlers of net/http/pprof does. Nil leaves the paths unknown.
	Metrics, Profiler http.Handler
	// LogLevel is what PUT /config/local/log sets; nil leaves that path unknown.
	LogLevel *slog.LevelVar
	// CORS lists the origins whose scripts may use the API, "*" for all. Default:
	// none, and nothing is said about it.
	CORS []string
	// Logger receives failures of the store; nil discards.
	Logger *slog.Logger

	// RequestTimeout bounds a write or a quorum read, after which error 300
	// answers and a write may still take place; default 7 s.
	RequestTimeout time.Duration
	// MaxBodyBytes bounds a form body, beyond which error 210 answers; default
	// 10 MiB. JSON documents are bounded at 1 MiB, where they are cut off.
	MaxBodyBytes int64
	// MaxWatches bounds the watches under way, beyond which error 300 answers at
	// once; default 120,000. Each takes some 13 KiB, by net/http 27 KiB.
	MaxWatches int

	// The rest is for Serve alone.

	// MaxConns bounds the connections of all listeners; default 130,000. Beyond it
	// new ones wait, accepted by nobody, until others end.
	MaxConns int
	// MaxHeaderBytes bounds request line and headers, beyond which status 431
	// answers and the connection ends; default 1 MiB.
	MaxHeaderBytes int
	// HeaderTimeout is how long a client may take to send headers, and the
	// handshake of TLS before them; default 30 s. Then the connection ends.
	HeaderTimeout time.Duration
	// ReadTimeout is how long a client may take to send a whole request, headers
	// included; default 2 min. Then error 210 answers, where there is a form to
	// miss.
	ReadTimeout time.Duration
	// WriteTimeout is how long it may take from the headers of a request to the
	// end of the answer, or from an event of a watch until the client has taken
	// it; default 2 min. Then the connection ends. Must exceed RequestTimeout.
	WriteTimeout time.Duration
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
	c.MaxWatches = cmp.Or(c.MaxWatches, 120_000)
	c.MaxConns = cmp.Or(c.MaxConns, 130_000)
	c.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, 1<<20)
	c.HeaderTimeout = cmp.Or(c.HeaderTimeout, 30*time.Second)
	c.ReadTimeout = cmp.Or(c.ReadTimeout, 2*time.Minute)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 2*time.Minute)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 5*time.Minute)
	c.Grace = cmp.Or(c.Grace, 5*time.Second)
	return c
}

// API is the v2 HTTP API as an http.Handler. It is safe for concurrent use.
type API struct {
	cfg       Config
	clusterID []string  // header value
	buffers   sync.Pool // of *[]byte, for answers
	counts    counts
	conns     chan struct{} // one for each connection
	inputs    sync.Pool     // of *[maxHotHead]byte, for connections of the loop
	allCold   bool          // whether net/http has all connections to itself
	second    atomic.Pointer[second]
}

// second is one of time, as a header tells it.
type second struct {
	unix int64
	text string
}

// date returns the time as a header tells it.
func (a *API) date() string {
	now := time.Now()
	s := a.second.Load()
	if s == nil || s.unix != now.Unix() {
		s = &second{now.Unix(), now.UTC().Format(http.TimeFormat)}
		a.second.Store(s)
	}
	return s.text
}

// New makes an API.
func New(cfg Config) *API {
	cfg = cfg.withDefaults()
	return &API{
		cfg:       cfg,
		clusterID: []string{strconv.FormatUint(cfg.Cluster.ClusterID(), 16)},
		buffers:   sync.Pool{New: func() any { return new([]byte) }},
		conns:     make(chan struct{}, cfg.MaxConns),
		inputs:    sync.Pool{New: func() any { return new([maxHotHead]byte) }},
		allCold:   len(cfg.CORS) > 0, // whose headers it alone knows
	}
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, context.Background())
}

// serve routes a request. It does not leave that to http.ServeMux, which would
// answer an unclean path with another status than the original.
func (a *API) serve(w http.ResponseWriter, r *http.Request, stop context.Context) {
	if len(a.cfg.CORS) > 0 {
		a.originHeaders(w.Header(), r)
	}
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
	case p == "/v2/stats/store", (p == "/v2/stats/self" || p == "/v2/stats/leader") && a.cfg.Activity != nil:
		a.serveStats(w, r, path.Base(p))
	case p == "/version":
		a.serveVersion(w, r)
	case p == "/health":
		a.serveHealth(w, r)
	case p == "/metrics" && a.cfg.Metrics != nil:
		a.cfg.Metrics.ServeHTTP(w, r)
	case p == varsPath:
		a.serveVars(w, r)
	case p == logPath && a.cfg.LogLevel != nil:
		a.serveLog(w, r)
	case under(p, profilePath) && a.cfg.Profiler != nil:
		a.cfg.Profiler.ServeHTTP(w, r)
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
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	c := path.Clean(p)
	if c != "/" && strings.HasSuffix(p, "/") {
		c += "/"
	}
	return c
}

// originHeaders tells a browser whether scripts of another origin may see the
// answer.
func (a *API) originHeaders(h http.Header, r *http.Request) {
	origin := "*"
	if !slices.Contains(a.cfg.CORS, "*") {
		origin = r.Header.Get("Origin")
		if !slices.Contains(a.cfg.CORS, origin) {
			return
		}
	}
	h.Set("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE")
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Headers", "accept, content-type, authorization")
}

// giveBack returns the memory of an answer, unless that is too much to keep.
func (a *API) giveBack(buf *[]byte) {
	if cap(*buf) <= 2*listChunk {
		a.buffers.Put(buf)
	}
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
