package overlay_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/overlay"
)

// A host joins a network, and learns of another host's lease.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store, err := tree.NewLocal()
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	dir, err := os.MkdirTemp("", "overlay")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	for key, value := range map[string]string{
		"config":               `{ "Network": "10.1.0.0/16", "Backend": {"Type": "alloc"} }`,
		"subnets/10.1.80.0-24": `{"PublicIP":"192.0.2.80"}`,
	} {
		if _, err := store.Set(ctx, "/coreos.com/network/"+key, value, kv.SetOptions{}); err != nil {
			log.Fatal(err)
		}
	}

	synced := make(chan overlay.Status)
	network, err := overlay.NewNetwork(overlay.NetworkOptions{
		Registry:   overlay.NewRegistry(store, overlay.RegistryOptions{Rand: func(int) int { return 0 }}),
		Backend:    func(overlay.Config) (overlay.Backend, error) { return overlay.Alloc{MTU: 1500}, nil },
		PublicIP:   netip.MustParseAddr("192.0.2.1"),
		SubnetFile: filepath.Join(dir, "subnet.env"),
		Notify: func(s overlay.Status) {
			if s.Synced {
				synced <- s
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- network.Run(ctx) }()

	s := <-synced
	fmt.Println(s.Phase, s.Lease.Subnet, "peers:", s.Peers)
	env, err := os.ReadFile(filepath.Join(dir, "subnet.env"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(env))

	cancel()
	fmt.Println(<-ended)
	// Output:
	// lease held 10.1.1.0/24 peers: 1
	// FLANNEL_NETWORK=10.1.0.0/16
	// FLANNEL_SUBNET=10.1.1.1/24
	// FLANNEL_MTU=1500
	// FLANNEL_IPMASQ=false
	// context canceled
}
