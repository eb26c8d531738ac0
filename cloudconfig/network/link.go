package network

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/strakeproject/strake/cloudconfig"
)

// link is one network interface: what is known of it and what it shall get.
type link struct {
	line int // where it is described
	kind linkKind
	name string // or else mac is known
	mac  string // of the device: to find a physical one by, or for a new one to have

	dhcp      bool
	addresses []netip.Prefix
	routes    []route
	dns       []netip.Addr
	domains   []string
	setMAC    string // the hardware address that a physical device gets
	mtu       string

	bond []bondOption // of a bond
	raw  string       // the device that a VLAN is on
	id   int          // of a VLAN, 0 to 4094

	carries []*link // bonds that it is a slave of, and VLANs on it
	number  int     // orders the units; given if fixed, else computed
	fixed   bool
}

type linkKind string

const (
	physical linkKind = ""
	bond     linkKind = "bond"
	vlan     linkKind = "vlan"
)

// route leads to a network by a gateway.
type route struct {
	to  netip.Prefix
	via netip.Addr
}

// defaultRoute leads everywhere that the gateway's family can address.
func defaultRoute(via netip.Addr) route {
	to := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if via.Is6() {
		to = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return route{to, via}
}

// label is what the link's units are called by.
func (l *link) label() string { return cmp.Or(l.name, l.mac) }

// setup orders links and writes their units.
func setup(links []*link) (*Setup, error) {
	slices.SortStableFunc(links, func(a, b *link) int { return strings.Compare(a.label(), b.label()) })
	var s Setup
	var depths depths = make(map[*link]int)
	bonding := Module{Name: "bonding"}
	vlans := false
	bonds := 0
	for _, l := range links {
		if err := l.check(); err != nil {
			return nil, err
		}
		if !l.fixed {
			var err error
			if l.number, err = depths.of(l); err != nil {
				return nil, err
			}
		}
		if l.name != "" {
			s.Down = append(s.Down, l.name)
		}
		switch l.kind {
		case vlan:
			vlans = true
		case bond:
			if bonds++; bonds == 1 { // a module is loaded once; each bond's netdev says the same again
				bonding.Options = moduleOptions(l.bond)
			}
		}
	}
	if vlans {
		s.Modules = append(s.Modules, Module{Name: "8021q"})
	}
	if bonds > 0 {
		s.Modules = append(s.Modules, bonding)
	}
	for _, l := range links {
		if text := l.netdev(); text != "" {
			s.Units = append(s.Units, l.unit(".netdev", text))
		}
		s.Units = append(s.Units, l.unit(".network", l.network()))
	}
	return &s, nil
}

func (l *link) unit(suffix, text string) cloudconfig.Unit {
	const digits = "0123456789abcdef"
	n := min(l.number, 0xff) // more do not nest; the order of those is all the same
	return cloudconfig.Unit{
		Name:    string([]byte{digits[n>>4], digits[n&15]}) + "-" + l.label() + suffix,
		Runtime: true,
		Content: text,
	}
}

// check looks at what goes into units and names of files.
func (l *link) check() error {
	const maxName = 15 // of the kernel
	if l.name == "" && l.mac == "" {
		return fail(l.line, "an interface has neither name nor hardware address")
	}
	odd := func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '/' || r == ':' || r == '%'
	}
	if len(l.name) > maxName || l.name == "." || l.name == ".." || strings.ContainsFunc(l.name, odd) {
		return fail(l.line, "%q is no name of an interface", l.name)
	}
	for _, d := range l.domains {
		if d == "" || strings.ContainsFunc(d, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
			return fail(l.line, "%q is no domain", d)
		}
	}
	return nil
}

// depths are those of the links that were met.
type depths map[*link]int

// unknownYet marks a link whose own depth is being asked for.
const unknownYet = -1

// of is 0 for a link that carries nothing, and else one more than the deepest
// link on it.
func (d depths) of(l *link) (int, error) {
	if depth, ok := d[l]; ok {
		if depth == unknownYet {
			return 0, fail(l.line, "interface %q is on top of itself", l.name)
		}
		return depth, nil
	}
	d[l] = unknownYet
	depth := 0
	for _, up := range l.carries {
		n, err := d.of(up)
		if err != nil {
			return 0, err
		}
		depth = max(depth, n+1)
	}
	d[l] = depth
	return depth, nil
}

// parseMAC reads the hardware address of an Ethernet device.
func parseMAC(s string) (string, bool) {
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != 6 {
		return "", false
	}
	return mac.String(), true
}

// maskBits is the length of the prefix that a netmask in dotted form stands for.
func maskBits(mask netip.Addr) (int, bool) {
	ones, bits := net.IPMask(mask.AsSlice()).Size()
	return ones, bits > 0
}
