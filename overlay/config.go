package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"strings"
)

// Config is the cluster-wide network config, as [ParseConfig] makes it of the
// JSON that an operator puts at <prefix>/config. All fields are set.
type Config struct {
	// Network is what subnets are leased out of; IPv4, host bits cleared.
	Network netip.Prefix
	// SubnetLen is the prefix length of every host's subnet.
	SubnetLen int
	// SubnetMin and SubnetMax are the addresses of the first and the last
	// subnet to lease, both included.
	SubnetMin, SubnetMax netip.Addr
	// BackendType is how packets travel, in lower case: "vxlan", "host-gw",
	// "udp", "alloc". Without a Backend in the JSON it is "udp"; with one that
	// names no type it is empty, which no backend answers to.
	BackendType string
	// BackendOptions is the Backend object as it was written; nil without one.
	BackendOptions json.RawMessage
}

// defaultBackend is what a config without Backend means. It is the slowest one,
// but a cluster that runs on such a config has it.
const defaultBackend = "udp"

// maxSubnetLen is the longest prefix of a subnet that has a host in it.
const maxSubnetLen = 30

// networkConfig is the JSON form. Members match without regard to case and
// unknown ones are ignored.
type networkConfig struct {
	Network   *string
	SubnetLen uint
	SubnetMin *string
	SubnetMax *string
	Backend   json.RawMessage
}

// ParseConfig reads and checks a network config and fills in its defaults:
// SubnetLen is 24 in a network of /22 or wider and else two longer than the
// network's; SubnetMin is the second subnet of the network, SubnetMax the last.
func ParseConfig(data []byte) (Config, error) {
	var in networkConfig
	if err := json.Unmarshal(data, &in); err != nil {
		return Config{}, err
	}
	var c Config
	for _, step := range []func(*networkConfig) error{
		c.setNetwork, c.setSubnetLen, c.setRange, c.setBackend,
	} {
		if err := step(&in); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

func (c *Config) setNetwork(in *networkConfig) error {
	if in.Network == nil {
		return errors.New("Network is missing")
	}
	p, err := netip.ParsePrefix(*in.Network)
	if err != nil {
		return fmt.Errorf("invalid CIDR address: %s", *in.Network)
	}
	if !p.Addr().Is4() {
		return fmt.Errorf("Network %s is not IPv4", p)
	}
	c.Network = p.Masked()
	return nil
}

func (c *Config) setSubnetLen(in *networkConfig) error {
	bits := c.Network.Bits()
	switch {
	case in.SubnetLen > maxSubnetLen:
		return errors.New("SubnetLen must be less than /31")
	case in.SubnetLen > 0 && int(in.SubnetLen) < bits+2:
		return errors.New("Network must be able to accommodate at least four subnets")
	case in.SubnetLen > 0:
		c.SubnetLen = int(in.SubnetLen)
	case bits > maxSubnetLen-2:
		return errors.New("Network is too small. Minimum useful network prefix is /28")
	case bits <= 22:
		c.SubnetLen = 24
	default:
		c.SubnetLen = bits + 2
	}
	return nil
}

func (c *Config) setRange(in *networkConfig) error {
	first := toInt(c.Network.Addr())
	last := first + (1<<(32-c.Network.Bits()) - 1<<(32-c.SubnetLen))
	c.SubnetMin = toAddr(first + c.subnetSize())
	c.SubnetMax = toAddr(last)
	for _, limit := range []struct {
		name string
		text *string
		to   *netip.Addr
	}{
		{"SubnetMin", in.SubnetMin, &c.SubnetMin},
		{"SubnetMax", in.SubnetMax, &c.SubnetMax},
	} {
		if limit.text == nil {
			continue
		}
		addr, err := netip.ParseAddr(*limit.text)
		switch {
		case err != nil || !addr.Is4():
			return fmt.Errorf("%s is not an IPv4 address: %q", limit.name, *limit.text)
		case !c.Network.Contains(addr):
			return fmt.Errorf("%s is not in the range of the Network", limit.name)
		case netip.PrefixFrom(addr, c.SubnetLen).Masked().Addr() != addr:
			return fmt.Errorf("%s is not on a SubnetLen boundary: %s", limit.name, addr)
		}
		*limit.to = addr
	}
	if c.SubnetMax.Less(c.SubnetMin) {
		return fmt.Errorf("SubnetMin %s is above SubnetMax %s", c.SubnetMin, c.SubnetMax)
	}
	return nil
}

func (c *Config) setBackend(in *networkConfig) error {
	if len(in.Backend) == 0 || string(in.Backend) == "null" {
		c.BackendType = defaultBackend
		return nil
	}
	var backend struct{ Type string }
	if err := json.Unmarshal(in.Backend, &backend); err != nil {
		return fmt.Errorf("error decoding Backend property of config: %w", err)
	}
	c.BackendType = strings.ToLower(backend.Type)
	c.BackendOptions = in.Backend
	return nil
}

// fits reports whether the config would lease subnet.
func (c *Config) fits(subnet netip.Prefix) bool {
	return subnet.Bits() == c.SubnetLen && subnet == subnet.Masked() &&
		!subnet.Addr().Less(c.SubnetMin) && !c.SubnetMax.Less(subnet.Addr())
}

// subnets yields all subnets that the config would lease, in order.
func (c *Config) subnets() iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		last := toInt(c.SubnetMax)
		for at := toInt(c.SubnetMin); at <= last; at += c.subnetSize() {
			if !yield(netip.PrefixFrom(toAddr(at), c.SubnetLen)) {
				return
			}
		}
	}
}

// subnetSize is the number of addresses in a subnet.
func (c *Config) subnetSize() uint64 { return 1 << (32 - c.SubnetLen) }

// toInt and toAddr convert IPv4 addresses to integers, wide enough to step past
// the last address.
func toInt(a netip.Addr) uint64 {
	b := a.As4()
	return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
}

func toAddr(i uint64) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
}
