package overlay

import (
	"context"
	"encoding/json"
)

// Backend is a data plane: it makes packets for other hosts' subnets travel.
// [Network] calls it from one goroutine, never two methods at once, in this
// order:
//
//	Prepare -> Configure -> SetPeers -> any of AddPeer, RemovePeer, SetPeers
//
// and Configure again if the host has to move to another subnet. A backend owns
// what it puts into the kernel, leaves it there when the program ends, so that
// traffic goes on over a restart, and has no goroutine that outlives ctx.
//
// Configure, SetPeers, AddPeer and RemovePeer must be idempotent: a renewed
// lease is reported again, and after an error the same call or SetPeers comes
// later. A peer that can never be reached, because its data make no sense, is
// to be logged and left out, not to be an error.
type Backend interface {
	// Prepare sets up what does not depend on the lease and returns what peers
	// have to know to send here.
	Prepare(ctx context.Context, cfg Config) (Publication, error)
	// Configure takes the host's own lease and returns the MTU, in bytes, that
	// containers have to use.
	Configure(ctx context.Context, own Lease) (mtu int, err error)
	// SetPeers makes these the only peers, and removes what an earlier run left.
	SetPeers(ctx context.Context, peers []Lease) error
	// AddPeer adds a peer, or changes the one of that subnet.
	AddPeer(ctx context.Context, peer Lease) error
	// RemovePeer removes a peer, given as it was last added.
	RemovePeer(ctx context.Context, peer Lease) error
}

// Publication is a backend's part of a lease.
type Publication struct {
	BackendType string          // empty for backends that need no data
	BackendData json.RawMessage // JSON; nil if peers need nothing beyond the public IP
}

// Alloc is the backend "alloc": it leases a subnet and moves no packet. MTU is
// that of the interface which carries traffic between hosts.
type Alloc struct{ MTU int }

var _ Backend = Alloc{}

// Prepare publishes nothing.
func (Alloc) Prepare(context.Context, Config) (Publication, error) { return Publication{}, nil }

// Configure returns the interface's MTU.
func (a Alloc) Configure(context.Context, Lease) (int, error) { return a.MTU, nil }

// SetPeers does nothing.
func (Alloc) SetPeers(context.Context, []Lease) error { return nil }

// AddPeer does nothing.
func (Alloc) AddPeer(context.Context, Lease) error { return nil }

// RemovePeer does nothing.
func (Alloc) RemovePeer(context.Context, Lease) error { return nil }
