package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/strakeproject/strake/kv/member"
	"github.com/strakeproject/strake/kv/proxy"
)

// runProxy passes requests on to the members until ctx ends.
func (s *settings) runProxy(ctx context.Context, log *slog.Logger) error {
	settings, err := s.clientTLS(log)
	if err != nil {
		return err
	}
	clients, err := member.ListenTLS(ctx, s.clientListen, settings)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	registry := newRegistry()
	cfg, err := s.proxyConfig(ctx, log)
	if err != nil {
		return err
	}
	cfg.Observer = newProxyMetrics(registry)
	p, err := proxy.New(cfg)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", p)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := p.Run(ctx)
		if errors.Is(err, ctx.Err()) {
			return nil
		}
		return err
	})
	for _, l := range clients {
		log.Info("serving clients", "addr", l.Addr(), "proxy", s.Proxying.Proxy)
		g.Go(func() error { return serveHTTP(ctx, l, mux, log) })
	}
	notifySystemd(log, ready)
	return g.Wait()
}

// proxyConfig brings the flags into the form of the proxy. What the proxy
// remembers spares it the search.
func (s *settings) proxyConfig(ctx context.Context, log *slog.Logger) (cfg proxy.Config, err error) {
	f := &s.Proxying
	cfg = proxy.Config{
		File:            filepath.Join(s.proxyDir(), "cluster"),
		ReadOnly:        f.Proxy == "readonly",
		RefreshInterval: milliseconds(f.ProxyRefreshInterval),
		FailureWait:     milliseconds(f.ProxyFailureWait),
		DialTimeout:     milliseconds(f.ProxyDialTimeout),
		WriteTimeout:    milliseconds(f.ProxyWriteTimeout),
		ReadTimeout:     milliseconds(f.ProxyReadTimeout),
		Logger:          log,
	}
	sec := &s.Security
	revoked, err := revocations("client-crl-file", sec.ClientCRLFile)
	if err != nil {
		return cfg, err
	}
	if cfg.TLS, err = dialTLS(sec.CertFile, sec.KeyFile, sec.TrustedCAFile, revoked); err != nil {
		return cfg, err
	}
	if revoked, err = revocations("peer-crl-file", sec.PeerCRLFile); err != nil {
		return cfg, err
	}
	if cfg.PeerTLS, err = dialTLS(sec.PeerCertFile, sec.PeerKeyFile, sec.PeerTrustedCAFile, revoked); err != nil {
		return cfg, err
	}
	// Certificates that members have made for themselves are nobody's to verify.
	cfg.TLS.InsecureSkipVerify = sec.AutoTLS
	cfg.PeerTLS.InsecureSkipVerify = sec.PeerAutoTLS
	if !holdsAnything(s.proxyDir()) {
		cfg.PeerURLs, err = s.proxiedPeers(ctx, log)
	}
	return cfg, err
}

// proxyMetrics counts requests under the original's names.
type proxyMetrics struct {
	accepted, handled, dropped *prometheus.CounterVec
	took                       *prometheus.HistogramVec
}

func newProxyMetrics(r prometheus.Registerer) *proxyMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "etcd_proxy_" + name, Help: help}, labels)
	}
	m := &proxyMetrics{
		accepted: counter("requests_total", "Requests that have come.", "method"),
		handled:  counter("handled_total", "Requests that a member has answered.", "method", "code"),
		dropped:  counter("dropped_total", "Requests that no member has answered.", "method", "proxying_error"),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "etcd_proxy_handling_duration_seconds", Help: "Time until an answer was passed on.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 13),
		}, []string{"method"}),
	}
	r.MustRegister(m.accepted, m.handled, m.dropped, m.took)
	return m
}

// Accepted implements proxy.Observer.
func (m *proxyMetrics) Accepted(method string) { m.accepted.WithLabelValues(known(method)).Inc() }

// Handled implements proxy.Observer.
func (m *proxyMetrics) Handled(method string, status int, took time.Duration) {
	m.handled.WithLabelValues(known(method), strconv.Itoa(status)).Inc()
	m.took.WithLabelValues(known(method)).Observe(took.Seconds())
}

// Dropped implements proxy.Observer.
func (m *proxyMetrics) Dropped(method, reason string) {
	m.dropped.WithLabelValues(known(method), reason).Inc()
}

// known keeps clients from making labels up.
func known(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
