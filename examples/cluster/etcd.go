package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/strakeproject/strake/cloudconfig"
	"github.com/strakeproject/strake/kv/auth"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/httpapi/memberapi"
	"github.com/strakeproject/strake/kv/member"
)

// etcd is a machine's key-value member with its two kinds of listener.
type etcd struct {
	*member.Member
	auth   *auth.Authority
	cancel context.CancelFunc // ends the client API
	served sync.WaitGroup
}

// inCluster reports whether a machine runs a member: whether the
// initial-cluster of its cloud-config names it.
func inCluster(m machineConfig) (bool, error) {
	initial, err := member.ParseCluster(m.CoreOS.Etcd2.Lookup("ETCD_INITIAL_CLUSTER"))
	if err != nil {
		return false, err
	}
	for _, im := range initial {
		if im.Name == m.name {
			return true, nil
		}
	}
	return false, nil
}

// startEtcd starts the member that the cloud-config's etcd2 section describes.
func startEtcd(ctx context.Context, m machineConfig, dir string, cable *cable, log *slog.Logger) (*etcd, error) {
	cfg, clientURLs, err := etcdConfig(m.CoreOS.Etcd2)
	if err != nil {
		return nil, err
	}
	cfg.DataDir = filepath.Join(dir, cfg.DataDir)
	cfg.DialPeer = cable.dial
	cfg.Logger = log
	peers, err := listen(ctx, func() ([]net.Listener, error) { return member.Listen(ctx, cfg.listenPeerURLs) })
	if err != nil {
		return nil, err
	}
	for _, l := range peers {
		cfg.PeerListeners = append(cfg.PeerListeners, cable.wrap(l))
	}
	clients, err := listen(ctx, func() ([]net.Listener, error) { return member.Listen(ctx, clientURLs) })
	if err != nil {
		for _, l := range peers {
			l.Close()
		}
		return nil, err
	}
	e := &etcd{}
	if e.Member, err = member.Open(ctx, cfg.Config); err != nil {
		for _, l := range clients {
			l.Close()
		}
		return nil, err
	}
	if e.auth, err = auth.Open(ctx, auth.Config{Store: e.Member, Logger: log}); err != nil {
		for _, l := range clients {
			l.Close()
		}
		return nil, errors.Join(err, e.Member.Stop(ctx))
	}
	serveCtx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	view := memberapi.Of(e.Member)
	api := httpapi.New(httpapi.Config{
		Store: e.Member, Cluster: view, Changer: view, Activity: view.Activity, Auth: e.auth, Logger: log, Grace: time.Second,
	})
	for _, l := range clients {
		e.served.Go(func() {
			if err := api.Serve(serveCtx, cable.wrap(l)); err != nil {
				log.Error("client API ended", "member", m.name, "err", err)
			}
		})
	}
	return e, nil
}

// stop ends the member cleanly: it hands leadership over first.
func (e *etcd) stop(ctx context.Context) error {
	e.auth.Close()
	err := e.Member.Stop(ctx)
	e.cancel()
	e.served.Wait()
	return err
}

type etcdSettings struct {
	member.Config
	listenPeerURLs []string
}

// etcdConfig reads the options as cmd/etcd reads its environment.
func etcdConfig(env cloudconfig.Environment) (cfg etcdSettings, clientURLs []string, err error) {
	cfg.Name = option(env, "ETCD_NAME", member.DefaultName)
	cfg.Config.DataDir = option(env, "ETCD_DATA_DIR", cfg.Name+".etcd")
	cfg.InitialClusterToken = option(env, "ETCD_INITIAL_CLUSTER_TOKEN", member.DefaultToken)
	var errs []error
	urls := func(name, fallback string) []string {
		list, err := member.ParseURLs(option(env, name, fallback))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		return list
	}
	milliseconds := func(name string, fallback time.Duration) time.Duration {
		d, err := time.ParseDuration(option(env, name, fmt.Sprint(fallback.Milliseconds())) + "ms")
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		return d
	}
	cfg.listenPeerURLs = urls("ETCD_LISTEN_PEER_URLS", member.DefaultPeerURL)
	cfg.AdvertisePeerURLs = urls("ETCD_INITIAL_ADVERTISE_PEER_URLS", member.DefaultPeerURL)
	cfg.AdvertiseClientURLs = urls("ETCD_ADVERTISE_CLIENT_URLS", member.DefaultClientURL)
	clientURLs = urls("ETCD_LISTEN_CLIENT_URLS", member.DefaultClientURL)
	cfg.HeartbeatInterval = milliseconds("ETCD_HEARTBEAT_INTERVAL", member.DefaultHeartbeat)
	cfg.ElectionTimeout = milliseconds("ETCD_ELECTION_TIMEOUT", member.DefaultElection)
	cfg.InitialCluster, err = member.ParseCluster(env.Lookup("ETCD_INITIAL_CLUSTER"))
	return cfg, clientURLs, errors.Join(append(errs, err)...)
}
