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
		if err := list[0].addresses("interfaces.public[0]", &m.Addresses, setPublic); err != nil {
			return nil, err
		}
	}
	if list := droplet.Interfaces.Private; len(list) > 0 {
		if err := list[0].addresses("interfaces.private[0]", &m.Addresses, setPrivate); err != nil {
			return nil, err
		}
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

// addresses puts those of the interface in their places.
func (i dropletInterface) addresses(field string, a *cloudconfig.Addresses, set setter) error {
	for _, v := range [][2]string{{"ipv4", i.IPv4.IPAddress}, {"ipv6", i.IPv6.IPAddress}} {
		addr, err := parseAddr(field+"."+v[0]+".ip_address", v[1])
		if err != nil {
			return err
		}
		set(a, addr)
	}
	return nil
}
