package datasource_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/strakeproject/strake/cloudconfig/datasource"
)

// TestBadMetadataIsRefusedByItsField checks that an error leads to what is wrong.
func TestBadMetadataIsRefusedByItsField(t *testing.T) {
	for _, tt := range []struct {
		source func(testing.TB, documents) datasource.Source
		stored documents
		want   string
	}{
		{served(datasource.EC2), documents{"2009-04-04/meta-data/public-keys": "0=a\nmine\n"}, `malformed public key: "mine"`},
		{served(datasource.EC2), documents{"2009-04-04/meta-data/public-keys": "../..=a\n"}, `malformed public key: "../..=a"`},
		{served(datasource.EC2), documents{"2009-04-04/meta-data/local-ipv4": "<html>"}, "2009-04-04/meta-data/local-ipv4"},
		{served(datasource.DigitalOcean), documents{"metadata/v1.json": `{"interfaces":{"private":[{"ipv6":{"ip_address":"x"}}]}}`}, "interfaces.private[0].ipv6.ip_address"},
		{served(datasource.EC2), documents{"2009-04-04/meta-data/public-ipv4": "fe80::1%a\nb"}, `"fe80::1%a\nb" is an address of one link`},
		{served(datasource.DigitalOcean), documents{"metadata/v1.json": `{"hostname":1}`}, "metadata/v1.json"},
		{served(datasource.Packet), documents{"metadata": `{"network":{"addresses":[{},{"address":"x"}]}}`}, "network.addresses[1].address"},
		{served(datasource.OpenStack), documents{"openstack/latest/meta_data.json": `{`}, "openstack/latest/meta_data.json: "},
		{stored(datasource.ConfigDrive), documents{"openstack/latest/meta_data.json": `[]`}, "openstack/latest/meta_data.json: "},
		{stored(datasource.Waagent), documents{"SharedConfig.xml": `<a`}, "SharedConfig.xml: "},
		{stored(datasource.Waagent), documents{"SharedConfig.xml": strings.ReplaceAll(sharedConfig, "192.0.2.4:22", "192.0.2.4")}, "loadBalancedPublicAddress of instance me"},
		{cloudSigma, documents{"context": "{"}, "server context: "},
		{cloudSigma, documents{"context": `{"nics":[{"mac":"x","vlan":{"uuid":"1"}}]}`}, "server context: nics[0]: "},
		{vmware, documents{"interface.0.dhcp": "maybe"}, `invalid DHCP option: "maybe"`},
		{vmware, documents{"interface.0.role": "other"}, `unrecognized role: "other"`},
		{vmware, documents{"interface.0.ip.0.address": "10.0.0.1"}, "interface.0.ip.0.address: "},
		{vmware, documents{"interface.0.route.0.gateway": "10.0.0.1"}, "interface.0.route.0: missing destination key"},
		{vmware, documents{"interface.0.route.0.destination": "10.0.0.0/8"}, "interface.0.route.0: missing gateway key"},
		{vmware, documents{"ovfEnv": "no XML"}, "guestinfo.ovfEnv: "},
		{ovf, documents{"ovf-env.xml": "no XML"}, "ovf-env.xml: OVF environment: "},
	} {
		source := tt.source(t, tt.stored)
		if meta, err := source.Metadata(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: Metadata() of %v = %+v, %v, want an error with %q", source.Type(), tt.stored, meta, err, tt.want)
		}
	}
}

// TestUserDataThatDoesNotDecodeIsRefused, where an encoding is named beside it.
func TestUserDataThatDoesNotDecodeIsRefused(t *testing.T) {
	for _, tt := range []struct {
		source datasource.Source
		want   string
	}{
		{vmware(t, documents{"coreos.config.data": "a", "coreos.config.data.encoding": "rot13"}), `unsupported encoding "rot13"`},
		{vmware(t, documents{"coreos.config.data": "?", "coreos.config.data.encoding": "b64"}), "unable to decode base64"},
		{vmware(t, documents{"coreos.config.data": "YQ==", "coreos.config.data.encoding": "gz+b64"}), "unable to decode gzip"},
		{vmware(t, documents{"coreos.config.data": packed(strings.Repeat(" ", 17<<20)), "coreos.config.data.encoding": "gz+b64"}), "too large"},
		{cloudSigma(t, documents{"context": `{"meta":{"base64_fields":"cloudinit-user-data","cloudinit-user-data":"?"}}`}), "unable to decode base64"},
	} {
		if data, err := tt.source.UserData(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: UserData() = %.20q, %v, want an error with %q", tt.source.Type(), data, err, tt.want)
		}
	}
}

