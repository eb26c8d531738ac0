package overlay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/strakeproject/strake/kv"
)

const (
	// maxAttempts is how often Acquire reads the table anew when others were
	// faster.
	maxAttempts = 10
	// maxCandidates is how many free subnets one is picked from at random, so
	// that hosts that start together seldom reach for the same one.
	maxCandidates = 100
)

// errTaken says that the table has changed since it was read.
var errTaken = errors.New("somebody else was faster")

// Acquire leases a subnet for the host that attrs describe. In this order:
//
//  1. A subnet that the host holds already, if the config still offers it: one
//     of its public IP, or one of its machine id that is also previous. A
//     reservation comes before previous, and that before others. What the host
//     holds and the config no longer offers is given up.
//  2. The previous subnet, if nobody holds it. Pass the zero Prefix for none.
//  3. A free one, picked at random.
//
// A lease of this public IP that carries another machine id is taken over too:
// the machine may have been set up anew. If the other one is alive it objects;
// see [Network.Run].
//
// Acquire fails with ErrOutOfSubnets if nothing is free and with ErrMaxRetries
// if others were faster too often.
func (r *Registry) Acquire(ctx context.Context, cfg Config, attrs Attributes, previous netip.Prefix) (Lease, error) {
	if !attrs.PublicIP.Is4() {
		return Lease{}, fmt.Errorf("acquire subnet: public IP %v is not IPv4", attrs.PublicIP)
	}
	for range maxAttempts {
		l, err := r.tryAcquire(ctx, cfg, attrs, previous.Masked())
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, errTaken) {
			return Lease{}, fmt.Errorf("acquire subnet for %s: %w", attrs.PublicIP, err)
		}
	}
	return Lease{}, fmt.Errorf("acquire subnet for %s: %w", attrs.PublicIP, ErrMaxRetries)
}

// tryAcquire is one attempt, on one reading of the table.
func (r *Registry) tryAcquire(ctx context.Context, cfg Config, attrs Attributes, previous netip.Prefix) (Lease, error) {
	leases, _, err := r.leases(ctx)
	if err != nil {
		return Lease{}, err
	}
	claims, outdated := claimsOf(leases, cfg, attrs, previous)
	for _, l := range outdated {
		r.opts.Logger.Info("giving up a lease that the config no longer offers", "subnet", l.Subnet)
		if err := r.remove(ctx, l); err != nil {
			return Lease{}, taken(err)
		}
		leases = slices.DeleteFunc(leases, func(o Lease) bool { return o.key == l.key })
	}
	if len(claims) > 0 {
		return r.take(ctx, claims[0], attrs)
	}
	free := freeSubnets(cfg, leases)
	if previous.IsValid() {
		if cfg.fits(previous) && !overlapsAny(previous, leases) {
			return r.create(ctx, previous, attrs)
		}
		r.opts.Logger.Info("previous subnet is taken or not offered", "subnet", previous)
	}
	return r.pick(ctx, free, attrs)
}

// claimsOf returns the leases that a host may go on with, the best first, and
// those of its leases that the config does not offer.
func claimsOf(leases []Lease, cfg Config, attrs Attributes, previous netip.Prefix) (claims, outdated []Lease) {
	for _, l := range leases {
		same := l.Attributes.sameHost(attrs)
		moved := l.Subnet == previous && attrs.MachineID != "" && l.Attributes.MachineID == attrs.MachineID
		switch {
		case !same && !moved && l.Attributes.PublicIP != attrs.PublicIP:
		case cfg.fits(l.Subnet):
			claims = append(claims, l)
		case same:
			outdated = append(outdated, l)
		}
	}
	rank := func(l Lease) int {
		switch {
		case !l.Attributes.sameHost(attrs) && l.Attributes.PublicIP == attrs.PublicIP:
			return 3
		case l.Reservation():
			return 0
		case l.Subnet == previous:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(claims, func(a, b Lease) int { return cmp.Compare(rank(a), rank(b)) })
	return claims, outdated
}

// take writes attrs over a lease that the host has a claim to.
func (r *Registry) take(ctx context.Context, l Lease, attrs Attributes) (Lease, error) {
	before := l.Attributes
	l, err := r.Renew(ctx, l, attrs)
	if err != nil {
		return Lease{}, taken(err)
	}
	if !before.sameHost(attrs) && before.PublicIP == attrs.PublicIP {
		r.opts.Logger.Warn("took over the lease of another machine with this public IP", "subnet", l.Subnet, "from", before.host(), "by", attrs.host())
		l.takenOver = true
	}
	return l, nil
}

// create writes a lease that must not exist.
func (r *Registry) create(ctx context.Context, subnet netip.Prefix, attrs Attributes) (Lease, error) {
	value, err := json.Marshal(attrs)
	if err != nil {
		return Lease{}, err
	}
	ev, err := r.store.Create(ctx, r.leaseKey(subnet), string(value), kv.CreateOptions{TTL: r.opts.TTL})
	if err != nil {
		return Lease{}, taken(err)
	}
	return decodeLease(ev.Node)
}

// pick creates a lease of one of the free subnets. What others take meanwhile
// it passes over, so that it fails only if they take all.
func (r *Registry) pick(ctx context.Context, free []netip.Prefix, attrs Attributes) (Lease, error) {
	if len(free) == 0 {
		return Lease{}, ErrOutOfSubnets
	}
	for len(free) > 0 {
		i := r.opts.Rand(len(free))
		l, err := r.create(ctx, free[i], attrs)
		if !errors.Is(err, kv.ErrKeyExists) {
			return l, err
		}
		free = slices.Delete(free, i, i+1)
	}
	return Lease{}, errTaken
}

// freeSubnets returns the first subnets of the config that overlap no lease.
func freeSubnets(cfg Config, leases []Lease) []netip.Prefix {
	var free []netip.Prefix
	exact := map[netip.Prefix]bool{}
	var others []Lease // of another length: rare, but they overlap all the same
	for _, l := range leases {
		if l.Subnet.Bits() == cfg.SubnetLen {
			exact[l.Subnet] = true
		} else {
			others = append(others, l)
		}
	}
	for s := range cfg.subnets() {
		if exact[s] || overlapsAny(s, others) {
			continue
		}
		if free = append(free, s); len(free) == maxCandidates {
			break
		}
	}
	return free
}

func overlapsAny(subnet netip.Prefix, leases []Lease) bool {
	return slices.ContainsFunc(leases, func(l Lease) bool { return l.Subnet.Overlaps(subnet) })
}

// taken adds errTaken to an error after which the table has to be read again:
// somebody was faster, or it is unknown whether the write took place.
func taken(err error) error {
	for _, again := range []error{ErrLeaseLost, kv.ErrKeyExists, kv.ErrCompareFailed, kv.ErrKeyNotFound, kv.ErrOutcomeUnknown} {
		if errors.Is(err, again) {
			return fmt.Errorf("%w: %w", errTaken, err)
		}
	}
	return err
}
