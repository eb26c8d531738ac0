package discovery_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/strakeproject/strake/kv/discovery"
)

// zone is a Resolver: records by service, addresses by host.
type zone struct {
	records map[string][]*net.SRV
	hosts   map[string]string
}

func (z zone) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if rr, ok := z.records["_"+service+"._"+proto+"."+name]; ok {
		return name, rr, nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: service + "." + name, IsNotFound: true}
}

func (z zone) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := z.hosts[host]; ok {
		return []netip.Addr{netip.MustParseAddr(a)}, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return nil, fmt.Errorf("no such host %s", host)
}

func TestTheDomainNamesTheMembers(t *testing.T) {
	record := func(host string, port uint16) *net.SRV { return &net.SRV{Target: host + ".", Port: port} }
	z := zone{
		records: map[string][]*net.SRV{
			"_etcd-server._tcp.example.com":       {record("a.example.com", 2380), record("b.example.com", 2380), record("gone.example.com", 1)},
			"_etcd-server-ssl._tcp.example.com":   {record("c.example.com", 2380)},
			"_etcd-server-ssl-x._tcp.example.com": {record("a.example.com", 7001)},
		},
		hosts: map[string]string{"a.example.com": "10.0.0.1", "b.example.com": "10.0.0.2", "c.example.com": "10.0.0.3"},
	}
	for _, tt := range []struct {
		name, domain, service string
		urls                  []string
		want                  string
	}{
		{"by name", "example.com", "", []string{"http://b.example.com:2380"}, "0=https://c.example.com:2380,1=http://a.example.com:2380,me=http://b.example.com:2380"},
		{"by address", "example.com", "", []string{"https://10.0.0.3:2380"}, "me=https://c.example.com:2380,0=http://a.example.com:2380,1=http://b.example.com:2380"},
		{"by service", "example.com", "x", []string{"https://10.0.0.1:7001"}, "me=https://a.example.com:7001"},
		{"as a proxy", "example.com", "", nil, "0=https://c.example.com:2380,1=http://a.example.com:2380,2=http://b.example.com:2380"},
		{"stranger", "example.com", "", []string{"http://10.0.0.4:2380"}, `error: cannot find local etcd member "me" in SRV records`},
		{"another port", "example.com", "", []string{"http://10.0.0.1:2381"}, `error: cannot find local etcd member "me" in SRV records`},
		{"another scheme", "example.com", "", []string{"https://10.0.0.1:2380"}, "error: the SRV record of a.example.com:2380 stands for http, this member's URL there is https"},
		{"unknown name", "example.com", "", []string{"http://nowhere:2380"}, "error: resolve own peer URL http://nowhere:2380: no such host nowhere"},
		{"no records", "example.org", "", []string{"http://10.0.0.1:2380"}, "error: dns lookup errors: lookup etcd-server-ssl.example.org: no such host and lookup etcd-server.example.org: no such host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := discovery.SRV{Domain: tt.domain, Service: tt.service, Resolver: z}.Cluster(t.Context(), "me", tt.urls)
			if err != nil {
				got = "error: " + err.Error()
			}
			if got != tt.want || strings.Contains(got, "\n") {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
