package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/strakeproject/strake/kv/discovery"
	"github.com/strakeproject/strake/kv/member"
)

// bytesPerChange turns a number of changes into a size of the log, for
// --snapshot-count.
const bytesPerChange = 1 << 10

// settings is what the flags come to, whether for a member or a proxy.
type settings struct {
	flags
	member                                  member.Config // without listeners
	peerListen, clientListen, metricsListen []string
	// resolver is for --discovery-srv; nil is that of the system.
	resolver discovery.Resolver
}

// settle checks the flags.
func (f flags) settle() (*settings, error) {
	f.Security.adopt(&f.Old)
	if err := f.adoptAddresses(); err != nil {
		return nil, err
	}
	m, c := &f.Member, &f.Clustering
	if m.ListenClientURLs != "" && c.AdvertiseClientURLs == "" && !f.mayBeProxy() {
		return nil, errors.New("--advertise-client-urls is required when --listen-client-urls is set explicitly")
	}
	if err := c.checkBootstrap(); err != nil {
		return nil, err
	}
	s := &settings{flags: f}
	var errs []error
	parse := func(flag, value string) []string {
		if value == "" {
			return nil
		}
		urls, err := member.ParseURLs(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", flag, err))
		}
		return urls
	}
	s.peerListen = parse("listen-peer-urls", m.ListenPeerURLs)
	s.clientListen = parse("listen-client-urls", cmp.Or(m.ListenClientURLs, defaultClientURLs))
	s.metricsListen = parse("listen-metrics-urls", f.Logging.ListenMetricsURLs)
	s.member = member.Config{
		Name:                m.Name,
		DataDir:             cmp.Or(m.DataDir, m.Name+".etcd"),
		LogDir:              m.WALDir,
		AdvertisePeerURLs:   parse("initial-advertise-peer-urls", cmp.Or(c.InitialAdvertisePeerURLs, defaultPeerURLs)),
		AdvertiseClientURLs: parse("advertise-client-urls", cmp.Or(c.AdvertiseClientURLs, defaultClientURLs)),
		InitialClusterToken: c.InitialClusterToken,
		Existing:            c.InitialClusterState == "existing",
		HeartbeatInterval:   milliseconds(m.HeartbeatInterval),
		ElectionTimeout:     milliseconds(m.ElectionTimeout),
		LogRetainBytes:      int64(m.SnapshotCount) * bytesPerChange,
		ForceNewCluster:     f.Unsafe.ForceNewCluster,
		Version:             version,
	}
	if c.InitialCluster != "" && len(errs) == 0 {
		var err error
		s.member.InitialCluster, err = member.ParseCluster(c.InitialCluster)
		errs = append(errs, err)
	}
	return s, cmp.Or(errs...) // a line is enough
}

// list splits what has commas.
func list(s string) []string {
	return slices.DeleteFunc(strings.Split(strings.ReplaceAll(s, " ", ""), ","), func(s string) bool { return s == "" })
}

func milliseconds(n uint) time.Duration { return time.Duration(n) * time.Millisecond }

// mayBeProxy reports whether the program may turn out to be a proxy, which
// advertises nothing.
func (f *flags) mayBeProxy() bool {
	return f.Proxying.Proxy != "off" || f.Clustering.Discovery != "" && f.Clustering.DiscoveryFallback == "proxy"
}

// checkBootstrap refuses two ways to find the members of a new cluster.
func (f *clusteringFlags) checkBootstrap() error {
	var set []string
	for _, s := range []string{f.InitialCluster, f.Discovery, f.DiscoverySRV} {
		if s != "" {
			set = append(set, s)
		}
	}
	if len(set) > 1 {
		return errors.New("multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \"discovery\" or \"discovery-srv\"")
	}
	return nil
}

// adoptAddresses takes the addresses of old for URLs.
func (f *flags) adoptAddresses() error {
	scheme := func(cert string) string {
		if cert != "" {
			return "https"
		}
		return "http"
	}
	clients, peers := scheme(f.Security.CertFile), scheme(f.Security.PeerCertFile)
	listenPeers := f.Member.ListenPeerURLs
	if listenPeers == defaultPeerURLs {
		listenPeers = ""
	}
	for _, a := range []struct {
		old, flag, addr, scheme string
		url                     *string
	}{
		{"addr", "advertise-client-urls", f.Old.Addr, clients, &f.Clustering.AdvertiseClientURLs},
		{"bind-addr", "listen-client-urls", f.Old.BindAddr, clients, &f.Member.ListenClientURLs},
		{"peer-addr", "initial-advertise-peer-urls", f.Old.PeerAddr, peers, &f.Clustering.InitialAdvertisePeerURLs},
		{"peer-bind-addr", "listen-peer-urls", f.Old.PeerBindAddr, peers, &listenPeers},
	} {
		if a.addr == "" {
			continue
		}
		if *a.url != "" {
			return fmt.Errorf("--%s and --%s are the same: set one of them", a.old, a.flag)
		}
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			return fmt.Errorf("--%s: %q is not host:port", a.old, a.addr)
		}
		*a.url = a.scheme + "://" + a.addr
	}
	if f.Old.Addr != "" {
		f.Member.ListenClientURLs = cmp.Or(f.Member.ListenClientURLs, f.Clustering.AdvertiseClientURLs)
	}
	if f.Old.PeerAddr != "" {
		listenPeers = cmp.Or(listenPeers, f.Clustering.InitialAdvertisePeerURLs)
	}
	f.Member.ListenPeerURLs = cmp.Or(listenPeers, defaultPeerURLs)
	return nil
}

// proxyDir is where a proxy keeps what it knows.
func (s *settings) proxyDir() string { return filepath.Join(s.member.DataDir, "proxy") }

// secure reports whether a URL is https, and mixed whether not all are alike.
func secure(urls []string) (is, mixed bool) {
	n := 0
	for _, u := range urls {
		if strings.HasPrefix(u, "https://") {
			n++
		}
	}
	return n > 0, n > 0 && n < len(urls)
}
