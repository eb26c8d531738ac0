package datasource

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// GuestInfo is the values that a hypervisor of VMware, or its administrator, has
// set for a machine.
type GuestInfo interface {
	// Get returns the value of a key such as "guestinfo.hostname", empty if it is
	// not set.
	Get(ctx context.Context, key string) (string, error)
}

// VMwareOptions are how a machine asks its hypervisor.
type VMwareOptions struct {
	// Root is the root directory of the machine whose hardware is looked at, / by
	// default.
	Root string
	// GuestInfo is by default the hypervisor itself, by the instruction that VMware has
	// for it, or else, where that is closed and on processors other than amd64, the
	// program vmtoolsd.
	GuestInfo GuestInfo
}

// VMware is the guestinfo of a virtual machine of VMware. A key stands in the OVF
// environment that the hypervisor has, guestinfo.ovfEnv, or is a value of its
// own. User-data is in coreos.config.data, or else at the URL in
// coreos.config.url, which the client gets; coreos.config.data.encoding tells how
// it is wrapped. The network is in FormatVMware.
func VMware(c *Client, o VMwareOptions) Source {
	guest := o.GuestInfo
	if guest == nil {
		guest = newHypervisor()
	}
	return vmware{client: c, available: func() error { return onVMware(cmp.Or(o.Root, "/")) }, guest: withOVF{guest}}
}

// OVF is the guestinfo in a file, such as the ovf-env.xml on the drive that a
// hypervisor of VMware attaches: the properties of an OVF environment, in the
// same keys as those of [VMware]. A file that is not there is not waited for.
func OVF(c *Client, path string) Source {
	return vmware{client: c, available: func() error { return file{path}.look() }, guest: ovfFile(path)}
}

// The bounds of a machine's guestinfo.
const (
	maxIndex = 1000  // of a list
	maxReads = 10000 // in all
)

type vmware struct {
	client    *Client
	available func() error
	guest     GuestInfo
}

func (vmware) Type() string { return "vmware" }

func (v vmware) Available(context.Context) error { return v.available() }

// onVMware looks at what the firmware says of the machine.
func onVMware(root string) error {
	const name = "sys/class/dmi/id/sys_vendor"
	vendor, err := readBelow(root, name, maxMetadata)
	if err != nil {
		return never("%w", err)
	}
	if !strings.HasPrefix(string(vendor), "VMware") {
		return never("the hardware's vendor is %q", strings.TrimSpace(string(vendor)))
	}
	return nil
}

func (v vmware) UserData(ctx context.Context) ([]byte, error) {
	r, err := v.begin(ctx)
	if err != nil {
		return nil, err
	}
	data, encoding := r.get("coreos.config.data"), r.get("coreos.config.data.encoding")
	if data == "" {
		url := r.get("coreos.config.url")
		if r.err != nil || url == "" {
			return nil, r.err
		}
		document, err := URL(v.client, url).UserData(ctx)
		if err != nil {
			return nil, err
		}
		data = string(document)
	}
	if r.err != nil {
		return nil, r.err
	}
	decoded, err := decode([]byte(data), encoding)
	if err != nil {
		return nil, fmt.Errorf("coreos.config.data: %w", err)
	}
	return decoded, nil
}

func (v vmware) Metadata(ctx context.Context) (*Metadata, error) {
	r, err := v.begin(ctx)
	if err != nil {
		return nil, err
	}
	m := &Metadata{Hostname: r.get("hostname")}
	r.kept = make(map[string]string)
	for i := range maxIndex {
		if !r.iface(fmt.Sprintf("interface.%d.", i), m) {
			break
		}
	}
	for _, list := range []string{"dns.server.%d", "dns.domain.%d"} {
		for i := range maxIndex {
			if r.get(fmt.Sprintf(list, i)) == "" {
				break
			}
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if len(r.kept) > 0 {
		data, err := json.Marshal(r.kept)
		if err != nil {
			return nil, err
		}
		m.Network = Network{Format: FormatVMware, Data: data}
	}
	return m, nil
}

// begin opens what is to be read once, such as an OVF environment.
func (v vmware) begin(ctx context.Context) (*guestReader, error) {
	guest := v.guest
	if once, ok := guest.(opener); ok {
		var err error
		if guest, err = once.open(ctx); err != nil {
			return nil, err
		}
	}
	return &guestReader{ctx: ctx, guest: guest}, nil
}

// opener is a GuestInfo that has to be read as a whole first.
type opener interface {
	open(ctx context.Context) (GuestInfo, error)
}

// guestReader reads values until one cannot be read.
type guestReader struct {
	ctx   context.Context
	guest GuestInfo
	reads int
	kept  map[string]string // values that were set, if not nil
	err   error             // the first
}

// get returns a value; empty if it is not set, or after an error.
func (r *guestReader) get(key string) string {
	if r.err != nil {
		return ""
	}
	if r.reads++; r.reads > maxReads {
		r.err = fmt.Errorf("more than %d values", maxReads)
		return ""
	}
	value, err := r.guest.Get(r.ctx, "guestinfo."+key)
	if err != nil {
		r.err = fmt.Errorf("guestinfo.%s: %w", key, err)
		return ""
	}
	if value != "" && r.kept != nil {
		r.kept[key] = value
	}
	return value
}

// fail is what is wrong with a value.
func (r *guestReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// iface reads an interface and adds its addresses to the meta-data. It returns
// false if there is none.
func (r *guestReader) iface(prefix string, m *Metadata) bool {
	before := len(r.kept)
	r.get(prefix + "name")
	r.get(prefix + "mac")
	if dhcp := r.get(prefix + "dhcp"); dhcp != "" && dhcp != "yes" && dhcp != "no" {
		r.fail("%sdhcp: invalid DHCP option: %q", prefix, dhcp)
	}
	role := r.get(prefix + "role")
	if role != "" && role != "public" && role != "private" {
		r.fail("%srole: unrecognized role: %q", prefix, role)
	}
	for i := range maxIndex {
		key := fmt.Sprintf("%sip.%d.address", prefix, i)
		text := r.get(key)
		if text == "" {
			break
		}
		ip, err := netip.ParsePrefix(text)
		if err != nil {
			r.fail("%s: %w", key, err)
		}
		switch role {
		case "public":
			setPublic(&m.Addresses, ip.Addr())
		case "private":
			setPrivate(&m.Addresses, ip.Addr())
		}
	}
	for i := range maxIndex {
		route := fmt.Sprintf("%sroute.%d", prefix, i)
		gateway, destination := r.get(route+".gateway"), r.get(route+".destination")
		switch {
		case gateway == "" && destination == "":
			return r.err == nil && len(r.kept) > before
		case destination == "":
			r.fail("%s: missing destination key", route)
		case gateway == "":
			r.fail("%s: missing gateway key", route)
		}
	}
	return r.err == nil
}
