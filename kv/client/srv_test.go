package client_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"

	"github.com/strakeproject/strake/kv/client"
)

func TestSRVRecordsBecomeEndpoints(t *testing.T) {
	records := map[string][]*net.SRV{
		"etcd-client-ssl both":   {{Target: "a.example.", Port: 2379}},
		"etcd-client both":       {{Target: "b.example.", Port: 4001}, {Target: "::1", Port: 1}},
		"etcd-client plain":      {{Target: "b.example", Port: 2379}, {Target: ".", Port: 0}},
		"etcd-client-ssl-x both": {{Target: "x.example.", Port: 2379}},
	}
	lookup := func(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
		if proto != "tcp" {
			t.Errorf("looked up proto %q, want tcp", proto)
		}
		if r, ok := records[service+" "+name]; ok {
			return "", r, nil
		}
		return "", nil, errors.New("no " + service)
	}
	for _, c := range []struct {
		domain, service string
		want            []string
		err             string
	}{
		{"both", "", []string{"https://a.example:2379", "http://b.example:4001", "http://[::1]:1"}, ""},
		{"plain", "", []string{"http://b.example:2379"}, ""},
		{"both", "x", []string{"https://x.example:2379"}, ""},
		{"none", "", nil, "dns lookup errors: no etcd-client-ssl and no etcd-client"},
	} {
		got, err := client.SRV{Domain: c.domain, Service: c.service, Lookup: lookup}.Endpoints(t.Context())
		if !slices.Equal(got, c.want) || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s %q: got %q, %v; want %q, %q", c.domain, c.service, got, err, c.want, c.err)
		}
	}
}
