package overlay_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"

	"github.com/strakeproject/strake/overlay"
)

func TestAttributesAreStoredAsFlanneldDoes(t *testing.T) {
	ip := netip.MustParseAddr("10.99.0.11")
	for _, c := range []struct {
		attrs overlay.Attributes
		want  string
	}{
		{
			overlay.Attributes{PublicIP: ip, BackendType: "vxlan", BackendData: json.RawMessage(`{"VtepMAC":"c6:5b:5d:58:9c:a8"}`)},
			`{"PublicIP":"10.99.0.11","BackendType":"vxlan","BackendData":{"VtepMAC":"c6:5b:5d:58:9c:a8"}}`,
		},
		{overlay.Attributes{PublicIP: ip, BackendType: "host-gw"}, `{"PublicIP":"10.99.0.11","BackendType":"host-gw"}`},
		{overlay.Attributes{PublicIP: ip}, `{"PublicIP":"10.99.0.11"}`},
		{overlay.Attributes{PublicIP: ip, MachineID: "m"}, `{"PublicIP":"10.99.0.11","MachineID":"m"}`},
	} {
		got, err := json.Marshal(c.attrs)
		if err != nil || string(got) != c.want {
			t.Errorf("Marshal(%+v) = %s, %v, want %s", c.attrs, got, err, c.want)
		}
	}
}

func TestSubnetEnvHasTheFormOfFlanneld(t *testing.T) {
	env := overlay.SubnetEnv{
		Network: netip.MustParsePrefix("10.1.0.0/16"),
		Subnet:  netip.MustParsePrefix("10.1.76.0/24"),
		MTU:     1450,
	}
	const want = "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.76.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"
	if got := env.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	back, err := overlay.ParseSubnetEnv([]byte(want))
	if err != nil || back != env {
		t.Errorf("ParseSubnetEnv(%q) = %+v, %v, want %+v", want, back, err, env)
	}
	for _, bad := range []string{"", "FLANNEL_SUBNET=10.1.76.1\n", "FLANNEL_SUBNET=fd00::1/64\n", want + "FLANNEL_MTU=x\n"} {
		if e, err := overlay.ParseSubnetEnv([]byte(bad)); err == nil {
			t.Errorf("ParseSubnetEnv(%q) = %+v, want an error", bad, e)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{ "Network": "10.1.0.0/16" }`))
	f.Add([]byte(`{"Network":"10.1.0.0/28","SubnetLen":30,"SubnetMin":"10.1.0.4","SubnetMax":"10.1.0.12","Backend":{"Type":"vxlan"}}`))
	f.Add([]byte(`{"Network":"0.0.0.0/0","Backend":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := overlay.ParseConfig(data)
		if err != nil {
			return
		}
		if !cfg.Network.Contains(cfg.SubnetMin) || !cfg.Network.Contains(cfg.SubnetMax) ||
			cfg.SubnetMax.Less(cfg.SubnetMin) || cfg.SubnetLen > 30 || cfg.SubnetLen < cfg.Network.Bits()+2 {
			t.Errorf("ParseConfig(%q) = %+v, which contradicts itself", data, cfg)
		}
	})
}

func FuzzAttributes(f *testing.F) {
	f.Add([]byte(`{"PublicIP":"10.99.0.11","BackendType":"vxlan","BackendData":{"VtepMAC":"c6:5b:5d:58:9c:a8"}}`))
	f.Add([]byte(`{"PublicIP":"10.99.0.11","PublicIPv6":null,"BackendData": { "VNI": 1 } ,"MachineID":"m","Later":[]}`))
	f.Add([]byte(`{"publicip":"10.99.0.11","BackendData":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a overlay.Attributes
		if json.Unmarshal(data, &a) != nil {
			return
		}
		stored, err := json.Marshal(a)
		if err != nil {
			t.Fatalf("what was read from %q cannot be written: %v", data, err)
		}
		var back, again overlay.Attributes
		if err := json.Unmarshal(stored, &back); err != nil {
			t.Fatalf("Unmarshal(%s): %v", stored, err)
		}
		// Once written, what is read and written does not change any more.
		stored, _ = json.Marshal(back)
		if err := json.Unmarshal(stored, &again); err != nil || !reflect.DeepEqual(back, again) {
			t.Errorf("%q became %+v and then %+v, %v", data, back, again, err)
		}
	})
}

func FuzzParseSubnetEnv(f *testing.F) {
	f.Add([]byte("FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.76.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"))
	f.Add([]byte("# x\nFLANNEL_SUBNET=0.0.0.0/0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		env, err := overlay.ParseSubnetEnv(data)
		if err != nil || !env.Network.IsValid() {
			return
		}
		back, err := overlay.ParseSubnetEnv([]byte(env.String()))
		if err != nil || back != env {
			t.Errorf("%q became %+v and then %+v, %v", data, env, back, err)
		}
	})
}
