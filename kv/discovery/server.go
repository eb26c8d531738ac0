package discovery

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/strakeproject/strake/kv"
)

// DefaultURL is the service that the original is built for.
const DefaultURL = "https://discovery.etcd.io"

// ServerConfig configures a Server. Store and Keys are required.
type ServerConfig struct {
	// Store is where tokens are made.
	Store kv.Store
	// Keys serves that store's /v2/keys.
	Keys http.Handler
	// URL is what clients are told of tokens: URL/TOKEN. Default DefaultURL.
	URL string
	// Metrics answers GET /metrics. Default: that path is unknown.
	Metrics http.Handler
	// Rand is the source of tokens, 16 bytes each. Default: crypto/rand.Reader.
	Rand io.Reader
	// Logger hears of failures. Default: nobody.
	Logger *slog.Logger
}

// Server is the token service. It is an http.Handler, safe for concurrent use.
type Server struct {
	cfg ServerConfig
	mux *http.ServeMux
}

// documentation is where visitors of the root are sent.
const documentation = "https://etcd.io/docs/v2.3/clustering/#discovery"

const (
	defaultSize = 3
	tokenBytes  = 16
)

// NewServer makes a Server.
func NewServer(cfg ServerConfig) *Server {
	cfg.URL = strings.TrimSuffix(cmp.Or(cfg.URL, DefaultURL), "/")
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, mux: http.NewServeMux()}
	s.mux.HandleFunc("/new", s.serveNew)
	s.mux.HandleFunc("GET /health", s.serveHealth)
	s.mux.HandleFunc("GET /robots.txt", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "User-agent: *\nDisallow: /\n")
	})
	s.mux.Handle("/{$}", http.RedirectHandler(documentation, http.StatusMovedPermanently))
	s.mux.HandleFunc("/{token}", s.serveToken("GET", "PUT"))
	s.mux.HandleFunc("/{token}/{$}", s.serveToken("GET", "PUT"))
	s.mux.HandleFunc("/{token}/{member}", s.serveToken("GET", "PUT", "DELETE"))
	s.mux.HandleFunc("/{token}/_config/size", s.serveToken("GET"))
	if cfg.Metrics != nil {
		s.mux.Handle("GET /metrics", cfg.Metrics)
	}
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// serveNew makes a token.
func (s *Server) serveNew(w http.ResponseWriter, r *http.Request) {
	size := defaultSize
	if v := r.FormValue("size"); v != "" {
		var err error
		if size, err = strconv.Atoi(v); err == nil && size < 1 {
			err = fmt.Errorf("a cluster of %d members cannot be", size)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	token, err := s.newToken(r.Context(), size)
	if err != nil {
		s.cfg.Logger.Error("cannot make a token", "err", err)
		http.Error(w, "Unable to generate token", http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, s.cfg.URL+"/"+token)
}

func (s *Server) newToken(ctx context.Context, size int) (string, error) {
	b := make([]byte, tokenBytes)
	if _, err := io.ReadFull(s.cfg.Rand, b); err != nil {
		return "", err
	}
	token := hex.EncodeToString(b)
	_, err := s.cfg.Store.Create(ctx, kv.Join(registry, token, configDir, "size"), strconv.Itoa(size), kv.CreateOptions{})
	return token, err
}

// serveHealth tells whether tokens can be made and removed.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	token, err := s.newToken(r.Context(), defaultSize)
	if err == nil {
		_, err = s.cfg.Store.Delete(r.Context(), kv.Join(registry, token), kv.DeleteOptions{Recursive: true})
	}
	if err != nil {
		s.cfg.Logger.Error("health check failed", "err", err)
		http.Error(w, "health check failed: "+err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, "OK")
}

var tokenPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// serveToken passes on what is asked of a token.
func (s *Server) serveToken(methods ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !tokenPattern.MatchString(r.PathValue("token")):
			http.NotFound(w, r)
		case !slices.Contains(methods, r.Method):
			w.Header().Set("Allow", strings.Join(methods, ","))
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		default:
			to := r.Clone(r.Context())
			to.URL.Path, to.URL.RawPath = keysPath+registry+strings.TrimSuffix(r.URL.Path, "/"), ""
			s.cfg.Keys.ServeHTTP(w, to)
		}
	}
}
