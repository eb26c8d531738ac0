package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/strakeproject/strake/kv/client"
	"github.com/strakeproject/strake/kv/discovery"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/member"
)

// stopTimeout bounds a graceful end.
const stopTimeout = 10 * time.Second

const defaultEtcd = "http://127.0.0.1:2379"

type flags struct {
	Addr    string        `short:"a" default:":8087" env:"DISC_ADDR" help:"Address to serve on."`
	Host    string        `short:"h" default:"${url}" env:"DISC_HOST" help:"URL that clients reach this service under."`
	Etcd    string        `short:"e" env:"DISC_ETCD" xor:"store" help:"Client URL of the cluster that keeps the tokens; default ${etcd}."`
	DataDir string        `env:"DISC_DATA_DIR" xor:"store" help:"Keep the tokens in this directory instead."`
	Help    helpRequested `help:"Show this help."`
}

// helpRequested is --help without -h, which stands for --host.
type helpRequested bool

// BeforeReset implements the hook of kong.
func (helpRequested) BeforeReset(k *kong.Kong, ctx *kong.Context) error {
	if err := ctx.PrintUsage(false); err != nil {
		return err
	}
	k.Exit(0)
	return nil
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the program; it returns its exit status.
func run(args []string, stdout, stderr io.Writer) int {
	var f flags
	parser := kong.Must(&f, kong.Name("discovery"), kong.NoDefaultHelp(), kong.Writers(stdout, stderr),
		kong.Description("Serves the tokens with which members of a new etcd cluster find each other."),
		kong.Vars{"url": discovery.DefaultURL, "etcd": defaultEtcd})
	if _, err := parser.Parse(args); err != nil {
		fmt.Fprintf(stderr, "discovery: %v, see discovery --help\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := f.serve(ctx, slog.New(slog.NewTextHandler(stderr, nil))); err != nil {
		fmt.Fprintf(stderr, "discovery: %v\n", err)
		return 1
	}
	return 0
}

// serve runs the service until ctx ends.
func (f *flags) serve(ctx context.Context, log *slog.Logger) (err error) {
	cfg := discovery.ServerConfig{URL: f.Host, Logger: log}
	if f.DataDir == "" {
		err = f.remote(&cfg)
	} else {
		var m *member.Member
		if m, err = member.Open(ctx, member.Config{DataDir: f.DataDir, Logger: log}); err == nil {
			defer func() {
				grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
				defer cancel()
				err = cmp.Or(err, m.Stop(grace))
			}()
			cfg.Store, cfg.Keys = m, httpapi.New(httpapi.Config{Store: m, RequestTimeout: m.RequestTimeout(), Logger: log})
		}
	}
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cfg.Metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return listenAndServe(ctx, f.Addr, discovery.NewServer(cfg), log)
}

// remote keeps the tokens in the cluster at --etcd.
func (f *flags) remote(cfg *discovery.ServerConfig) error {
	etcd := cmp.Or(f.Etcd, defaultEtcd)
	store, err := client.New(client.Config{Endpoints: []string{etcd}, Logger: cfg.Logger})
	if err != nil {
		return err
	}
	u, err := url.Parse(etcd)
	if err != nil {
		return err
	}
	cfg.Store = store
	cfg.Keys = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u); r.SetXForwarded() },
		FlushInterval: -1, // a long poll shows its headers at once
		ErrorLog:      slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
	}
	return nil
}

// listenAndServe serves until ctx ends; long polls end with it.
func listenAndServe(ctx context.Context, addr string, h http.Handler, log *slog.Logger) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: stopTimeout,
		IdleTimeout:       5 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	log.Info("serving", "addr", l.Addr())
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("systemd could not be told that the service is up", "err", err)
	}
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
