package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/strakeproject/strake/kv/client"
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
	p, f := &s.Proxying, &s.Security
	cfg = proxy.Config{
		File:            filepath.Join(s.proxyDir(), "cluster"),
		ReadOnly:        p.Proxy == "readonly",
		RefreshInterval: milliseconds(p.ProxyRefreshInterval),
		FailureWait:     milliseconds(p.ProxyFailureWait),
		DialTimeout:     milliseconds(p.ProxyDialTimeout),
		WriteTimeout:    milliseconds(p.ProxyWriteTimeout),
		ReadTimeout:     milliseconds(p.ProxyReadTimeout),
		Logger:          log,
	}
	cfg.TLS, err = dialTLS(client.TLSFiles{CertFile: f.CertFile, KeyFile: f.KeyFile, CAFile: f.TrustedCAFile}, "client-crl-file", f.ClientCRLFile)
	if err != nil {
		return cfg, err
	}
	cfg.PeerTLS, err = dialTLS(client.TLSFiles{CertFile: f.PeerCertFile, KeyFile: f.PeerKeyFile, CAFile: f.PeerTrustedCAFile}, "peer-crl-file", f.PeerCRLFile)
	if err != nil {
		return cfg, err
	}
	// Certificates that members have made for themselves are nobody's to verify.
	cfg.TLS.InsecureSkipVerify = f.AutoTLS
	cfg.PeerTLS.InsecureSkipVerify = f.PeerAutoTLS
	if !holdsAnything(s.proxyDir()) {
		cfg.PeerURLs, err = s.proxiedPeers(ctx, log)
	}
	return cfg, err
}

// dialTLS returns the settings to dial members with, who must not show what was
// revoked.
func dialTLS(files client.TLSFiles, crlFlag, crlFile string) (*tls.Config, error) {
	revoked, err := revocations(crlFlag, crlFile)
	if err != nil {
		return nil, err
	}
	c, err := files.Config()
	if err == nil && revoked != nil {
		c.VerifyConnection = revoked.Check
	}
	return c, err
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
