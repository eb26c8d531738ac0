package main

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv/client"
)

func TestEndpointsInClearAreTakenFromDNSOnlyOnDemand(t *testing.T) {
	records := client.SRV{Domain: "example.com", Lookup: func(_ context.Context, service, _, _ string) (string, []*net.SRV, error) {
		if service == "etcd-client-ssl" {
			return "", []*net.SRV{{Target: "a.example.com.", Port: 2379}}, nil
		}
		return "", []*net.SRV{{Target: "b.example.com.", Port: 2379}}, nil
	}}
	for _, c := range []struct {
		insecure bool
		want     []string
		stderr   string
	}{
		{false, []string{"https://a.example.com:2379"}, "ignoring discovered insecure endpoint \"http://b.example.com:2379\"\n"},
		{true, []string{"https://a.example.com:2379", "http://b.example.com:2379"}, ""},
	} {
		var stderr bytes.Buffer
		a := &app{stderr: &stderr, globals: globals{InsecureDiscovery: c.insecure, TotalTimeout: time.Minute}}
		got, err := a.discover(records)
		if err != nil || !slices.Equal(got, c.want) || stderr.String() != c.stderr {
			t.Errorf("insecure %v: got %q, %v, %q; want %q, %q", c.insecure, got, err, stderr.String(), c.want, c.stderr)
		}
	}
	records.Lookup = func(_ context.Context, service, _, _ string) (string, []*net.SRV, error) {
		if service == "etcd-client-ssl" {
			return "", nil, &net.DNSError{Err: "no such host", Name: service, IsNotFound: true}
		}
		return "", []*net.SRV{{Target: "b.example.com.", Port: 2379}}, nil
	}
	a := &app{stderr: new(bytes.Buffer), globals: globals{TotalTimeout: time.Minute}}
	if got, err := a.discover(records); err == nil || !strings.Contains(err.Error(), "no usable endpoint") {
		t.Errorf("only endpoints in clear: got %q, %v; want an error", got, err)
	}
}
