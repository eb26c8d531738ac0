package overlay_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/overlay"
)

// twenty is a config with exactly as many subnets as the tests have hosts.
const (
	twenty = `{"Network": "10.1.0.0/16", "SubnetMin": "10.1.1.0", "SubnetMax": "10.1.20.0", "Backend": {"Type": "alloc"}}`
	hosts  = 20
)

func TestTwentyNetworksShareTwentySubnets(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var networks []*overlay.Network
		for i := range hosts {
			n, err := overlay.NewNetwork(overlay.NetworkOptions{
				Registry:   overlay.NewRegistry(store, overlay.RegistryOptions{}),
				Backend:    func(overlay.Config) (overlay.Backend, error) { return overlay.Alloc{MTU: 1500}, nil },
				PublicIP:   netip.AddrFrom4([4]byte{10, 99, 0, byte(i)}),
				SubnetFile: filepath.Join(dir, fmt.Sprint(i)),
			})
			if err != nil {
				t.Fatal(err)
			}
			networks = append(networks, n)
			running.Go(func() {
				if err := n.Run(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("network %d ended: %v", i, err)
				}
			})
		}
		// They all wait for this.
		set(t, store, "/coreos.com/network/config", twenty)
		synctest.Wait()
		holders := map[netip.Prefix]int{}
		for i, n := range networks {
			s := n.Status()
			if s.Phase != overlay.PhaseHeld || s.Peers != hosts-1 || !s.Synced {
				t.Errorf("network %d is at %+v, want a lease and %d peers", i, s, hosts-1)
			}
			if other, taken := holders[s.Lease.Subnet]; taken {
				t.Errorf("networks %d and %d both have %v", other, i, s.Lease.Subnet)
			}
			holders[s.Lease.Subnet] = i
		}
		cancel()
		running.Wait()
	})
}

func TestConcurrentAcquiresNeverShareASubnet(t *testing.T) {
	store := newStore(t)
	set(t, store, "/coreos.com/network/config", twenty)
	cfg, err := overlay.NewRegistry(store, overlay.RegistryOptions{}).Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const late = 5 // more hosts than subnets
	results := make([]error, hosts+late)
	subnets := make([]netip.Prefix, hosts+late)
	var running sync.WaitGroup
	for i := range results {
		running.Go(func() {
			r := overlay.NewRegistry(store, overlay.RegistryOptions{})
			attrs := overlay.Attributes{PublicIP: netip.AddrFrom4([4]byte{10, 99, 0, byte(i)})}
			l, err := r.Acquire(t.Context(), cfg, attrs, netip.Prefix{})
			subnets[i], results[i] = l.Subnet, err
		})
	}
	running.Wait()
	held := map[netip.Prefix]bool{}
	refused := 0
	for i, err := range results {
		switch {
		case errors.Is(err, overlay.ErrOutOfSubnets):
			refused++
		case err != nil:
			t.Errorf("host %d: %v", i, err)
		case held[subnets[i]]:
			t.Errorf("%v was leased twice", subnets[i])
		}
		held[subnets[i]] = true
	}
	if refused != late {
		t.Errorf("%d hosts got no subnet, want %d", refused, late)
	}
}

func TestRenewAndReleaseTouchOnlyTheLeaseAsItWasRead(t *testing.T) {
	store := newStore(t)
	set(t, store, "/coreos.com/network/config", twenty)
	ctx := t.Context()
	r := overlay.NewRegistry(store, overlay.RegistryOptions{Rand: func(int) int { return 0 }})
	cfg, err := r.Config(ctx)
	if err != nil {
		t.Fatal(err)
	}
	attrs := overlay.Attributes{PublicIP: netip.MustParseAddr("10.99.0.1")}
	old, err := r.Acquire(ctx, cfg, attrs, netip.Prefix{})
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := r.Renew(ctx, old, attrs)
	if err != nil {
		t.Fatalf("Renew: %v", err)
	}
	if _, err := r.Renew(ctx, old, attrs); !errors.Is(err, overlay.ErrLeaseLost) {
		t.Errorf("Renew of a lease renewed elsewhere = %v, want %v", err, overlay.ErrLeaseLost)
	}
	if err := r.Release(ctx, old); !errors.Is(err, overlay.ErrLeaseLost) {
		t.Errorf("Release of a lease renewed elsewhere = %v, want %v", err, overlay.ErrLeaseLost)
	}
	for range 2 {
		if err := r.Release(ctx, fresh); err != nil {
			t.Errorf("Release = %v, also of what is gone", err)
		}
	}
	set(t, store, "/coreos.com/network/subnets/10.1.9.0-24", `{"PublicIP":"10.99.0.1"}`)
	reserved, err := r.Acquire(ctx, cfg, attrs, netip.Prefix{})
	if err != nil || !reserved.Reservation() {
		t.Fatalf("Acquire = %+v, %v, want the reservation", reserved, err)
	}
	if err := r.Release(ctx, reserved); err != nil {
		t.Errorf("Release of a reservation = %v", err)
	}
	if leases, err := r.Leases(ctx); err != nil || len(leases) != 1 {
		t.Errorf("Leases = %+v, %v, want the reservation to stay", leases, err)
	}
}

// newStore returns a store that is closed when the test ends.
func newStore(t *testing.T) *tree.Local {
	t.Helper()
	store, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func set(t *testing.T, store kv.Store, key, value string) {
	t.Helper()
	if _, err := store.Set(t.Context(), key, value, kv.SetOptions{}); err != nil {
		t.Fatal(err)
	}
}
