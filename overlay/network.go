package overlay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Network joins this host to an overlay network and keeps it there:
//
//	           Registry.watch (own goroutine)
//	                 | updates
//	                 v
//	timers ----> session loop ----> Backend, subnet.env
//	                 |
//	                 +----> Registry: renew, regain
//
// Run owns both goroutines; everything but the watch happens in the loop. The
// store is only written to on the way in and to renew, once per TTL.
type Network struct {
	opts NetworkOptions
	log  *slog.Logger

	mu     sync.Mutex
	status Status
}

// NetworkOptions configure a Network.
type NetworkOptions struct {
	// Registry is the network to join. Required.
	Registry *Registry
	// Backend returns the data plane for a config, by its BackendType; an error
	// ends Run. Required.
	Backend func(Config) (Backend, error)
	// PublicIP is where peers reach this host; IPv4. Required.
	PublicIP netip.Addr
	// MachineID tells this host apart from another of the same public IP.
	// Default: hosts are told apart by public IP alone, as flanneld does.
	MachineID string
	// SubnetFile is where the subnet is written for the container runtime, and
	// where the previous subnet is looked up. Default: /run/flannel/subnet.env.
	SubnetFile string
	// StateFile is a copy of SubnetFile that outlives a reboot. Default: none.
	StateFile string
	// IPMasq is passed on in SubnetFile.
	IPMasq bool
	// RenewMargin is how long before its end a lease is renewed. Default: one
	// hour.
	RenewMargin time.Duration
	// Move makes the host take another subnet when its own was lost to another
	// host. By default Run ends then: containers still have the old addresses.
	Move bool
	// Notify is called after each change of Status, from Run's goroutine.
	// Default: not at all.
	Notify func(Status)
	// Logger takes the edges of the lease's life. Default: nothing is logged.
	Logger *slog.Logger
}

// Phase is a stage in the life of a lease.
type Phase string

// The phases, in order; from PhaseHeld it goes to PhaseLost and back.
const (
	PhaseConfig  Phase = "waiting for config"
	PhaseAcquire Phase = "acquiring a lease"
	PhaseHeld    Phase = "lease held"
	PhaseLost    Phase = "lease lost"
)

// Status is what a Network has come to.
type Status struct {
	Phase Phase
	// Lease and MTU are zero before PhaseHeld. From then on SubnetFile is in
	// place.
	Lease Lease
	MTU   int // bytes
	// Peers is the number of other hosts; Synced says that the backend has
	// taken all that there were at the start.
	Peers  int
	Synced bool
}

// ErrAddressInUse says that another machine, and a live one, has our public IP.
var ErrAddressInUse = errors.New("public IP in use by two machines")

const (
	// renewRetry is how long to wait after a failed renewal.
	renewRetry = time.Minute
	// newcomer is how long after a take-over this host gives in if the former
	// holder objects.
	newcomer = 10 * time.Second
	// truce is how long after an objection another one would be a fight.
	truce = time.Hour
	// restorePause is the least time between two restorations of a lease that
	// others write without saying who they are: they may do the same.
	restorePause = time.Minute
)

// NewNetwork returns a Network that does nothing yet.
func NewNetwork(opts NetworkOptions) (*Network, error) {
	if opts.SubnetFile == "" {
		opts.SubnetFile = "/run/flannel/subnet.env"
	}
	if opts.RenewMargin == 0 {
		opts.RenewMargin = time.Hour
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case opts.Registry == nil:
		return nil, errors.New("network: Registry is missing")
	case opts.Backend == nil:
		return nil, errors.New("network: Backend is missing")
	case !opts.PublicIP.Is4():
		return nil, fmt.Errorf("network: PublicIP %v is not IPv4", opts.PublicIP)
	case opts.RenewMargin < 0 || opts.RenewMargin >= opts.Registry.opts.TTL:
		return nil, fmt.Errorf("network: RenewMargin %v is not between 0 and the leases' TTL of %v", opts.RenewMargin, opts.Registry.opts.TTL)
	}
	return &Network{opts: opts, log: opts.Logger, status: Status{Phase: PhaseConfig}}, nil
}

// Status returns what the Network has come to. It may be called at any time.
func (n *Network) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status
}

// Run joins the network and stays in it until ctx ends or the host cannot stay:
// there is no subnet left (ErrOutOfSubnets), the subnet belongs to another host
// now (ErrLeaseLost), another machine uses the public IP (ErrAddressInUse), or
// backend or subnet file fail. An unreachable store and a missing or invalid
// config are waited out. Lease, data path and subnet file are left as they are.
//
// Of two live machines with one public IP the one that came first stays: it
// writes its lease back once, and the newcomer ends.
//
// Run must be called once.
func (n *Network) Run(ctx context.Context) error {
	cfg, err := n.opts.Registry.waitConfig(ctx)
	if err != nil {
		return err
	}
	backend, err := n.opts.Backend(cfg)
	if err != nil {
		return fmt.Errorf("backend %q: %w", cfg.BackendType, err)
	}
	pub, err := backend.Prepare(ctx, cfg)
	if err != nil {
		return fmt.Errorf("backend %q: %w", cfg.BackendType, err)
	}
	attrs := Attributes{
		PublicIP: n.opts.PublicIP, MachineID: n.opts.MachineID,
		BackendType: pub.BackendType, BackendData: pub.BackendData,
	}
	previous := n.previous()
	for {
		s := &session{Network: n, cfg: cfg, backend: backend, attrs: attrs, peers: newPeers(n.log)}
		if err := s.join(ctx, previous); err != nil {
			return err
		}
		err := s.stay(ctx)
		if !errors.Is(err, ErrLeaseLost) || !n.opts.Move {
			return err
		}
		n.log.Error("moving to another subnet", "err", err)
		previous = netip.Prefix{}
	}
}

// previous returns the subnet of an earlier run; zero if there is none.
func (n *Network) previous() netip.Prefix {
	for _, path := range []string{n.opts.SubnetFile, n.opts.StateFile} {
		data, err := os.ReadFile(path)
		if path == "" || errors.Is(err, os.ErrNotExist) {
			continue
		}
		var env SubnetEnv
		if err == nil {
			env, err = ParseSubnetEnv(data)
		}
		if err == nil {
			return env.Subnet
		}
		n.log.Warn("ignoring subnet file of an earlier run", "file", path, "err", err)
	}
	return netip.Prefix{}
}

// writeSubnetFiles makes the subnet known on this host.
func (n *Network) writeSubnetFiles(env SubnetEnv) error {
	for _, path := range []string{n.opts.SubnetFile, n.opts.StateFile} {
		if path == "" {
			continue
		}
		if err := writeFile(path, env.String()); err != nil {
			return fmt.Errorf("write subnet file: %w", err)
		}
	}
	return nil
}

// set changes the status and tells of it, if it is another one then.
func (n *Network) set(change func(*Status)) {
	n.mu.Lock()
	before := n.status
	change(&n.status)
	after := n.status
	n.mu.Unlock()
	if n.opts.Notify != nil && !after.equal(before) {
		n.opts.Notify(after)
	}
}

func (s Status) equal(o Status) bool {
	return s.Phase == o.Phase && s.MTU == o.MTU && s.Peers == o.Peers && s.Synced == o.Synced &&
		s.Lease.Subnet == o.Lease.Subnet && s.Lease.index == o.Lease.index
}
