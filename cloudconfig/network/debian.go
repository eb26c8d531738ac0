package network

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The format is that of interfaces(5), as ifupdown reads it, with the stanzas
// auto and iface.

// stanza is a line that begins something, with the lines of options below it.
type stanza struct {
	line    int
	words   []string
	options []option
}

// option is one line of a stanza.
type option struct {
	line   int
	name   string
	values []string
}

// first returns the first of an option's values; empty if it has none.
func (o option) first() string {
	if len(o.values) == 0 {
		return ""
	}
	return o.values[0]
}

// readStanzas takes a text apart.
func readStanzas(data []byte) ([]stanza, error) {
	var list []stanza
	for _, l := range joinLines(data) {
		words := strings.Fields(l.text)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		head := words[0]
		switch {
		case head == "auto" || head == "iface" || head == "mapping" || strings.HasPrefix(head, "allow-"):
			if head != "auto" && head != "iface" {
				return nil, fail(l.number, "unknown stanza %q", head)
			}
			list = append(list, stanza{line: l.number, words: words[1:]})
			if head == "auto" {
				list[len(list)-1].words = nil // says when, not what
			} else if len(words) != 4 {
				return nil, fail(l.number, "incorrect number of attributes")
			}
		case len(list) == 0:
			return nil, fail(l.number, "missing stanza start %q", head)
		default:
			s := &list[len(list)-1]
			s.options = append(s.options, option{l.number, head, words[1:]})
		}
	}
	return list, nil
}

// numbered is a line with the number of its first part.
type numbered struct {
	number int
	text   string
}

