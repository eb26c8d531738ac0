package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

const (
	// DefaultTokenLimit is how many entries a page of a list has.
	DefaultTokenLimit = 100
	// maxBody is the most bytes of a request's body that are read. A unit file
	// of any sense is far smaller.
	maxBody = 4 << 20
	// maxHeader is the most bytes that a request's header may have.
	maxHeader = 64 << 10
)

// JournalSource gives what units have written on the machines of the cluster.
type JournalSource interface {
	// Journal yields what a unit has written on a machine, oldest first.
	Journal(ctx context.Context, machineID, unit string, opts unit.JournalOptions) iter.Seq2[unit.JournalEntry, error]
}

// ServerConfig is what a server needs.
type ServerConfig struct {
	// Registry is required.
	Registry *registry.Registry
	// Version is what the server calls itself. Default "dev".
	Version string
	// TokenLimit is how many entries a page of a list has. Default
	// DefaultTokenLimit.
	TokenLimit uint16
	// Schedule is what the engines of the cluster are configured with; it tells
	// what they would do. Default: the zero Options.
	Schedule schedule.Options
	// Journal serves journals. Without one they are 501.
	Journal JournalSource
	// Metrics answers /metrics. Default: there is none.
	Metrics http.Handler
	// Ready, while it is not closed, makes every answer a 503, as long as the
	// machine that the server stands for is not registered. Default: ready.
	Ready <-chan struct{}
	// Logger is told of failures that are not the client's. Default: nothing is
	// logged.
	Logger *slog.Logger
}

// Server answers fleet's HTTP API. It is safe for concurrent use.
type Server struct {
	cfg ServerConfig
	reg *registry.Registry
	log *slog.Logger

	units    listing[registry.Unit]
	states   listing[registry.UnitState]
	machines listing[registry.Machine]
}

// NewServer returns a server. The error names the field of cfg that is wrong.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.Registry == nil {
		return nil, errors.New("api server config: Registry is missing")
	}
	if cfg.Version == "" {
		cfg.Version = "dev"
	}
	if cfg.TokenLimit == 0 {
		cfg.TokenLimit = DefaultTokenLimit
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg, reg: cfg.Registry, log: cfg.Logger}, nil
}

// Serve answers requests on l until ctx ends, and closes l. Requests that are
// under way then are cut off, since journals can go on for ever.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{
		Handler:           s,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	err := srv.Serve(l)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve API on %s: %w", l.Addr(), err)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "fleetd/"+s.cfg.Version)
	if r.URL.Path == "/metrics" && s.cfg.Metrics != nil {
		s.cfg.Metrics.ServeHTTP(w, r) // ready or not
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if s.cfg.Ready != nil {
		select {
		case <-s.cfg.Ready:
		default:
			s.fail(w, http.StatusServiceUnavailable, "fleet server unable to communicate with etcd")
			return
		}
	}
	switch r.URL.Path {
	case "/", "/fleet/v1", "/v1-alpha":
		s.fail(w, http.StatusMethodNotAllowed, "")
		return
	}
	for _, prefix := range []string{"/fleet/v1/", "/v1-alpha/"} {
		if rest, ok := strings.CutPrefix(r.URL.Path, prefix); ok {
			s.route(w, r, strings.Split(rest, "/"))
			return
		}
	}
	s.fail(w, http.StatusNotFound, "")
}

// route takes the segments of the path below the API's root. An empty segment
// is no resource's name.
func (s *Server) route(w http.ResponseWriter, r *http.Request, path []string) {
	switch {
	case len(path) == 1 && path[0] == "units":
		s.onlyGet(w, r, s.listUnits)
	case len(path) == 2 && path[0] == "units" && path[1] != "":
		s.serveUnit(w, r, path[1])
	case len(path) == 3 && path[0] == "units" && path[1] != "" && path[2] == "explain":
		s.onlyGet(w, r, func(w http.ResponseWriter, r *http.Request) { s.explain(w, r, path[1]) })
	case len(path) == 3 && path[0] == "units" && path[1] != "" && path[2] == "journal":
		s.onlyGet(w, r, func(w http.ResponseWriter, r *http.Request) { s.journal(w, r, path[1]) })
	case len(path) == 1 && path[0] == "state":
		s.onlyGet(w, r, s.listStates)
	case len(path) == 2 && path[0] == "state" && path[1] != "":
		s.onlyGet(w, r, func(w http.ResponseWriter, r *http.Request) { s.getState(w, r, path[1]) })
	case len(path) == 1 && path[0] == "machines":
		s.serveMachines(w, r)
	case len(path) == 3 && path[0] == "machines" && path[1] != "" && path[2] == "state":
		s.serveMachineState(w, r, path[1])
	case len(path) == 1 && path[0] == "rebalance":
		s.rebalance(w, r)
	case len(path) == 1 && path[0] == "discovery":
		s.discovery(w, r)
	default:
		s.fail(w, http.StatusNotFound, "")
	}
}

func (s *Server) onlyGet(w http.ResponseWriter, r *http.Request, get http.HandlerFunc) {
	if r.Method != http.MethodGet {
		s.fail(w, http.StatusMethodNotAllowed, "only GET supported against this resource")
		return
	}
	get(w, r)
}

// send answers with a body.
func (s *Server) send(w http.ResponseWriter, code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		s.broken(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(data) // a client that has gone away is no concern of ours
}

// fail answers with a failure that is the client's.
func (s *Server) fail(w http.ResponseWriter, code int, message string) {
	s.send(w, code, errorBody{Error{Code: code, Message: message}})
}

// broken answers with a failure that is ours, of which the client is told
// nothing.
func (s *Server) broken(w http.ResponseWriter, err error) {
	s.log.Error("API request failed", "err", err)
	s.fail(w, http.StatusInternalServerError, "")
}

// refuse answers with a failure of the registry.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	invalid, ok := errors.AsType[*registry.InvalidError](err)
	switch {
	case ok:
		s.fail(w, http.StatusBadRequest, invalid.Error())
	case errors.Is(err, registry.ErrUnitNotFound):
		s.fail(w, http.StatusNotFound, registry.ErrUnitNotFound.Error())
	default:
		s.broken(w, err)
	}
}

// badBody answers for a body that cannot be read.
func (s *Server) badBody(w http.ResponseWriter, prefix string, err error) {
	code := http.StatusBadRequest
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		code = http.StatusRequestEntityTooLarge
	}
	s.fail(w, code, prefix+err.Error())
}
