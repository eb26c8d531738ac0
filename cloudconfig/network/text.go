package network

import (
	"slices"
	"strconv"
	"strings"
)

// The texts of units, as systemd.network(5) and systemd.netdev(5) have them.

// text is a unit that is being written.
type text struct{ strings.Builder }

// section begins a section, after a blank line unless it is the first.
func (t *text) section(name string) {
	if t.Len() > 0 {
		t.WriteByte('\n')
	}
	t.WriteString("[" + name + "]\n")
}

// set writes an assignment, unless the value is empty.
func (t *text) set(name, value string) {
	if value != "" {
		t.WriteString(name + "=" + value + "\n")
	}
}

// network returns the .network unit of a link.
func (l *link) network() string {
	var t text
	t.section("Match")
	t.set("Name", l.name)
	if l.kind == physical {
		t.set("MACAddress", l.mac)
	}
	if l.setMAC != "" || l.mtu != "" {
		t.section("Link")
		t.set("MACAddress", l.setMAC)
		t.set("MTUBytes", l.mtu)
	}
	t.section("Network")
	for _, up := range l.carries {
		if up.kind == bond {
			t.set("Bond", up.name)
		} else {
			t.set("VLAN", up.name)
		}
	}
	if l.dhcp {
		t.set("DHCP", "true")
	}
	t.set("Domains", strings.Join(l.domains, " "))
	for _, a := range l.dns {
		t.set("DNS", a.String())
	}
	for _, a := range l.addresses {
		t.section("Address")
		t.set("Address", a.String())
	}
	for _, r := range l.routes {
		t.section("Route")
		t.set("Destination", r.to.String())
		t.set("Gateway", r.via.String())
	}
	return t.String()
}

// netdev returns the .netdev unit of a bond or VLAN; a physical device needs none.
func (l *link) netdev() string {
	if l.kind == physical {
		return ""
	}
	var t text
	t.section("NetDev")
	t.set("Kind", string(l.kind))
	t.set("Name", l.name)
	t.set("MACAddress", l.mac)
	if l.kind == vlan {
		t.section("VLAN")
		t.set("Id", strconv.Itoa(l.id))
		return t.String()
	}
	t.section("Bond")
	options := slices.Clone(l.bond)
	slices.SortFunc(options, func(a, b bondOption) int { return strings.Compare(a.networkd, b.networkd) })
	for _, o := range options {
		t.set(o.networkd, o.value)
	}
	return t.String()
}
