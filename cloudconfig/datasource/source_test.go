package datasource_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/strakeproject/strake/cloudconfig"
	"github.com/strakeproject/strake/cloudconfig/datasource"
)

// documents is a server's, or a directory's, by path.
type documents map[string]string

// serve answers with documents, and says nothing of others.
func serve(t testing.TB, d documents) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, found := d[strings.TrimPrefix(r.URL.Path, "/")]
		if !found || r.Method != http.MethodGet {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// write puts documents into a new directory.
func write(t testing.TB, d documents) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range d {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// served makes a source of a metadata service.
func served(source func(*datasource.Client, string) datasource.Source) func(testing.TB, documents) datasource.Source {
	return func(t testing.TB, d documents) datasource.Source { return source(client(), serve(t, d)) }
}

// stored makes a source of a directory.
func stored(source func(string) datasource.Source) func(testing.TB, documents) datasource.Source {
	return func(t testing.TB, d documents) datasource.Source { return source(write(t, d)) }
}

func client() *datasource.Client { return datasource.NewClient(datasource.ClientOptions{}) }

// cloudSigma is a source of CloudSigma whose port answers with the document
// "context".
func cloudSigma(t testing.TB, d documents) datasource.Source {
	return datasource.CloudSigma(datasource.CloudSigmaOptions{
		Root: write(t, documents{"sys/class/dmi/id/product_name": "CloudSigma\n", "run/systemd/netif/leases/2": ""}),
		Open: func() (io.ReadWriteCloser, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				question := make([]byte, 4)
				if _, err := io.ReadFull(far, question); err == nil && string(question) == "<\n\n>" {
					fmt.Fprint(far, d["context"]+"\x04")
				}
			}()
			return near, nil
		},
		Private: func(mac net.HardwareAddr) ([]netip.Addr, error) {
			if mac.String() != "22:a7:a0:0d:43:48" {
				t.Errorf("asked for the interface %v", mac)
			}
			return []netip.Addr{netip.MustParseAddr("fe80::1"), netip.MustParseAddr("10.11.12.13")}, nil
		},
	})
}

// guestInfo is the values of a hypervisor, without the prefix of their keys.
type guestInfo documents

func (g guestInfo) Get(_ context.Context, key string) (string, error) {
	return g[strings.TrimPrefix(key, "guestinfo.")], nil
}

func vmware(t testing.TB, d documents) datasource.Source {
	return datasource.VMware(client(), datasource.VMwareOptions{
		Root:      write(t, documents{"sys/class/dmi/id/sys_vendor": "VMware, Inc.\n"}),
		GuestInfo: guestInfo(d),
	})
}

func ovf(t testing.TB, d documents) datasource.Source {
	return datasource.OVF(client(), filepath.Join(write(t, d), "ovf-env.xml"))
}

func packed(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	fmt.Fprint(w, text)
	w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func addresses(public4, private4, public6, private6 string) (a cloudconfig.Addresses) {
	for text, addr := range map[string]*netip.Addr{public4: &a.PublicIPv4, private4: &a.PrivateIPv4, public6: &a.PublicIPv6, private6: &a.PrivateIPv6} {
		if text != "" {
			*addr = netip.MustParseAddr(text)
		}
	}
	return a
}

const droplet = `{"hostname":"drop","public_keys":["ssh-rsa A"," "],
"interfaces":{"public":[{"ipv4":{"ip_address":"192.0.2.5"},"ipv6":{"ip_address":"2001:db8::5"}},{"ipv4":{"ip_address":"192.0.2.6"}}],
"private":[{"ipv4":{"ip_address":"10.0.0.5"}}]}}`

const device = `{"addresses":[
{"address":"192.0.2.7","address_family":4,"public":true},{"address":"10.0.0.7","public":false},{"address":"2001:db8::7","public":false}]}`

const sharedConfig = `<?xml version="1.0" encoding="utf-8"?><SharedConfig version="1.0.0.0"><Incarnation number="1" instance="me"/><Instances>
<Instance id="other" address="10.0.0.1"><InputEndpoints><Endpoint loadBalancedPublicAddress="192.0.2.1:22"/></InputEndpoints></Instance>
<Instance id="me" address="10.0.0.4"><InputEndpoints><Endpoint name="a" loadBalancedPublicAddress="192.0.2.4:22"/>
<Endpoint name="b" loadBalancedPublicAddress="192.0.2.9:80"/></InputEndpoints></Instance></Instances></SharedConfig>`

const ovfEnvironment = `<?xml version="1.0" encoding="UTF-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:oe="http://schemas.dmtf.org/ovf/environment/1"><PlatformSection><Kind>VMware ESXi</Kind></PlatformSection>
<PropertySection><Property oe:key="guestinfo.hostname" oe:value="ovf"/><Property oe:key="guestinfo.coreos.config.data" oe:value="I2Nsb3VkLWNvbmZpZwo="/>
<Property oe:key="guestinfo.coreos.config.data.encoding" oe:value="base64"/></PropertySection></Environment>`

// TestASourceTellsWhatIsStored asks each source for everything.
func TestASourceTellsWhatIsStored(t *testing.T) {
	interfaces := documents{
		"interface.0.name": "ens192", "interface.0.role": "public", "interface.0.dhcp": "no", "interface.0.ip.0.address": "192.0.2.8/24",
		"interface.0.ip.1.address": "2001:db8::8/64", "interface.0.route.0.gateway": "192.0.2.1", "interface.0.route.0.destination": "0.0.0.0/0",
		"interface.1.mac": "00:50:56:00:00:01", "interface.1.role": "private", "interface.1.ip.0.address": "10.0.0.8/8", "dns.server.0": "192.0.2.53",
		"dns.domain.0": "example.com",
	}
	network, err := json.Marshal(interfaces)
	if err != nil {
		t.Fatal(err)
	}
	guest := documents{"hostname": "guest", "coreos.config.data": packed("#!/bin/sh\n"), "coreos.config.data.encoding": "gzip+base64", "interface.3.name": "behind a gap"}
	for key, value := range interfaces {
		guest[key] = value
	}
	for _, tt := range []struct {
		name     string
		source   func(testing.TB, documents) datasource.Source
		stored   documents
		kind     string
		userData string
		want     datasource.Metadata
	}{
		{
			"a file has no meta-data", stored(func(dir string) datasource.Source { return datasource.File(filepath.Join(dir, "a")) }),
			documents{"a": "#cloud-config\n"},
			"local-file", "#cloud-config\n",
			datasource.Metadata{},
		},
		{
			"a URL has no meta-data", served(func(c *datasource.Client, base string) datasource.Source { return datasource.URL(c, base+"/a?b=c") }),
			documents{"a": "#cloud-config\n"},
			"url", "#cloud-config\n",
			datasource.Metadata{},
		},
		{
			"the last URL on the command line counts", func(t testing.TB, d documents) datasource.Source {
				line := "root=/dev/sda cloud-config-url=http://127.0.0.1:1/ quiet cloud_config_url=\"" + serve(t, d) + "/a\" cloud-config-url= xcloud-config-url=no\n"
				return datasource.ProcCmdline(client(), filepath.Join(write(t, documents{"cmdline": line}), "cmdline"))
			},
			documents{"a": "#!/bin/sh\n"},
			"proc-cmdline", "#!/bin/sh\n",
			datasource.Metadata{},
		},
		{"an empty config drive says nothing", stored(datasource.ConfigDrive), documents{}, "cloud-drive", "", datasource.Metadata{}},
		{
			"a config drive", stored(datasource.ConfigDrive),
			documents{
				"openstack/latest/user_data":      "#cloud-config\n",
				"openstack/latest/meta_data.json": `{"hostname":"drive","public_keys":{"b":"ssh-rsa B\n","a":"ssh-rsa A"},"network_config":{"content_path":"/../content/0000"},"uuid":"x"}`,
				"openstack/content/0000":          "auto lo\n",
			},
			"cloud-drive", "#cloud-config\n",
			datasource.Metadata{Hostname: "drive", SSHKeys: []string{"ssh-rsa A", "ssh-rsa B"}, Network: datasource.Network{Format: datasource.FormatDebian, Data: []byte("auto lo\n")}},
		},
		{
			"OpenStack", served(datasource.OpenStack),
			documents{
				"openstack/latest/user_data":       "#cloud-config\n",
				"openstack/latest/meta_data.json":  `{"hostname":"stack","public_keys":{"a":"ssh-rsa A"},"network_config":{"content_path":"/content/0000"}}`,
				"openstack/content/0000":           "auto lo\n",
				"2009-04-04/meta-data/local-ipv4":  "10.0.0.3\n",
				"2009-04-04/meta-data/public-ipv4": "",
			},
			"openstack-metadata-service", "#cloud-config\n",
			datasource.Metadata{
				Hostname: "stack", SSHKeys: []string{"ssh-rsa A"}, Addresses: addresses("", "10.0.0.3", "", ""),
				Network: datasource.Network{Format: datasource.FormatDebian, Data: []byte("auto lo\n")},
			},
		},
		{
			"EC2 of version 1", served(datasource.EC2),
			documents{
				"2009-04-04/": "meta-data\nuser-data\n", "2009-04-04/user-data": "#cloud-config\n", "2009-04-04/meta-data/public-keys": "0=mine\n1=yours\n",
				"2009-04-04/meta-data/public-keys/0/openssh-key": "ssh-rsa A mine\n", "2009-04-04/meta-data/public-keys/1/openssh-key": "ssh-rsa B\n",
				"2009-04-04/meta-data/hostname": "host extra", "2009-04-04/meta-data/local-ipv4": "10.0.0.2", "2009-04-04/meta-data/public-ipv4": "192.0.2.2",
			},
			"ec2-metadata-service", "#cloud-config\n",
			datasource.Metadata{Hostname: "host", SSHKeys: []string{"ssh-rsa A mine", "ssh-rsa B"}, Addresses: addresses("192.0.2.2", "10.0.0.2", "", "")},
		},
		{"EC2 without anything", served(datasource.EC2), documents{"2009-04-04/": ""}, "ec2-metadata-service", "", datasource.Metadata{}},
		{
			"DigitalOcean", served(datasource.DigitalOcean),
			documents{"metadata/v1": "", "metadata/v1/user-data": "#!a", "metadata/v1.json": droplet},
			"digitalocean-metadata-service", "#!a",
			datasource.Metadata{
				Hostname: "drop", SSHKeys: []string{"ssh-rsa A"}, Addresses: addresses("192.0.2.5", "10.0.0.5", "2001:db8::5", ""),
				Network: datasource.Network{Format: datasource.FormatDigitalOcean, Data: []byte(droplet)},
			},
		},
		{
			"Packet", served(datasource.Packet),
			documents{"": "", "userdata": "#!a", "metadata": `{"hostname":"pack","ssh_keys":["ssh-rsa A"],"network":` + device + `}`},
			"packet-metadata-service", "#!a",
			datasource.Metadata{
				Hostname: "pack", SSHKeys: []string{"ssh-rsa A"}, Addresses: addresses("192.0.2.7", "10.0.0.7", "2001:db8::7", ""),
				Network: datasource.Network{Format: datasource.FormatPacket, Data: []byte(device)},
			},
		},
		{"Azure before its agent knows", stored(datasource.Waagent), documents{"provisioned": ""}, "waagent", "", datasource.Metadata{}},
		{
			"Azure", stored(datasource.Waagent),
			documents{"provisioned": "", "CustomData": "#!a", "SharedConfig.xml": sharedConfig},
			"waagent", "#!a",
			datasource.Metadata{Addresses: addresses("192.0.2.4", "10.0.0.4", "", "")},
		},
		{
			"CloudSigma", cloudSigma,
			documents{"context": `{"name":"","uuid":"65b2fb23","meta":{"base64_fields":"a, cloudinit-user-data","cloudinit-user-data":"I2Ns\nb3Vk","ssh_public_key":"ssh-rsa A"},
				"nics":[{"ip_v4_conf":{"conf":"dhcp","ip":{"uuid":"192.0.2.10"}},"ip_v6_conf":null,"mac":"22:a7:a0:0d:43:47","vlan":null},
				{"ip_v4_conf":{"conf":"manual","ip":null},"mac":"22:a7:a0:0d:43:48","vlan":{"uuid":"1"}}]}`},
			"server-context", "#cloud",
			datasource.Metadata{Hostname: "65b2fb23", SSHKeys: []string{"ssh-rsa A"}, Addresses: addresses("192.0.2.10", "10.11.12.13", "", "")},
		},
		{
			"VMware", vmware, guest, "vmware", "#!/bin/sh\n",
			datasource.Metadata{Hostname: "guest", Addresses: addresses("192.0.2.8", "10.0.0.8", "2001:db8::8", ""), Network: datasource.Network{Format: datasource.FormatVMware, Data: network}},
		},
		{
			"VMware prefers the OVF environment", vmware,
			documents{"ovfEnv": ovfEnvironment, "hostname": "guest", "interface.0.dhcp": "yes"},
			"vmware", "#cloud-config\n",
			datasource.Metadata{Hostname: "ovf", Network: datasource.Network{Format: datasource.FormatVMware, Data: []byte(`{"interface.0.dhcp":"yes"}`)}},
		},
		{
			"VMware names a URL", func(t testing.TB, d documents) datasource.Source {
				return vmware(t, documents{"coreos.config.url": serve(t, d) + "/a", "coreos.config.data.encoding": "b64"})
			}, documents{"a": "IyFh"}, "vmware", "#!a", datasource.Metadata{},
		},
		{"an OVF environment in a file", ovf, documents{"ovf-env.xml": ovfEnvironment}, "vmware", "#cloud-config\n", datasource.Metadata{Hostname: "ovf"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := tt.source(t, tt.stored)
			if got := source.Type(); got != tt.kind {
				t.Errorf("Type() = %q, want %q", got, tt.kind)
			}
			if err := source.Available(t.Context()); err != nil {
				t.Fatalf("Available() = %v, want nil", err)
			}
			data, err := source.UserData(t.Context())
			if err != nil || string(data) != tt.userData {
				t.Errorf("UserData() = %q, %v, want %q", data, err, tt.userData)
			}
			meta, err := source.Metadata(t.Context())
			if err != nil || !reflect.DeepEqual(*meta, tt.want) {
				t.Errorf("Metadata() = %+v, %v, want %+v", meta, err, tt.want)
			}
		})
	}
}

// TestGCEIsAskedInItsFlavor checks the header that the service insists on.
func TestGCEIsAskedInItsFlavor(t *testing.T) {
	const root = "/computeMetadata/v1/"
	paths := documents{
		root: "instance/\n", root + "instance/attributes/user-data": "#!a", root + "instance/hostname": "gce.internal",
		root + "instance/network-interfaces/0/access-configs/0/external-ip": "192.0.2.3", root + "instance/network-interfaces/0/ip": "10.0.0.3",
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, paths[r.URL.Path])
	}))
	defer server.Close()
	source := datasource.GCE(client(), server.URL+"/")
	if err := source.Available(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, err := source.UserData(t.Context())
	if err != nil || string(data) != "#!a" {
		t.Errorf("UserData() = %q, %v", data, err)
	}
	want := datasource.Metadata{Hostname: "gce.internal", Addresses: addresses("192.0.2.3", "10.0.0.3", "", "")}
	if meta, err := source.Metadata(t.Context()); err != nil || !reflect.DeepEqual(*meta, want) {
		t.Errorf("Metadata() = %+v, %v, want %+v", meta, err, want)
	}
}
