package datasource

import (
	"context"
	"encoding/json"
	"fmt"
)

// Packet is the metadata service of Packet, at https://metadata.packet.net/
// unless another base URL is given. Its network is in FormatPacket.
func Packet(c *Client, base string) Source {
	return packet{newService(c, base, "https://metadata.packet.net/", nil)}
}

type packet struct{ service }

func (packet) Type() string { return "packet-metadata-service" }

func (p packet) Available(ctx context.Context) error { return p.look(ctx, "") }

func (p packet) UserData(ctx context.Context) ([]byte, error) {
	return p.get(ctx, "userdata", maxUserData)
}

func (p packet) Metadata(ctx context.Context) (*Metadata, error) {
	data, err := p.get(ctx, "metadata", maxMetadata)
	if err != nil {
		return nil, err
	}
	var device struct {
		Hostname string          `json:"hostname"`
		SSHKeys  []string        `json:"ssh_keys"`
		Network  json.RawMessage `json:"network"`
	}
	if err := decodeJSON("metadata", data, &device); err != nil {
		return nil, err
	}
	m := &Metadata{Hostname: device.Hostname}
	for _, key := range device.SSHKeys {
		m.SSHKeys = addKey(m.SSHKeys, key)
	}
	if len(device.Network) == 0 || string(device.Network) == "null" {
		return m, nil
	}
	m.Network = Network{Format: FormatPacket, Data: device.Network}
	var network struct {
		Addresses []struct {
			Address string `json:"address"`
			Public  bool   `json:"public"`
		} `json:"addresses"`
	}
	if err := decodeJSON("metadata: network", device.Network, &network); err != nil {
		return nil, err
	}
	for i, a := range network.Addresses {
		addr, err := parseAddr(fmt.Sprintf("metadata: network.addresses[%d].address", i), a.Address)
		if err != nil {
			return nil, err
		}
		// An IPv6 address is routed whatever the platform calls it.
		if a.Public || addr.Is6() {
			setPublic(&m.Addresses, addr)
		} else {
			setPrivate(&m.Addresses, addr)
		}
	}
	return m, nil
}
