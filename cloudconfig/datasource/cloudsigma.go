package datasource

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/strakeproject/strake/cloudconfig"
)

// CloudSigmaOptions are how a machine asks for its server context. The zero value
// is right for a machine.
type CloudSigmaOptions struct {
	// Root is the root directory of the machine whose hardware and DHCP leases
	// are looked at, / by default.
	Root string
	// Open opens the serial port, /dev/ttyS1 by default. Closing the port must
	// end a read.
	Open func() (io.ReadWriteCloser, error)
	// Private returns the addresses of the machine's interface with a hardware
	// address. It asks the kernel by default.
	Private func(mac net.HardwareAddr) ([]netip.Addr, error)
}

// CloudSigma is the server context that CloudSigma hands out over a serial port.
// It is there on CloudSigma's hardware once systemd-networkd has a DHCP lease.
// The private address, which the context does not name, is that of the machine's
// interface in a VLAN.
func CloudSigma(o CloudSigmaOptions) Source {
	o.Root = cmp.Or(o.Root, "/")
	if o.Open == nil {
		o.Open = func() (io.ReadWriteCloser, error) { return openSerial("/dev/ttyS1") }
	}
	if o.Private == nil {
		o.Private = addressesOf
	}
	return cloudSigma{o}
}

type cloudSigma struct{ CloudSigmaOptions }

func (cloudSigma) Type() string { return "server-context" }

func (c cloudSigma) Available(context.Context) error {
	product, err := readBelow(c.Root, "sys/class/dmi/id/product_name", maxMetadata)
	if err != nil {
		return never("%w", err)
	}
	if !strings.HasPrefix(string(product), "CloudSigma") {
		return never("the hardware is %q", strings.TrimSpace(string(product)))
	}
	leases, err := listBelow(c.Root, "run/systemd/netif/leases")
	if err != nil {
		return err
	}
	if len(leases) == 0 {
		return errors.New("no DHCP lease")
	}
	return nil
}

func (c cloudSigma) UserData(ctx context.Context) ([]byte, error) {
	const key = "cloudinit-user-data"
	server, err := c.read(ctx)
	if err != nil {
		return nil, err
	}
	data := server.Meta[key]
	fields := strings.Split(server.Meta["base64_fields"], ",")
	if !slices.ContainsFunc(fields, func(f string) bool { return strings.TrimSpace(f) == key }) {
		return []byte(data), nil
	}
	raw, err := unbase64(data)
	if err != nil {
		return nil, fmt.Errorf("server context: meta.%s: %w", key, err)
	}
	return raw, nil
}

func (c cloudSigma) Metadata(ctx context.Context) (*Metadata, error) {
	server, err := c.read(ctx)
	if err != nil {
		return nil, err
	}
	m := &Metadata{Hostname: cmp.Or(server.Name, server.UUID)}
	m.SSHKeys = addKey(nil, server.Meta["ssh_public_key"])
	for i, nic := range server.NICs {
		if err := c.addresses(nic, &m.Addresses); err != nil {
			return nil, fmt.Errorf("server context: nics[%d]: %w", i, err)
		}
	}
	return m, nil
}

// serverContext is what is needed of the server context.
type serverContext struct {
	Name string            `json:"name"`
	UUID string            `json:"uuid"`
	Meta map[string]string `json:"meta"`
	NICs []sigmaNIC        `json:"nics"`
}

type sigmaNIC struct {
	MAC  string       `json:"mac"`
	IPv4 sigmaAddress `json:"ip_v4_conf"`
	IPv6 sigmaAddress `json:"ip_v6_conf"`
	VLAN struct {
		UUID string `json:"uuid"`
	} `json:"vlan"`
}

// sigmaAddress names an address by calling it the id of itself.
type sigmaAddress struct {
	IP struct {
		UUID string `json:"uuid"`
	} `json:"ip"`
}

// addresses adds those of an interface.
func (c cloudSigma) addresses(nic sigmaNIC, a *cloudconfig.Addresses) error {
	for _, conf := range []sigmaAddress{nic.IPv4, nic.IPv6} {
		addr, err := parseAddr("address", conf.IP.UUID)
		if err != nil {
			return err
		}
		setPublic(a, addr)
	}
	if nic.VLAN.UUID == "" {
		return nil
	}
	mac, err := net.ParseMAC(nic.MAC)
	if err != nil {
		return err
	}
	list, err := c.Private(mac)
	if err != nil {
		return err
	}
	for _, addr := range list {
		if !addr.IsLinkLocalUnicast() {
			setPrivate(a, addr)
		}
	}
	return nil
}

// addressesOf asks the kernel.
func addressesOf(mac net.HardwareAddr) ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var list []netip.Addr
	for _, i := range interfaces {
		if !bytes.Equal(i.HardwareAddr, mac) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				list = append(list, prefix.Addr())
			}
		}
	}
	return list, nil
}

// The protocol: ask for everything, and read up to an end of transmission.
const (
	sigmaQuestion = "<\n\n>"
	sigmaEnd      = '\x04'
)

// read asks for the server context.
func (c cloudSigma) read(ctx context.Context) (*serverContext, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	port, err := c.Open()
	if err != nil {
		return nil, fmt.Errorf("server context: %w", err)
	}
	// Whichever is first closes the port: the end of time, or ours.
	release := context.AfterFunc(ctx, func() { _ = port.Close() })
	answer, err := ask(port)
	if release() {
		err = errors.Join(err, port.Close())
	} else {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("server context: %w", err)
	}
	server := &serverContext{}
	if err := json.Unmarshal(answer, server); err != nil {
		return nil, fmt.Errorf("server context: %w", err)
	}
	return server, nil
}

// ask puts the question and returns the answer without its end.
func ask(port io.ReadWriter) ([]byte, error) {
	if _, err := io.WriteString(port, sigmaQuestion); err != nil {
		return nil, err
	}
	var answer []byte
	chunk := make([]byte, 4<<10)
	for {
		n, err := port.Read(chunk)
		if end := bytes.IndexByte(chunk[:n], sigmaEnd); end >= 0 {
			return append(answer, chunk[:end]...), nil
		}
		answer = append(answer, chunk[:n]...)
		if len(answer) > maxUserData {
			return nil, errLarge
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
}
