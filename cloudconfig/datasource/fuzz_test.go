package datasource_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strakeproject/strake/cloudconfig/datasource"
)

// check holds what a source says to what it promises: nothing is returned beside
// an error, keys are not empty, a network has a format and addresses have the
// family of their field.
func check(t *testing.T, source datasource.Source, input any) {
	t.Helper()
	if data, err := source.UserData(t.Context()); err != nil && data != nil {
		t.Errorf("%s: UserData() of %q = %q beside %v", source.Type(), input, data, err)
	}
	m, err := source.Metadata(t.Context())
	if (m == nil) != (err != nil) {
		t.Fatalf("%s: Metadata() of %q = %v, %v", source.Type(), input, m, err)
	}
	if err != nil {
		return
	}
	for _, key := range m.SSHKeys {
		if strings.TrimSpace(key) == "" {
			t.Errorf("%s: an empty key of %q", source.Type(), input)
		}
	}
	if (m.Network.Format == "") != (len(m.Network.Data) == 0) {
		t.Errorf("%s: the network of %q is %q, in format %q", source.Type(), input, m.Network.Data, m.Network.Format)
	}
	a := m.Addresses
	if a.PublicIPv4.Is6() || a.PrivateIPv4.Is6() || a.PublicIPv6.Is4() || a.PrivateIPv6.Is4() || a.PublicIPv6.Zone()+a.PrivateIPv6.Zone() != "" {
		t.Errorf("%s: the addresses of %q are %+v", source.Type(), input, a)
	}
}

// always answers every request with one document.
func always(body []byte) *datasource.Client {
	return overTransport(func(*http.Request) (*http.Response, error) { return respond(200, bytes.NewReader(body)), nil })
}

// FuzzServices has each metadata service answer every request the same.
func FuzzServices(f *testing.F) {
	f.Add([]byte(droplet))
	f.Add([]byte(`{"hostname":"a","ssh_keys":["b"],"network":` + device + `}`))
	f.Add([]byte(`{"hostname":"a","public_keys":{"b":"c"},"network_config":{"content_path":"/content/0000"}}`))
	f.Add([]byte("0=a\n1=b\n"))
	f.Add([]byte("192.0.2.1"))
	f.Add([]byte("::ffff:192.0.2.1"))
	f.Add([]byte("2001:db8::1"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		c := always(body)
		for _, source := range []func(*datasource.Client, string) datasource.Source{
			datasource.EC2, datasource.GCE, datasource.DigitalOcean, datasource.Packet, datasource.OpenStack,
		} {
			check(t, source(c, "http://a/"), body)
		}
	})
}

// FuzzDirectories puts a document in the place of each file that is read.
func FuzzDirectories(f *testing.F) {
	f.Add([]byte(sharedConfig))
	f.Add([]byte(ovfEnvironment))
	f.Add([]byte(`{"network_config":{"content_path":"latest/user_data"}}`))
	f.Add([]byte(`{"network_config":{"content_path":"latest"}}`))
	f.Add([]byte("a cloud-config-url=http://a/ b\n"))
	dir := write(f, documents{"openstack/latest/user_data": "", "provisioned": ""})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, name := range []string{"openstack/latest/meta_data.json", "SharedConfig.xml", "ovf-env.xml", "cmdline"} {
			if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		check(t, datasource.ConfigDrive(dir), body)
		check(t, datasource.Waagent(dir), body)
		check(t, datasource.OVF(always(nil), filepath.Join(dir, "ovf-env.xml")), body)
		check(t, datasource.ProcCmdline(always(nil), filepath.Join(dir, "cmdline")), body)
	})
}

// FuzzGuestInfo sets an OVF environment, and values by their key.
func FuzzGuestInfo(f *testing.F) {
	f.Add(ovfEnvironment, "interface.0.role=public\ninterface.0.ip.0.address=192.0.2.1/24")
	f.Add("", "coreos.config.data=IyFh\ncoreos.config.data.encoding=b64\ninterface.0.dhcp=yes\ndns.server.0=1")
	f.Add("", "interface.0.ip.0.address=::ffff:1.2.3.4/100\ninterface.0.role=private")
	f.Fuzz(func(t *testing.T, environment, values string) {
		guest := guestInfo{"ovfEnv": environment}
		for line := range strings.SplitSeq(values, "\n") {
			key, value, _ := strings.Cut(line, "=")
			guest[key] = value
		}
		check(t, datasource.VMware(always(nil), datasource.VMwareOptions{GuestInfo: guest}), values)
	})
}

// port is a serial port that has its answer ready.
type port struct{ *bytes.Reader }

func (port) Write(p []byte) (int, error) { return len(p), nil }

func (port) Close() error { return nil }

// FuzzServerContext is CloudSigma's.
func FuzzServerContext(f *testing.F) {
	f.Add([]byte(`{"name":"a","meta":{"base64_fields":"cloudinit-user-data","cloudinit-user-data":"IyFh"},"nics":[{"ip_v4_conf":{"ip":{"uuid":"192.0.2.1"}}}]}` + "\x04"))
	f.Add([]byte(`{"meta":null,"nics":[null]}` + "\x04"))
	f.Add([]byte("\x04"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		check(t, datasource.CloudSigma(datasource.CloudSigmaOptions{
			Open: func() (io.ReadWriteCloser, error) { return port{bytes.NewReader(answer)}, nil },
		}), answer)
	})
}

// chatty is a hypervisor that has a value for everything.
type chatty struct{ asked int }

func (c *chatty) Get(_ context.Context, key string) (string, error) {
	c.asked++
	switch {
	case strings.HasSuffix(key, "ovfEnv"):
		return "", nil
	case strings.HasSuffix(key, "dhcp"):
		return "yes", nil
	case strings.HasSuffix(key, "role"):
		return "public", nil
	}
	return "192.0.2.1/24", nil
}

// TestAHypervisorWithoutEndIsRefused after so many values.
func TestAHypervisorWithoutEndIsRefused(t *testing.T) {
	guest := &chatty{}
	meta, err := datasource.VMware(client(), datasource.VMwareOptions{GuestInfo: guest}).Metadata(t.Context())
	if err == nil || guest.asked > 20000 {
		t.Errorf("Metadata() = %v, %v, after %d values; want an error", meta, err, guest.asked)
	}
}
