package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Resolver looks up names. net.DefaultResolver is one.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, addrs []*net.SRV, err error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

var _ Resolver = (*net.Resolver)(nil)

// SRV finds the members of a cluster in DNS, where the records
// _etcd-server-ssl._tcp and _etcd-server._tcp of a domain name them, for https
// and http.
type SRV struct {
	Domain string
	// Service sets several clusters of a domain apart: with "x" the records are
	// _etcd-server-ssl-x._tcp and _etcd-server-x._tcp.
	Service string
	// Resolver looks names up. Default: net.DefaultResolver.
	Resolver Resolver
	// Logger hears of records that are of no use. Default: nobody.
	Logger *slog.Logger
}

// ErrNotInSRV: no record is that of the member itself.
var ErrNotInSRV = errors.New("cannot find local etcd member")

// Cluster returns the cluster in the form of --initial-cluster. The record whose
// address is that of one of the peer URLs gets the name, the others are called
// 0, 1 and so on. Without peer URLs, as for a proxy, there is no such record;
// else it is ErrNotInSRV if there is none. It fails if both lookups do.
func (s SRV) Cluster(ctx context.Context, name string, peerURLs []string) (string, error) {
	if s.Resolver == nil {
		s.Resolver = net.DefaultResolver
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	own, err := s.ownAddrs(ctx, peerURLs)
	if err != nil {
		return "", err
	}
	f := finding{name: name, own: own}
	secure := s.lookup(ctx, "etcd-server-ssl", "https", &f)
	plain := s.lookup(ctx, "etcd-server", "http", &f)
	switch {
	case secure != nil && plain != nil:
		return "", fmt.Errorf("dns lookup errors: %w and %w", secure, plain)
	case f.mismatch != nil:
		return "", f.mismatch
	case len(peerURLs) > 0 && !f.self:
		return "", fmt.Errorf("%w %q in SRV records", ErrNotInSRV, name)
	}
	return strings.Join(f.members, ","), nil
}

// finding gathers what the records say.
type finding struct {
	name     string
	own      map[netip.AddrPort]string // schemes of the member's own URLs
	members  []string                  // name=url
	others   int
	self     bool
	mismatch error
}

func (f *finding) add(addrs []netip.AddrPort, scheme, host string) {
	name := ""
	for _, a := range addrs {
		own, ok := f.own[a]
		if ok && own != scheme {
			f.mismatch = fmt.Errorf("the SRV record of %s stands for %s, this member's URL there is %s", host, scheme, own)
		}
		if ok {
			f.self, name = true, f.name
		}
	}
	if name == "" {
		name = strconv.Itoa(f.others)
		f.others++
	}
	f.members = append(f.members, name+"="+scheme+"://"+host)
}

// lookup adds the members of one service.
func (s SRV) lookup(ctx context.Context, service, scheme string, f *finding) error {
	if s.Service != "" {
		service += "-" + s.Service
	}
	_, records, err := s.Resolver.LookupSRV(ctx, service, "tcp", s.Domain)
	if err != nil {
		return err
	}
	for _, r := range records {
		host := net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port)))
		addrs, err := s.resolve(ctx, host)
		if err != nil {
			s.Logger.Warn("discovery: the target of an SRV record cannot be resolved", "target", host, "err", err)
			continue
		}
		f.add(addrs, scheme, host)
	}
	return nil
}

// ownAddrs resolves a member's own URLs.
func (s SRV) ownAddrs(ctx context.Context, urls []string) (map[netip.AddrPort]string, error) {
	own := make(map[netip.AddrPort]string)
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil {
			return nil, err
		}
		addrs, err := s.resolve(ctx, u.Host)
		if err != nil {
			return nil, fmt.Errorf("resolve own peer URL %s: %w", raw, err)
		}
		for _, a := range addrs {
			own[a] = u.Scheme
		}
	}
	return own, nil
}

func (s SRV) resolve(ctx context.Context, hostPort string) ([]netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q: %w", port, err)
	}
	ips, err := s.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var addrs []netip.AddrPort
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(n)))
	}
	slices.SortFunc(addrs, netip.AddrPort.Compare)
	return addrs, nil
}
