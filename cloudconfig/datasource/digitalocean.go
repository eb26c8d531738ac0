package datasource

import (
	"context"

	"github.com/strakeproject/strake/cloudconfig"
)

// DigitalOcean is the metadata service of DigitalOcean, at
// http://169.254.169.254/ unless another base URL is given. Its network is in
// FormatDigitalOcean.
func DigitalOcean(c *Client, base string) Source {
	return digitalOcean{newService(c, base, linkLocal, nil)}
}

type digitalOcean struct{ service }

func (digitalOcean) Type() string { return "digitalocean-metadata-service" }

func (d digitalOcean) Available(ctx context.Context) error { return d.look(ctx, "metadata/v1") }

func (d digitalOcean) UserData(ctx context.Context) ([]byte, error) {
	return d.get(ctx, "metadata/v1/user-data", maxUserData)
}

func (d digitalOcean) Metadata(ctx context.Context) (*Metadata, error) {
	data, err := d.get(ctx, "metadata/v1.json", maxMetadata)
	if err != nil {
		return nil, err
	}
	var droplet struct {
		Hostname   string   `json:"hostname"`
		PublicKeys []string `json:"public_keys"`
		Interfaces struct {
			Public  []dropletInterface `json:"public"`
			Private []dropletInterface `json:"private"`
		} `json:"interfaces"`
	}
	if err := decodeJSON("metadata/v1.json", data, &droplet); err != nil {
		return nil, err
	}
	m := &Metadata{Hostname: droplet.Hostname}
	if len(droplet.Interfaces.Public)+len(droplet.Interfaces.Private) > 0 {
		m.Network = Network{Format: FormatDigitalOcean, Data: data}
	}
	for _, key := range droplet.PublicKeys {
		m.SSHKeys = addKey(m.SSHKeys, key)
	}
	// The first interface of each kind is the machine's own; others are extras.
	if list := droplet.Interfaces.Public; len(list) > 0 {
		a, err := list[0].addresses("interfaces.public[0]")
		if err != nil {
			return nil, err
		}
		m.Addresses.PublicIPv4, m.Addresses.PublicIPv6 = a.PublicIPv4, a.PublicIPv6
	}
	if list := droplet.Interfaces.Private; len(list) > 0 {
		a, err := list[0].addresses("interfaces.private[0]")
		if err != nil {
			return nil, err
		}
		m.Addresses.PrivateIPv4, m.Addresses.PrivateIPv6 = a.PublicIPv4, a.PublicIPv6
	}
	return m, nil
}

type dropletInterface struct {
	IPv4 dropletAddress `json:"ipv4"`
	IPv6 dropletAddress `json:"ipv6"`
}

type dropletAddress struct {
	IPAddress string `json:"ip_address"`
}

// addresses returns those of the interface as public ones.
func (i dropletInterface) addresses(field string) (a cloudconfig.Addresses, err error) {
	if a.PublicIPv4, err = parseAddr(field+".ipv4.ip_address", i.IPv4.IPAddress); err != nil {
		return a, err
	}
	a.PublicIPv6, err = parseAddr(field+".ipv6.ip_address", i.IPv6.IPAddress)
	return a, err
}
