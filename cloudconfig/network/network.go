package network

import (
	"errors"
	"fmt"

	"github.com/strakeproject/strake/cloudconfig"
)

// Setup is what gives a machine its network. The zero value changes nothing.
type Setup struct {
	// Units are .netdev and .network units, all below /run.
	Units []cloudconfig.Unit
	// Down are the interfaces to take down before networkd reads the units.
	Down []string
	// Modules are the kernel modules that the units need.
	Modules []Module
}

// Module is a module of the kernel, as modprobe(8) loads it.
type Module struct {
	Name    string
	Options []string // such as "mode=4"
}

// Kind is a format that a network is described in.
type Kind string

// The kinds that Convert understands.
const (
	Debian       Kind = "debian"
	Packet       Kind = "packet"
	VMware       Kind = "vmware"
	DigitalOcean Kind = "digitalocean"
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{Debian, Packet, VMware, DigitalOcean} }

// ErrKind is what Convert returns for a kind that it does not know.
var ErrKind = errors.New("network: unknown kind of network configuration")

// Error is why a description was refused. The same one fails the same way
// again.
type Error struct {
	// Line counts from 1; 0 if the description as a whole is at fault.
	Line   int
	Reason string
}

// Error gives line and reason.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Reason
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
}

// fail makes an Error.
func fail(line int, format string, args ...any) error {
	return &Error{Line: line, Reason: fmt.Sprintf(format, args...)}
}

// Convert turns a description into a Setup. It fails with an [*Error] if the
// description cannot be understood; the Setup is then nil.
func Convert(kind Kind, data []byte) (*Setup, error) {
	var links []*link
	var err error
	switch kind {
	case Debian:
		links, err = readDebian(data)
	case Packet:
		links, err = readPacket(data)
	case VMware:
		links, err = readVMware(data)
	case DigitalOcean:
		links, err = readDigitalOcean(data)
	default:
		return nil, fmt.Errorf("%w: %q", ErrKind, string(kind))
	}
	if err != nil {
		return nil, err
	}
	return setup(links)
}
