//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"time"
)

// ErrNotRoot is what New returns to other users.
var ErrNotRoot = errors.New("netlab: network namespaces need root")

// Network is what its hosts are connected to. All methods are safe for
// concurrent use.
//
// Each host's only interface is a tun device, of which the Network holds the
// other end:
//
//	process --IP packet--> tun of its host --> carry --> tun of another host --> process
//
// One goroutine per host reads and carries; it ends when Close closes the
// device. A packet that is delayed waits in a timer.
type Network struct {
	mu    sync.RWMutex
	hosts map[netip.Addr]*Host
	links map[direction]Link
	rand  *rand.Rand // used with mu held for writing
	tasks sync.WaitGroup
}

type direction struct{ from, to *Host }

// Link is what becomes of packets in one direction. The zero value delivers
// all of them at once.
type Link struct {
	// Cut loses all packets, silently.
	Cut bool
	// Loss is the share of packets that is lost, 0 to 1.
	Loss float64
	// Delay is added to each packet, and up to Jitter more at random, so that
	// packets overtake each other.
	Delay, Jitter time.Duration
}

// prefix is the network of every Network: they do not see each other.
var prefix = netip.MustParsePrefix("10.77.0.0/24")

// New returns a network without hosts. The seed decides which packets a link
// loses.
func New(seed uint64) (*Network, error) {
	if os.Geteuid() != 0 {
		return nil, ErrNotRoot
	}
	return &Network{
		hosts: make(map[netip.Addr]*Host),
		links: make(map[direction]Link),
		rand:  rand.New(rand.NewPCG(seed, 0)),
	}, nil
}

// AddHost adds a host. The name is for error messages.
func (n *Network) AddHost(name string) (*Host, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	addr := prefix.Addr()
	for range len(n.hosts) + 1 {
		addr = addr.Next()
	}
	if !prefix.Contains(addr.Next()) {
		return nil, fmt.Errorf("netlab: no address left for host %s", name)
	}
	h, err := newHost(name, addr)
	if err != nil {
		return nil, fmt.Errorf("netlab: host %s: %w", name, err)
	}
	n.hosts[addr] = h
	n.tasks.Go(func() { n.read(h) })
	return h, nil
}

// Set says what becomes of packets from one host to another; the way back is
// not affected.
func (n *Network) Set(from, to *Host, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links[direction{from, to}] = l
}

// SetBoth is Set in both directions.
func (n *Network) SetBoth(a, b *Host, l Link) {
	n.Set(a, b, l)
	n.Set(b, a, l)
}

// Heal makes all links deliver everything at once again.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.links)
}

// Close kills all processes on the hosts, waits for them, and takes the network
// down.
func (n *Network) Close() {
	n.mu.Lock()
	hosts := n.hosts
	n.hosts = make(map[netip.Addr]*Host)
	n.mu.Unlock()
	for _, h := range hosts {
		h.close()
	}
	n.tasks.Wait()
}

// maxPacket is more than a tun device's default MTU.
const maxPacket = 4 << 10

func (n *Network) read(h *Host) {
	buf := make([]byte, maxPacket)
	for {
		size, err := h.tun.Read(buf)
		if err != nil {
			return // closed
		}
		n.carry(h, buf[:size])
	}
}

// carry brings a packet to the host that it is addressed to.
func (n *Network) carry(from *Host, packet []byte) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return // the kernel tries IPv6 on every interface
	}
	to, _ := netip.AddrFromSlice(packet[16:20])
	n.mu.RLock()
	h := n.hosts[to]
	link := n.links[direction{from, h}]
	n.mu.RUnlock()
	if h == nil || link.Cut {
		return
	}
	delay := link.Delay
	if link.Loss > 0 || link.Jitter > 0 {
		n.mu.Lock()
		lost := n.rand.Float64() < link.Loss
		delay += time.Duration(n.rand.Int64N(int64(link.Jitter) + 1))
		n.mu.Unlock()
		if lost {
			return
		}
	}
	if delay == 0 {
		_, _ = h.tun.Write(packet) // a network promises nothing
		return
	}
	late := append([]byte(nil), packet...)
	time.AfterFunc(delay, func() { _, _ = h.tun.Write(late) })
}
