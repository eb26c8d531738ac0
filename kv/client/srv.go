package client

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// SRV finds the endpoints of a cluster in DNS, where the records
// _etcd-client-ssl._tcp and _etcd-client._tcp of a domain name them, for https
// and http.
type SRV struct {
	Domain string
	// Service sets several clusters of a domain apart: with "x" the records are
	// _etcd-client-ssl-x._tcp and _etcd-client-x._tcp.
	Service string
	// Lookup finds records; default net.DefaultResolver.LookupSRV.
	Lookup func(ctx context.Context, service, proto, name string) (cname string, addrs []*net.SRV, err error)
}

// Endpoints returns the URLs of endpoints, those with https first, each kind in
// the order of the lookup. It fails if both lookups do.
func (s SRV) Endpoints(ctx context.Context) ([]string, error) {
	secure, sslErr := s.lookup(ctx, "etcd-client-ssl", "https")
	plain, err := s.lookup(ctx, "etcd-client", "http")
	if err != nil && sslErr != nil {
		return nil, fmt.Errorf("dns lookup errors: %w and %w", sslErr, err)
	}
	return append(secure, plain...), nil
}

func (s SRV) lookup(ctx context.Context, service, scheme string) ([]string, error) {
	if s.Service != "" {
		service += "-" + s.Service
	}
	lookup := s.Lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupSRV
	}
	_, records, err := lookup(ctx, service, "tcp", s.Domain)
	if err != nil {
		return nil, err
	}
	var urls []string
	for _, r := range records {
		if host := strings.TrimSuffix(r.Target, "."); host != "" { // "." alone says that there is no such service
			urls = append(urls, scheme+"://"+net.JoinHostPort(host, strconv.Itoa(int(r.Port))))
		}
	}
	return urls, nil
}
