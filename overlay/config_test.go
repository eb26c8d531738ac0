package overlay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strakeproject/strake/overlay"
)

func TestConfigDerivesTheRangeOfSubnets(t *testing.T) {
	for _, c := range []struct{ json, want string }{
		{`{ "Network": "10.1.0.0/16" }`, "10.1.0.0/16 len 24 10.1.1.0-10.1.255.0 udp"},
		{`{"network":"10.1.2.3/16","backend":{"type":"VXLAN","vni":7}}`, "10.1.0.0/16 len 24 10.1.1.0-10.1.255.0 vxlan"},
		{`{"Network":"10.1.0.0/22"}`, "10.1.0.0/22 len 24 10.1.1.0-10.1.3.0 udp"},
		{`{"Network":"10.1.0.0/23"}`, "10.1.0.0/23 len 25 10.1.0.128-10.1.1.128 udp"},
		{`{"Network":"10.1.0.0/24"}`, "10.1.0.0/24 len 26 10.1.0.64-10.1.0.192 udp"},
		{`{"Network":"10.1.0.0/28"}`, "10.1.0.0/28 len 30 10.1.0.4-10.1.0.12 udp"},
		{`{"Network":"10.1.0.0/16","SubnetLen":18}`, "10.1.0.0/16 len 18 10.1.64.0-10.1.192.0 udp"},
		{`{"Network":"0.0.0.0/0"}`, "0.0.0.0/0 len 24 0.0.1.0-255.255.255.0 udp"},
		{`{"Network":"10.1.0.0/16","SubnetMin":"10.1.5.0","SubnetMax":"10.1.5.0"}`, "10.1.0.0/16 len 24 10.1.5.0-10.1.5.0 udp"},
		{`{"Network":"10.1.0.0/16","Backend":{}}`, "10.1.0.0/16 len 24 10.1.1.0-10.1.255.0 "},
		{`{"Network":"10.1.0.0/16","Backend":null,"EnableIPv4":true}`, "10.1.0.0/16 len 24 10.1.1.0-10.1.255.0 udp"},
	} {
		cfg, err := overlay.ParseConfig([]byte(c.json))
		got := fmt.Sprintf("%v len %d %v-%v %s", cfg.Network, cfg.SubnetLen, cfg.SubnetMin, cfg.SubnetMax, cfg.BackendType)
		if err != nil || got != c.want {
			t.Errorf("ParseConfig(%s) = %s, %v, want %s", c.json, got, err, c.want)
		}
	}
}

func TestBadConfigIsRefusedWithAReason(t *testing.T) {
	for _, c := range []struct{ json, want string }{
		{`{"Network":`, "unexpected end of JSON input"},
		{`{}`, "Network is missing"},
		{`{"Network":""}`, "invalid CIDR address: "},
		{`{"Network":"10.1.0.0"}`, "invalid CIDR address: 10.1.0.0"},
		{`{"Network":"fd00::/56"}`, "Network fd00::/56 is not IPv4"},
		{`{"Network":"10.1.0.0/29"}`, "Network is too small. Minimum useful network prefix is /28"},
		{`{"Network":"10.1.0.0/16","SubnetLen":31}`, "SubnetLen must be less than /31"},
		{`{"Network":"10.1.0.0/16","SubnetLen":17}`, "Network must be able to accommodate at least four subnets"},
		{`{"Network":"10.1.0.0/16","SubnetLen":-1}`, "json: cannot unmarshal number -1"},
		{`{"Network":"10.1.0.0/16","SubnetMin":"10.2.0.0"}`, "SubnetMin is not in the range of the Network"},
		{`{"Network":"10.1.0.0/16","SubnetMax":"10.2.0.0"}`, "SubnetMax is not in the range of the Network"},
		{`{"Network":"10.1.0.0/16","SubnetMin":"10.1.5.1"}`, "SubnetMin is not on a SubnetLen boundary: 10.1.5.1"},
		{`{"Network":"10.1.0.0/16","SubnetMin":"five"}`, `SubnetMin is not an IPv4 address: "five"`},
		{`{"Network":"10.1.0.0/16","SubnetMin":"10.1.9.0","SubnetMax":"10.1.2.0"}`, "SubnetMin 10.1.9.0 is above SubnetMax 10.1.2.0"},
		{`{"Network":"10.1.0.0/16","Backend":"vxlan"}`, "error decoding Backend property of config: "},
	} {
		cfg, err := overlay.ParseConfig([]byte(c.json))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("ParseConfig(%s) = %+v, %v, want error %q", c.json, cfg, err, c.want)
		}
	}
}
