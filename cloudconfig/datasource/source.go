package datasource

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/strakeproject/strake/cloudconfig"
)

// Source is a place where user-data and meta-data may be found.
type Source interface {
	// Type is the kind of source in a word, as logs have it, such as
	// "ec2-metadata-service".
	Type() string
	// Available looks once whether the source is there, and returns nil if it is.
	// An error that wraps [ErrNever] says that waiting is of no use.
	Available(ctx context.Context) error
	// UserData returns the user-data as it is stored, none if the source is there
	// and has none.
	UserData(ctx context.Context) ([]byte, error)
	// Metadata returns what the source knows of the machine. It is not nil unless
	// there is an error.
	Metadata(ctx context.Context) (*Metadata, error)
}

// ErrNever is wrapped by errors of Source.Available which say that the source
// will not come up while this machine runs: a file that is not there, or another
// maker's hardware.
var ErrNever = errors.New("not on this machine")

// Metadata is a platform's word about a machine. The zero value is a platform
// that says nothing.
type Metadata struct {
	Hostname  string
	Addresses cloudconfig.Addresses
	// SSHKeys are for the user core, in the order of their names or numbers.
	SSHKeys []string
	// Network is how the machine's interfaces are to be set up; mostly empty.
	Network Network
}

// Network is a description of interfaces in one of the formats that platforms
// have.
type Network struct {
	// Format is empty if there is no description.
	Format Format
	// Data is the description, as the platform wrote it.
	Data []byte
}

// Format is how a network is described, in the words of the option
// -convert-netconf and of package network.
type Format string

// The formats of networks.
const (
	FormatDebian Format = "debian" // the text of /etc/network/interfaces
	FormatPacket Format = "packet" // the JSON object "network" of the meta-data
	// FormatDigitalOcean is the JSON document metadata/v1.json.
	FormatDigitalOcean Format = "digitalocean"
	// FormatVMware is a JSON object of texts: keys such as interface.0.name,
	// interface.0.ip.0.address, interface.0.route.0.gateway, dns.server.0 and
	// dns.domain.0, without the prefix guestinfo, those that have a value.
	FormatVMware Format = "vmware"
)

// Config returns name and keys as a configuration, to be merged after that of the
// user: see [cloudconfig.Merge].
func (m *Metadata) Config() *cloudconfig.Config {
	return &cloudconfig.Config{Hostname: m.Hostname, SSHAuthorizedKeys: m.SSHKeys}
}

// never is an error that wraps ErrNever.
func never(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrNever, fmt.Errorf(format, args...))
}

// parseAddr reads the address in a field of the meta-data. None is none.
func parseAddr(field, text string) (netip.Addr, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%s: %w", field, err)
	}
	// A zone may be any text, and means nothing to another machine.
	if addr.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%s: %q is an address of one link", field, text)
	}
	return addr.Unmap(), nil
}

// addKey adds a key to a list unless there is nothing in it.
func addKey(keys []string, key string) []string {
	if key = strings.TrimSpace(key); key != "" {
		keys = append(keys, key)
	}
	return keys
}
