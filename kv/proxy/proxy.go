package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Config configures a Proxy. PeerURLs or File are required; fields at their zero
// value take the original's defaults, named with them.
type Config struct {
	// PeerURLs are where to ask for the members at first.
	PeerURLs []string
	// File is where the peer URLs of all members are kept; what it holds wins
	// over PeerURLs. Default: nowhere.
	File string
	// ReadOnly refuses everything but GET with 501.
	ReadOnly bool

	// RefreshInterval is the time between two looks for members; 1 s while there
	// are none. Default 30 s.
	RefreshInterval time.Duration
	// FailureWait is how long a member rests that could not be reached. Default
	// 5 s.
	FailureWait time.Duration
	// DialTimeout bounds the opening of a connection. Default 1 s.
	DialTimeout time.Duration
	// WriteTimeout bounds each write to a member. Default 5 s.
	WriteTimeout time.Duration
	// ReadTimeout bounds each wait for a member to say something. Default none:
	// watches are silent for long.
	ReadTimeout time.Duration

	// TLS is for members whose client URLs are https, PeerTLS for peer URLs.
	// Default: the system's roots.
	TLS, PeerTLS *tls.Config

	// Observer is told of each request. Default: nobody.
	Observer Observer
	// Logger hears of members that cannot be reached. Default: nobody.
	Logger *slog.Logger
}

// Observer counts requests. Its methods are called concurrently.
type Observer interface {
	// Accepted is called when a request has come.
	Accepted(method string)
	// Handled is called when a member's answer was passed on, which took so long.
	Handled(method string, status int, took time.Duration)
	// Dropped is called when no member has answered, with the original's reason.
	Dropped(method, reason string)
}

// Proxy passes requests on. Its methods are safe for concurrent use.
type Proxy struct {
	cfg     Config
	members *http.Transport // to client URLs
	peers   *http.Client    // to peer URLs

	// These belong to Run.
	peerURLs []string // of all members that are known
	kept     []string // what Config.File holds
	lost     bool     // no peer told its members when last asked

	mu        sync.Mutex
	endpoints []*endpoint // replaced as a whole
}

var _ http.Handler = (*Proxy)(nil)

// refreshSoon is the time between two looks while no member is known.
const refreshSoon = time.Second

// New makes a Proxy that knows no member yet. It reads Config.File.
func New(cfg Config) (*Proxy, error) {
	cfg.RefreshInterval = cmp.Or(cfg.RefreshInterval, 30*time.Second)
	cfg.FailureWait = cmp.Or(cfg.FailureWait, 5*time.Second)
	cfg.DialTimeout = cmp.Or(cfg.DialTimeout, time.Second)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, 5*time.Second)
	if cfg.Observer == nil {
		cfg.Observer = nobody{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	kept, err := load(cfg.File)
	if err != nil {
		return nil, err
	}
	peerURLs := kept
	if len(peerURLs) == 0 {
		peerURLs = cfg.PeerURLs
	}
	if len(peerURLs) == 0 {
		return nil, errors.New("proxy: no peer URL of any member is known")
	}
	return &Proxy{
		cfg: cfg, peerURLs: peerURLs, kept: kept, members: cfg.transport(cfg.TLS),
		peers: &http.Client{Transport: cfg.transport(cfg.PeerTLS), Timeout: askTimeout},
	}, nil
}

// Run keeps the members up to date until ctx ends, and returns its error.
func (p *Proxy) Run(ctx context.Context) error {
	defer p.members.CloseIdleConnections()
	defer p.peers.CloseIdleConnections()
	for {
		p.refresh(ctx)
		wait := p.cfg.RefreshInterval
		if p.known() == 0 {
			wait = min(wait, refreshSoon)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// The original's words.
const (
	configPath  = "/v2/config/local/proxy"
	noEndpoints = "httpproxy: zero endpoints currently available"
)

// ServeHTTP passes a request on, or answers what the proxy knows itself.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case p.cfg.ReadOnly && r.Method != http.MethodGet:
		w.WriteHeader(http.StatusNotImplemented)
	case r.URL.Path == configPath && r.Method == http.MethodGet:
		p.serveConfig(w)
	default:
		p.forward(w, r)
	}
}

func (p *Proxy) serveConfig(w http.ResponseWriter) {
	urls := []string{} // never null
	for _, e := range p.awake() {
		urls = append(urls, e.url.String())
	}
	b, err := json.Marshal(map[string][]string{"endpoints": urls})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // a client that has gone needs no answer
}

// refuse answers a request that no member has answered.
func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"message":"`+message+`"}`) // likewise
}

// nobody is the Observer of those who want none.
type nobody struct{}

func (nobody) Accepted(string)                    {}
func (nobody) Handled(string, int, time.Duration) {}
func (nobody) Dropped(string, string)             {}
