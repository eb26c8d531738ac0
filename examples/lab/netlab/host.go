//go:build linux

package netlab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// Host is a network namespace. It has no name in the system: it lasts as long
// as ns is open or a process is in it.
type Host struct {
	name string
	addr netip.Addr
	tun  *os.File
	ns   *os.File

	mu        sync.Mutex
	closed    bool
	processes []*Process // all that were started
}

// newHost makes the namespace and its device.
func newHost(name string, addr netip.Addr) (*Host, error) {
	h := &Host{name: name, addr: addr}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("new network namespace: %w", err)
		}
		return h.setUp()
	})
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// onThread runs f on a thread that ends with it, so that f may change what
// belongs to the thread. Processes that f starts end with the thread, if they
// ask for it.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock
		done <- f()
	}()
	return <-done
}

// inside runs f on a thread inside the host.
func (h *Host) inside(f func() error) error {
	return onThread(func() error {
		if err := h.enter(); err != nil {
			return err
		}
		return f()
	})
}

// enter moves the calling thread into the host.
func (h *Host) enter() error {
	if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("netlab: enter host %s: %w", h.name, err)
	}
	return nil
}

// setUp runs on a thread inside the host.
func (h *Host) setUp() (err error) {
	if h.ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	const device = "/dev/net/tun"
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	ifr, err := unix.NewIfreq("eth0")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		_ = unix.Close(fd) // what failed is told already
		return fmt.Errorf("make tun device: %w", err)
	}
	h.tun = os.NewFile(uintptr(fd), device)
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	mask := net.CIDRMask(prefix.Bits(), 32)
	for _, step := range []func() error{
		func() error { return setAddr(s, unix.SIOCSIFADDR, h.addr.AsSlice()) },
		func() error { return setAddr(s, unix.SIOCSIFNETMASK, mask) },
		func() error { return setUp(s, "eth0") },
		func() error { return setUp(s, "lo") },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("configure interface: %w", err)
		}
	}
	return nil
}

func setAddr(socket int, request uint, addr []byte) error {
	ifr, err := unix.NewIfreq("eth0")
	if err != nil {
		return err
	}
	if err := ifr.SetInet4Addr(addr); err != nil {
		return err
	}
	return unix.IoctlIfreq(socket, request, ifr)
}

func setUp(socket int, name string) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, ifr)
}

// Addr returns the host's address.
func (h *Host) Addr() netip.Addr { return h.addr }

// DialContext connects from this host. Addresses are numeric.
func (h *Host) DialContext(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = h.inside(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Listen listens on this host.
func (h *Host) Listen(ctx context.Context, network, addr string) (l net.Listener, err error) {
	err = h.inside(func() error {
		l, err = new(net.ListenConfig).Listen(ctx, network, addr)
		return err
	})
	return l, err
}

func (h *Host) close() {
	h.mu.Lock()
	h.closed = true
	processes := h.processes
	h.mu.Unlock()
	for _, p := range processes {
		p.Kill()
	}
	for _, f := range []*os.File{h.tun, h.ns} {
		if f != nil {
			f.Close()
		}
	}
}
