package network

import (
	"fmt"
	"net/netip"
)

// guestinfo holds keys and values, with the lines that they stand on.
type guestinfo map[string]guestValue

type guestValue struct {
	line int
	text string
}

// readVMware reads an object of texts. Indexes count from 0; the first gap ends
// a list. An interface with nothing to do ends the list of interfaces.
func readVMware(data []byte) ([]*link, error) {
	d := document{data}
	var texts map[string]string
	if err := d.read(&texts); err != nil {
		return nil, err
	}
	g := make(guestinfo, len(texts))
	for key, text := range texts {
		if text != "" {
			g[key] = guestValue{d.find(key), text}
		}
	}
	var dns []netip.Addr
	for i := 0; ; i++ {
		v, ok := g[fmt.Sprintf("dns.server.%d", i)]
		if !ok {
			break
		}
		a, err := netip.ParseAddr(v.text)
		if err != nil {
			return nil, fail(v.line, "name server %q is no address", v.text)
		}
		dns = append(dns, a)
	}
	var domains []string
	for i := 0; ; i++ {
		v, ok := g[fmt.Sprintf("dns.domain.%d", i)]
		if !ok {
			break
		}
		domains = append(domains, v.text)
	}
	var links []*link
	for i := 0; ; i++ {
		l, err := g.link(fmt.Sprintf("interface.%d.", i))
		if err != nil || l == nil {
			return links, err
		}
		if !l.dhcp {
			l.dns, l.domains = dns, domains
		}
		links = append(links, l)
	}
}

// link reads the interface whose keys begin with prefix; nil if there is
// nothing to do for it.
func (g guestinfo) link(prefix string) (*link, error) {
	l := &link{name: g[prefix+"name"].text}
	if mac := g[prefix+"mac"]; mac.text != "" {
		ok := false
		if l.mac, ok = parseMAC(mac.text); !ok {
			return nil, fail(mac.line, "mac %q is no hardware address", mac.text)
		}
	}
	l.line = max(g[prefix+"name"].line, g[prefix+"mac"].line)
	switch dhcp := g[prefix+"dhcp"]; dhcp.text {
	case "yes":
		l.dhcp = true
	case "no", "":
	default:
		return nil, fail(dhcp.line, "invalid DHCP option: %q", dhcp.text)
	}
	if role := g[prefix+"role"]; role.text != "" && role.text != "public" && role.text != "private" {
		return nil, fail(role.line, "unrecognized role: %q", role.text)
	}
	if err := g.addresses(l, prefix); err != nil {
		return nil, err
	}
	if err := g.routes(l, prefix); err != nil {
		return nil, err
	}
	if !l.dhcp && len(l.addresses) == 0 && len(l.routes) == 0 {
		return nil, nil
	}
	if l.dhcp { // the lease says the rest
		l.addresses, l.routes = nil, nil
	}
	return l, nil
}

func (g guestinfo) addresses(l *link, prefix string) error {
	for i := 0; ; i++ {
		v, ok := g[fmt.Sprintf("%sip.%d.address", prefix, i)]
		if !ok {
			return nil
		}
		p, err := netip.ParsePrefix(v.text)
		if err != nil {
			return fail(v.line, "address %q is not like 10.0.0.7/24", v.text)
		}
		l.addresses = append(l.addresses, p)
		l.line = max(l.line, v.line)
	}
}

func (g guestinfo) routes(l *link, prefix string) error {
	for i := 0; ; i++ {
		via, haveVia := g[fmt.Sprintf("%sroute.%d.gateway", prefix, i)]
		to, haveTo := g[fmt.Sprintf("%sroute.%d.destination", prefix, i)]
		switch {
		case !haveVia && !haveTo:
			return nil
		case !haveTo:
			return fail(via.line, "missing destination key")
		case !haveVia:
			return fail(to.line, "missing gateway key")
		}
		var r route
		var err error
		if r.via, err = netip.ParseAddr(via.text); err != nil || r.via.Zone() != "" {
			return fail(via.line, "gateway %q is no address", via.text)
		}
		if r.to, err = netip.ParsePrefix(to.text); err != nil {
			return fail(to.line, "destination %q is not like 10.0.0.0/8", to.text)
		}
		l.routes = append(l.routes, r)
	}
}
