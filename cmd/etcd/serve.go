package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/strakeproject/strake/kv/auth"
	"github.com/strakeproject/strake/kv/discovery"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/httpapi/apimetrics"
	"github.com/strakeproject/strake/kv/httpapi/memberapi"
	"github.com/strakeproject/strake/kv/member"
)

const (
	// stopTimeout bounds a graceful end.
	stopTimeout = 10 * time.Second
	// grace is how long requests may go on that something else than the API serves.
	grace = 500 * time.Millisecond

	headerTimeout = 30 * time.Second
	idleTimeout   = 5 * time.Minute

	ready    = daemon.SdNotifyReady
	stopping = daemon.SdNotifyStopping
)

// run runs what the flags and the data directory call for until ctx ends.
func (s *settings) run(ctx context.Context, log *slog.Logger, level *slog.LevelVar) error {
	isProxy, err := s.isProxy()
	if err != nil {
		return err
	}
	if !isProxy {
		if s.Proxying.Proxy != "off" {
			log.Warn("the data directory is that of a member, --proxy is ignored", "dataDir", s.member.DataDir)
		}
		err = s.runMember(ctx, log, level)
		if !errors.Is(err, discovery.ErrFull) || s.Clustering.DiscoveryFallback != "proxy" {
			return err
		}
		log.Warn("the discovered cluster has all its members, this becomes a proxy of them", "discovery", s.Clustering.Discovery)
	}
	return s.runProxy(ctx, log)
}

// listeners are where a member is reached.
type listeners struct{ clients, metrics []net.Listener }

func (l listeners) close() {
	closeAll(l.clients)
	closeAll(l.metrics)
}

// listen opens all listeners, so that what is wrong with them is known before
// anybody hears of the member.
func (s *settings) listen(ctx context.Context, log *slog.Logger) (l listeners, err error) {
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	settings, err := s.clientTLS(log)
	if err != nil {
		return l, err
	}
	if l.clients, err = member.ListenTLS(ctx, s.clientListen, settings); err != nil {
		return l, err
	}
	if l.metrics, err = member.ListenTLS(ctx, s.metricsListen, settings); err != nil {
		return l, err
	}
	if s.member.PeerTLS, err = s.peerTLS(log); err != nil {
		return l, err
	}
	if s.member.PeerTLS == nil {
		s.member.PeerListeners, err = member.Listen(ctx, s.peerListen)
	} else {
		s.member.PeerListeners, err = member.ListenTLS(ctx, s.peerListen, s.member.PeerTLS.Server())
	}
	return l, err
}

// runMember runs the member and its client API until ctx ends or either fails.
func (s *settings) runMember(ctx context.Context, log *slog.Logger, level *slog.LevelVar) error {
	s.member.Logger = log
	ls, err := s.listen(ctx, log)
	if err != nil {
		return err
	}
	defer ls.close()
	if err := s.bootstrap(ctx, log); err != nil {
		closeAll(s.member.PeerListeners)
		return err
	}
	m, err := member.Open(ctx, s.member)
	if err != nil {
		return err
	}
	err = s.serveMember(ctx, m, ls, log, level)
	notifySystemd(log, stopping)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if stopErr := m.Stop(stop); err == nil {
		err = stopErr
	}
	return err
}

// serveMember serves clients until ctx ends or something fails.
func (s *settings) serveMember(ctx context.Context, m *member.Member, ls listeners, log *slog.Logger, level *slog.LevelVar) error {
	authority, err := auth.Open(ctx, auth.Config{Store: m, Logger: log})
	if err != nil {
		return err
	}
	defer authority.Close()
	registry := memberRegistry(m)
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	view := memberapi.Of(m)
	api := httpapi.New(httpapi.Config{
		Store: m, Cluster: view, Changer: view, Activity: view.Activity,
		Auth: authority, ClientCertAuth: s.Security.ClientCertAuth, CORS: list(s.Member.CORS),
		Version: version, Metrics: metrics, Profiler: s.Logging.profiler(), LogLevel: level, Logger: log,
		RequestTimeout: m.RequestTimeout(), MaxBodyBytes: s.Member.MaxRequestBytes,
	})
	registry.MustRegister(apimetrics.New(api))
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range ls.clients {
		log.Info("serving clients", "addr", l.Addr())
		g.Go(func() error { return api.Serve(ctx, l) })
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", metrics)
	mux.Handle("/health", api)
	for _, l := range ls.metrics {
		log.Info("serving metrics", "addr", l.Addr())
		g.Go(func() error { return serveHTTP(ctx, l, mux, log) })
	}
	g.Go(func() error {
		select {
		case <-m.Ready():
			notifySystemd(log, ready)
		case <-ctx.Done():
		}
		return nil
	})
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-m.Done():
			return m.Err()
		}
	})
	return g.Wait()
}

// serveHTTP serves a listener until ctx ends, and closes it.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		_ = srv.Shutdown(bounded) // what is left after that, Close ends
		_ = srv.Close()
	})
	err := srv.Serve(l)
	if stop() {
		return err
	}
	<-ended
	return nil
}

// notifySystemd tells systemd, if it started the program and wants to know, how
// things are.
func notifySystemd(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd could not be told how things are", "state", state, "err", err)
	}
}

func closeAll(ls []net.Listener) {
	for _, l := range ls {
		_ = l.Close() // most have been closed already
	}
}