// TestSourcesSayWhetherToWait tells what may come from what never will.
func TestSourcesSayWhetherToWait(t *testing.T) {
	empty := t.TempDir()
	missing := filepath.Join(empty, "missing")
	quiet := filepath.Join(write(t, documents{"cmdline": "quiet\n"}), "cmdline")
	other := write(t, documents{"sys/class/dmi/id/product_name": "KVM\n", "sys/class/dmi/id/sys_vendor": "QEMU\n"})
	sigma := write(t, documents{"sys/class/dmi/id/product_name": "CloudSigma\n"})
	nothing := serve(t, documents{})
	for _, tt := range []struct {
		name   string
		source datasource.Source
		never  bool
	}{
		{"no file", datasource.File(missing), true},
		{"no document at a URL", datasource.URL(client(), nothing), true},
		{"no URL", datasource.URL(client(), "ftp://127.0.0.1/"), true},
		{"no host", datasource.URL(client(), "http:///a"), true},
		{"no server", datasource.URL(client(), "http://127.0.0.1:1/"), false},
		{"no drive yet", datasource.ConfigDrive(missing), false},
		{"a drive that is a file", datasource.ConfigDrive(quiet), true},
		{"no agent yet", datasource.Waagent(empty), false},
		{"no service yet", datasource.EC2(client(), nothing), false},
		{"no URL on the command line", datasource.ProcCmdline(client(), quiet), true},
		{"no command line", datasource.ProcCmdline(client(), missing), true},
		{"hardware of another maker", datasource.CloudSigma(datasource.CloudSigmaOptions{Root: other}), true},
		{"no lease yet", datasource.CloudSigma(datasource.CloudSigmaOptions{Root: sigma}), false},
		{"another hypervisor", datasource.VMware(client(), datasource.VMwareOptions{Root: other}), true},
		{"a machine without firmware", datasource.VMware(client(), datasource.VMwareOptions{Root: empty}), true},
		{"no OVF environment", datasource.OVF(client(), missing), true},
	} {
		err := tt.source.Available(t.Context())
		if err == nil || errors.Is(err, datasource.ErrNever) != tt.never {
			t.Errorf("%s: Available() = %v, want an error, for ever: %v", tt.name, err, tt.never)
		}
	}
}

// TestAConfigDriveCannotLeadOut of its directory, by a path or a link.
func TestAConfigDriveCannotLeadOut(t *testing.T) {
	outside := filepath.Join(write(t, documents{"secret": "secret"}), "secret")
	dir := write(t, documents{"openstack/latest/meta_data.json": `{"network_config":{"content_path":"../../secret"}}`})
	if err := os.Symlink(outside, filepath.Join(dir, "openstack", "latest", "user_data")); err != nil {
		t.Skipf("no links here: %v", err)
	}
	drive := datasource.ConfigDrive(dir)
	if data, err := drive.UserData(t.Context()); err == nil {
		t.Errorf("UserData() through a link = %q, want an error", data)
	}
	if meta, err := drive.Metadata(t.Context()); err != nil || meta.Network.Format != "" {
		t.Errorf("Metadata() = %+v, %v, want none of the network", meta, err)
	}
}

// TestVmtoolsdIsAskedForAValue runs a program in the place of vmtoolsd.
func TestVmtoolsdIsAskedForAValue(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	path := filepath.Join(t.TempDir(), "vmtoolsd")
	script := "#!/bin/sh\ncase \"$1 $2\" in\n'--cmd info-get guestinfo.hostname') printf 'tools\\n' ;;\n*.broken) echo 'Failed to send' >&2; exit 1 ;;\n*) echo 'No value found' >&2; exit 1 ;;\nesac\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	tools := datasource.Vmtoolsd{Path: path}
	for key, want := range map[string]string{"guestinfo.hostname": "tools", "guestinfo.other": ""} {
		if got, err := tools.Get(t.Context(), key); err != nil || got != want {
			t.Errorf("Get(%q) = %q, %v, want %q", key, got, err, want)
		}
	}
	if _, err := tools.Get(t.Context(), "guestinfo.broken"); err == nil || !strings.Contains(err.Error(), "Failed to send") {
		t.Errorf("Get() of what fails = %v, want what the program said", err)
	}
	if _, err := (datasource.Vmtoolsd{Path: path + "x"}).Get(t.Context(), "guestinfo.hostname"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Get() without the program = %v, want that there is none", err)
	}
}