// joinLines splits a text into lines; a backslash at a line's end joins the next.
func joinLines(data []byte) []numbered {
	var list []numbered
	joined := false
	number := 0
	for raw := range bytes.Lines(data) {
		number++
		line := strings.TrimRight(string(raw), "\r\n")
		rest, more := strings.CutSuffix(line, `\`)
		if joined {
			list[len(list)-1].text += rest
		} else {
			list = append(list, numbered{number, rest})
		}
		joined = more
	}
	return list
}

// debian collects links by their names.
type debian struct {
	links  map[string]*link
	slaves []slave
}

// slave says that one link is a slave of another.
type slave struct {
	line         int
	name, master string
}

func readDebian(data []byte) ([]*link, error) {
	stanzas, err := readStanzas(data)
	if err != nil {
		return nil, err
	}
	d := debian{links: make(map[string]*link)}
	for _, s := range stanzas {
		if s.words == nil {
			continue
		}
		if err := d.iface(s); err != nil {
			return nil, err
		}
	}
	if err := d.connect(); err != nil {
		return nil, err
	}
	var links []*link
	for _, l := range d.links {
		links = append(links, l)
	}
	return links, nil
}

// iface reads one stanza. Stanzas of the same interface, mostly one for each
// family, add up.
func (d *debian) iface(s stanza) error {
	name, method := s.words[0], s.words[2]
	switch method {
	case "static", "dhcp", "manual":
	case "loopback":
		return nil
	default:
		return fail(s.line, "invalid config method %q", method)
	}
	l := d.link(name, s.line)
	if err := d.kind(l, s); err != nil {
		return err
	}
	l.dhcp = l.dhcp || method == "dhcp"
	if method == "static" {
		if err := l.static(s); err != nil {
			return err
		}
	}
	for _, o := range s.options {
		if err := l.option(o); err != nil {
			return err
		}
	}
	return nil
}

// link returns the link of a name, which is physical unless a stanza says else.
func (d *debian) link(name string, line int) *link {
	l := d.links[name]
	if l == nil {
		l = &link{name: name, line: line}
		d.links[name] = l
	}
	return l
}

// kind finds out what kind of device a stanza is about.
func (d *debian) kind(l *link, s stanza) error {
	for _, o := range s.options {
		switch o.name {
		case "vlan_raw_device", "vlan-raw-device":
			l.kind, l.raw = vlan, o.first()
		case "bond-slaves", "bond_slaves", "slaves":
			l.kind = bond
			for _, name := range o.values {
				if name != "none" {
					d.slaves = append(d.slaves, slave{o.line, name, l.name})
				}
			}
		case "bond-master", "bond_master":
			d.slaves = append(d.slaves, slave{o.line, l.name, o.first()})
		}
	}
	raw, tail, dotted := strings.Cut(l.name, ".")
	if !dotted && l.kind != vlan {
		return nil
	}
	if dotted {
		l.kind, l.raw = vlan, cmp.Or(l.raw, raw)
	} else {
		tail = strings.TrimPrefix(l.name, "vlan")
	}
	const last = 4094
	id, err := strconv.ParseUint(tail, 10, 12)
	if err != nil || id > last || l.raw == "" {
		return fail(s.line, "malformed vlan name %q", l.name)
	}
	l.id = int(id)
	return nil
}

// connect puts bonds on their slaves and VLANs on their devices, and makes the
// devices that no stanza names.
func (d *debian) connect() error {
	for _, s := range d.slaves {
		l, master := d.link(s.name, s.line), d.link(s.master, s.line)
		if master.kind == vlan {
			return fail(s.line, "%q is a VLAN and has no slaves", s.master)
		}
		master.kind = bond
		if !slices.Contains(l.carries, master) {
			l.carries = append(l.carries, master)
		}
	}
	var vlans []*link
	for _, l := range d.links {
		if l.kind == vlan {
			vlans = append(vlans, l)
		}
	}
	for _, l := range vlans {
		raw := d.link(l.raw, l.line)
		raw.carries = append(raw.carries, l)
	}
	for _, l := range d.links {
		slices.SortFunc(l.carries, func(a, b *link) int { return strings.Compare(a.name, b.name) })
		if l.kind == physical { // the address it shall have is not the one to find it by
			l.setMAC, l.mac = l.mac, ""
		}
	}
	return nil
}

// static reads the address that a static stanza must have.
func (l *link) static(s stanza) error {
	bad := func(line int, why string) error {
		return fail(line, "malformed static network config for %q: %s", l.name, why)
	}
	var address, mask option
	for _, o := range s.options {
		switch o.name {
		case "address":
			address = o
		case "netmask":
			mask = o
		}
	}
	if address.first() == "" {
		return bad(s.line, "it has no address")
	}
	if prefix, err := netip.ParsePrefix(address.first()); err == nil {
		l.addresses = append(l.addresses, prefix)
		return nil
	}
	addr, err := netip.ParseAddr(address.first())
	if err != nil || addr.Zone() != "" {
		return bad(address.line, strconv.Quote(address.first())+" is no address")
	}
	if mask.first() == "" {
		return bad(s.line, "it has no netmask")
	}
	bits, ok := parseMask(mask.first(), addr)
	if !ok {
		return bad(mask.line, strconv.Quote(mask.first())+" is no netmask")
	}
	l.addresses = append(l.addresses, netip.PrefixFrom(addr, bits))
	return nil
}

// parseMask reads a netmask for addresses like like: dotted, or the prefix's length.
func parseMask(s string, like netip.Addr) (int, bool) {
	if n, err := strconv.ParseUint(s, 10, 8); err == nil && int(n) <= like.BitLen() {
		return int(n), true
	}
	mask, err := netip.ParseAddr(s)
	if err != nil || mask.BitLen() != like.BitLen() {
		return 0, false
	}
	return maskBits(mask)
}

// option reads the options that any stanza can have.
func (l *link) option(o option) error {
	switch o.name {
	case "gateway":
		addr, err := netip.ParseAddr(o.first())
		if err != nil || addr.Zone() != "" {
			return fail(o.line, "gateway %q is no address", o.first())
		}
		l.routes = append(l.routes, defaultRoute(addr))
	case "dns-nameservers":
		for _, s := range o.values {
			addr, err := netip.ParseAddr(s)
			if err != nil {
				return fail(o.line, "name server %q is no address", s)
			}
			l.dns = append(l.dns, addr)
		}
	case "dns-search":
		l.domains = append(l.domains, o.values...)
	case "hwaddress":
		mac, ok := "", false
		if len(o.values) > 0 {
			mac, ok = parseMAC(o.values[len(o.values)-1])
		}
		if !ok {
			return fail(o.line, "hwaddress %q is no hardware address", strings.Join(o.values, " "))
		}
		l.mac = mac
	case "mtu":
		if _, err := strconv.ParseUint(o.first(), 10, 31); err != nil {
			return fail(o.line, "mtu %q is no number", o.first())
		}
		l.mtu = o.first()
	case "post-up", "up":
		r, ok, err := readRoute(o)
		if err != nil {
			return err
		}
		if ok {
			l.routes = append(l.routes, r)
		}
	default:
		return l.bondOption(o)
	}
	return nil
}

// bondOption reads an option of a bond.
func (l *link) bondOption(o option) error {
	name, ok := strings.CutPrefix(strings.Replace(o.name, "bond_", "bond-", 1), "bond-")
	if !ok {
		return nil
	}
	b, known, err := newBondOption(name, o.first())
	if e, ok := err.(*Error); ok {
		e.Line = o.line
		return e
	}
	if known {
		l.bond = slices.DeleteFunc(l.bond, func(old bondOption) bool { return old.networkd == b.networkd })
		l.bond = append(l.bond, b)
	}
	return nil
}

// readRoute reads the command "route add -net NET netmask MASK gw GATEWAY". Of
// other commands it returns false.
func readRoute(o option) (r route, ok bool, err error) {
	words := o.values
	if len(words) < 2 || words[0] != "route" && words[0] != "/sbin/route" || words[1] != "add" {
		return r, false, nil
	}
	var to, mask, via string
	for i := 2; i+1 < len(words); i++ {
		switch words[i] {
		case "-net":
			to = words[i+1]
		case "netmask":
			mask = words[i+1]
		case "gw":
			via = words[i+1]
		}
	}
	if to == "" || via == "" {
		return r, false, nil
	}
	if r.via, err = netip.ParseAddr(via); err != nil || r.via.Zone() != "" {
		return r, false, fail(o.line, "gateway %q is no address", via)
	}
	if r.to, err = netip.ParsePrefix(to); err == nil {
		return r, true, nil
	}
	addr, err := netip.ParseAddr(to)
	if err != nil || addr.Zone() != "" {
		return r, false, fail(o.line, "%q is no network", to)
	}
	bits, good := parseMask(mask, addr)
	if !good {
		return r, false, fail(o.line, "%q is no netmask", mask)
	}
	r.to = netip.PrefixFrom(addr, bits)
	return r, true, nil
}
