package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv/client"
	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/schedule/registry"
)

// connect makes the client. The error has been reported.
func (a *app) connect(ctx context.Context) error {
	if a.api != nil {
		return nil
	}
	if err := a.makeClient(ctx); err != nil {
		return a.fail("Unable to initialize client: %v", err)
	}
	return nil
}

func (a *app) makeClient(ctx context.Context) (err error) {
	cfg := api.ClientConfig{Timeout: time.Duration(a.RequestTimeout * float64(time.Second))}
	direct := strings.EqualFold(a.Driver, "etcd")
	if !direct && !strings.EqualFold(a.Driver, "API") {
		return fmt.Errorf("unrecognized driver %q", a.Driver)
	}
	if cfg.TLS, err = a.tlsConfig(); err != nil {
		return err
	}
	if a.Tunnel != "" {
		if err := a.openTunnel(ctx); err != nil {
			return err
		}
		cfg.Dial = a.dialTunnel
	}
	if direct {
		if a.etcd, err = a.serveStore(ctx, cfg); err != nil {
			return err
		}
		// The server in between is here, behind a pipe.
		cfg.Endpoint, cfg.TLS, cfg.Dial = "http://store", nil, a.etcd.dial
	} else {
		first, rest, several := strings.Cut(a.Endpoint, ",")
		if several && rest != "" {
			a.logf("WARN", "multiple endpoints provided but only the first (%s) is used", first)
		}
		cfg.Endpoint = first
	}
	a.api, err = api.NewClient(cfg)
	a.debugf("talking to %s", a.Endpoint)
	return err
}

// tlsConfig is what the flags say of https; nil for nothing.
func (a *app) tlsConfig() (*tls.Config, error) {
	if a.CAFile == "" && a.CertFile == "" && a.KeyFile == "" {
		return nil, nil
	}
	return client.TLSFiles{CertFile: a.CertFile, KeyFile: a.KeyFile, CAFile: a.CAFile}.Config()
}

// ownServer is a server of the API inside fleetctl, for want of a fleetd: it
// works on the store itself.
//
//	api.Client ── dial ──> pipe ──> api.Server ──> registry ──> store
//
// Its goroutine ends with close.
type ownServer struct {
	conns   chan net.Conn
	stop    context.CancelFunc
	done    chan struct{} // closed when the server has ended
	closing chan struct{}
	once    sync.Once
	store   *client.Client
}

// serveStore starts a server on the store that the flags name.
func (a *app) serveStore(ctx context.Context, via api.ClientConfig) (*ownServer, error) {
	cfg := client.Config{TLS: via.TLS, Quorum: true}
	if a.Endpoint != defaultEndpoint {
		cfg.Endpoints = strings.Split(a.Endpoint, ",")
	}
	if via.Dial != nil {
		cfg.Transport = &http.Transport{TLSClientConfig: via.TLS, DialContext: via.Dial}
	}
	store, err := client.New(cfg)
	if err != nil {
		return nil, err
	}
	reg := registry.New(store, registry.Options{Prefix: a.EtcdKeyPrefix, Timeout: cmp.Or(via.Timeout, 3*time.Second)})
	server, err := api.NewServer(api.ServerConfig{Registry: reg, Version: version})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	s := &ownServer{conns: make(chan net.Conn), stop: stop, done: make(chan struct{}), closing: make(chan struct{}), store: store}
	go func() {
		defer close(s.done)
		if err := server.Serve(ctx, s); err != nil {
			a.debugf("server on the store: %v", err)
		}
	}()
	return s, nil
}

func (s *ownServer) close() {
	s.stop()
	<-s.done
	s.store.Close()
}

// dial makes a connection to the server.
func (s *ownServer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case s.conns <- far:
		return near, nil
	case <-s.closing:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept, Close and Addr make it a net.Listener.
func (s *ownServer) Accept() (net.Conn, error) {
	select {
	case conn := <-s.conns:
		return conn, nil
	case <-s.closing:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (s *ownServer) Close() error {
	s.once.Do(func() { close(s.closing) })
	return nil
}

// Addr is that of no network.
func (s *ownServer) Addr() net.Addr { return &net.UnixAddr{Name: "store", Net: "pipe"} }
