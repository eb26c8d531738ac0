package network

import "net/netip"

// packetNetwork is what is needed of the object "network" of Packet's metadata.
type packetNetwork struct {
	Interfaces []struct {
		Name string `json:"name"`
		MAC  string `json:"mac"`
	} `json:"interfaces"`
	Addresses []packetAddress `json:"addresses"`
	DNS       []string        `json:"dns"`
}

type packetAddress struct {
	Address string `json:"address"`
	CIDR    int    `json:"cidr"`
	Netmask string `json:"netmask"`
	Gateway string `json:"gateway"`
	Public  bool   `json:"public"`
}

// readPacket makes one bond of all interfaces, with all addresses.
func readPacket(data []byte) ([]*link, error) {
	d := document{data}
	var network packetNetwork
	if err := d.read(&network); err != nil {
		return nil, err
	}
	if len(network.Interfaces) == 0 {
		return nil, fail(0, "the metadata names no network interface")
	}
	b := &link{kind: bond, name: "bond0", fixed: true, bond: []bondOption{
		{"DownDelaySec", ".2", "downdelay=200"},
		{"LACPTransmitRate", "fast", "lacp_rate=fast"},
		{"MIIMonitorSec", ".2", "miimon=200"},
		{"Mode", "802.3ad", "mode=802.3ad"},
		{"UpDelaySec", ".2", "updelay=200"},
	}}
	links := []*link{b}
	for i, f := range network.Interfaces {
		mac, ok := parseMAC(f.MAC)
		if !ok {
			return nil, fail(d.find(f.MAC), "mac %q of interface %q is no hardware address", f.MAC, f.Name)
		}
		if i == 0 {
			b.mac = mac
		}
		l := &link{name: f.Name, line: d.find(f.Name), number: i, fixed: true, carries: []*link{b}}
		if f.Name == "" {
			l.mac = mac // a slave's own address changes with the bond, so a name is the better match
		}
		links = append(links, l)
	}
	for _, a := range network.Addresses {
		if err := b.packetAddress(d, a); err != nil {
			return nil, err
		}
	}
	var err error
	if b.dns, err = d.addrs("name server", network.DNS); err == nil && len(b.dns) == 0 {
		b.dns = []netip.Addr{netip.AddrFrom4([4]byte{8, 8, 8, 8}), netip.AddrFrom4([4]byte{8, 8, 4, 4})}
	}
	return links, err
}

// packetAddress adds an address and the route that belongs to it: private
// ones reach the provider's own network, public ones everything.
func (l *link) packetAddress(d document, a packetAddress) error {
	p, err := d.prefix(a.Address, a.CIDR, a.Netmask)
	if err != nil {
		return err
	}
	l.addresses = append(l.addresses, p)
	if a.Gateway == "" {
		return nil
	}
	via, err := d.addr("gateway", a.Gateway)
	if err != nil {
		return err
	}
	switch {
	case a.Public:
		l.routes = append(l.routes, defaultRoute(via))
	case via.Is4():
		l.routes = append(l.routes, route{netip.PrefixFrom(netip.AddrFrom4([4]byte{10}), 8), via})
	}
	return nil
}
