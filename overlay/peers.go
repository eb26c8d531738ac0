package overlay

import (
	"log/slog"
	"maps"
	"net/netip"
	"slices"
)

// peers is the table of the other hosts as this one sees it: pure, fed with
// table updates, it says what a backend has to do.
type peers struct {
	own    Lease // never a peer
	leases map[netip.Prefix]Lease
	// foreign are the subnets of other backends, complained of once.
	foreign map[netip.Prefix]bool
	log     *slog.Logger
}

func newPeers(log *slog.Logger) *peers {
	return &peers{leases: map[netip.Prefix]Lease{}, foreign: map[netip.Prefix]bool{}, log: log}
}

// changes is what a backend has to do for an update.
type changes struct{ add, remove []Lease }

// update takes an update and returns what it changes. Renewals change nothing;
// a peer that changed in any attribute is added again.
func (p *peers) update(u tableUpdate) changes {
	var c changes
	seen := map[netip.Prefix]bool{}
	for _, l := range u.Leases {
		seen[l.Subnet] = true
		p.put(l, &c)
	}
	if u.Removed.IsValid() {
		p.drop(u.Removed, &c)
	}
	if u.Reset {
		for _, subnet := range p.subnets() {
			if !seen[subnet] {
				p.drop(subnet, &c)
			}
		}
	}
	return c
}

// put takes a lease that exists.
func (p *peers) put(l Lease, c *changes) {
	old, known := p.leases[l.Subnet]
	switch {
	case !l.Attributes.known():
		// Somebody garbled the key: the host behind it is the same as before
		// and will write it anew.
	case !p.isPeer(l):
		p.forget(l.Subnet, c)
	case known && old.Attributes.equal(l.Attributes):
		p.leases[l.Subnet] = l
	default:
		p.leases[l.Subnet] = l
		c.add = append(c.add, l)
	}
}

// drop takes a lease that has ended.
func (p *peers) drop(subnet netip.Prefix, c *changes) {
	delete(p.foreign, subnet)
	p.forget(subnet, c)
}

// forget takes a lease that is no peer, whether or not it was one.
func (p *peers) forget(subnet netip.Prefix, c *changes) {
	if l, ok := p.leases[subnet]; ok {
		delete(p.leases, subnet)
		c.remove = append(c.remove, l)
	}
}

// isPeer reports whether packets for l's subnet have to travel to another host
// by our backend.
func (p *peers) isPeer(l Lease) bool {
	own := p.own.Attributes
	switch {
	case l.Subnet == p.own.Subnet, l.Attributes.PublicIP == own.PublicIP:
		return false
	case l.Attributes.BackendType != own.BackendType:
		if !p.foreign[l.Subnet] {
			p.log.Warn("ignoring peer of another backend", "subnet", l.Subnet, "peer", l.Attributes.PublicIP,
				"backend", l.Attributes.BackendType, "own", own.BackendType)
		}
		p.foreign[l.Subnet] = true
		return false
	}
	delete(p.foreign, l.Subnet)
	return true
}

// all returns the peers, ordered by subnet.
func (p *peers) all() []Lease {
	var all []Lease
	for _, subnet := range p.subnets() {
		all = append(all, p.leases[subnet])
	}
	return all
}

func (p *peers) subnets() []netip.Prefix {
	return slices.SortedFunc(maps.Keys(p.leases), netip.Prefix.Compare)
}
