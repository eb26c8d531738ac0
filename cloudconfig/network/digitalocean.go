package network

// oceanDocument is what is needed of DigitalOcean's document metadata/v1.json.
type oceanDocument struct {
	Interfaces struct {
		Public  []oceanInterface `json:"public"`
		Private []oceanInterface `json:"private"`
	} `json:"interfaces"`
	DNS struct {
		Nameservers []string `json:"nameservers"`
	} `json:"dns"`
}

type oceanInterface struct {
	MAC    string        `json:"mac"`
	IPv4   *oceanAddress `json:"ipv4"`
	IPv6   *oceanAddress `json:"ipv6"`
	Anchor *oceanAddress `json:"anchor_ipv4"`
}

type oceanAddress struct {
	Address string `json:"ip_address"`
	Netmask string `json:"netmask"` // of IPv4
	CIDR    int    `json:"cidr"`    // of IPv6
	Gateway string `json:"gateway"`
}

// readDigitalOcean finds interfaces by their hardware addresses. Public ones get
// default routes and the name servers.
func readDigitalOcean(data []byte) ([]*link, error) {
	d := document{data}
	var doc oceanDocument
	if err := d.read(&doc); err != nil {
		return nil, err
	}
	dns, err := d.addrs("name server", doc.DNS.Nameservers)
	if err != nil {
		return nil, err
	}
	var links []*link
	for _, f := range doc.Interfaces.Public {
		l, err := f.link(d)
		if err != nil {
			return nil, err
		}
		l.dns = dns
		for _, a := range []*oceanAddress{f.IPv4, f.IPv6} {
			if a == nil || a.Gateway == "" {
				continue
			}
			via, err := d.addr("gateway", a.Gateway)
			if err != nil {
				return nil, err
			}
			l.routes = append(l.routes, defaultRoute(via))
		}
		links = append(links, l)
	}
	for _, f := range doc.Interfaces.Private {
		l, err := f.link(d)
		if err != nil {
			return nil, err
		}
		links = append(links, l)
	}
	if len(links) == 0 {
		return nil, fail(0, "the metadata names no network interface")
	}
	return links, nil
}

// link makes the link of an interface, with its addresses.
func (f oceanInterface) link(d document) (*link, error) {
	mac, ok := parseMAC(f.MAC)
	if !ok {
		return nil, fail(d.find(f.MAC), "mac %q of an interface is no hardware address", f.MAC)
	}
	l := &link{mac: mac, line: d.find(f.MAC)}
	for _, a := range []*oceanAddress{f.IPv4, f.IPv6, f.Anchor} {
		if a == nil {
			continue
		}
		p, err := d.prefix(a.Address, a.CIDR, a.Netmask)
		if err != nil {
			return nil, err
		}
		l.addresses = append(l.addresses, p)
	}
	return l, nil
}
