package datasource

import (
	"context"
	"maps"
	"path"
	"slices"
)

// OpenStack is the metadata service of OpenStack in its own format, at
// http://169.254.169.254/ unless another base URL is given. Addresses, which that
// format leaves out, come from the service's likeness to EC2, where it has one.
// Its network is in FormatDebian.
func OpenStack(c *Client, base string) Source {
	return openStack{newService(c, base, linkLocal, nil)}
}

// The documents of OpenStack, on its service and its config drive.
const (
	openStackRoot     = "openstack"
	openStackMetadata = openStackRoot + "/latest/meta_data.json"
	openStackUserData = openStackRoot + "/latest/user_data"
)

type openStack struct{ service }

func (openStack) Type() string { return "openstack-metadata-service" }

func (o openStack) Available(ctx context.Context) error { return o.look(ctx, openStackMetadata) }

func (o openStack) UserData(ctx context.Context) ([]byte, error) {
	return o.get(ctx, openStackUserData, maxUserData)
}

func (o openStack) Metadata(ctx context.Context) (*Metadata, error) {
	m, err := readOpenStack(ctx, o.get)
	if err != nil {
		return nil, err
	}
	get := getter(o.get)
	if err = get.addr(ctx, ec2Version+"meta-data/local-ipv4", &m.Addresses, setPrivate); err != nil {
		return nil, err
	}
	if err = get.addr(ctx, ec2Version+"meta-data/public-ipv4", &m.Addresses, setPublic); err != nil {
		return nil, err
	}
	return m, nil
}

// readOpenStack reads meta-data as OpenStack has it.
func readOpenStack(ctx context.Context, get getter) (*Metadata, error) {
	data, err := get(ctx, openStackMetadata, maxMetadata)
	if err != nil {
		return nil, err
	}
	var server struct {
		Hostname      string            `json:"hostname"`
		PublicKeys    map[string]string `json:"public_keys"`
		NetworkConfig struct {
			ContentPath string `json:"content_path"`
		} `json:"network_config"`
	}
	if err := decodeJSON(openStackMetadata, data, &server); err != nil {
		return nil, err
	}
	m := &Metadata{Hostname: server.Hostname}
	for _, name := range slices.Sorted(maps.Keys(server.PublicKeys)) {
		m.SSHKeys = addKey(m.SSHKeys, server.PublicKeys[name])
	}
	if name := server.NetworkConfig.ContentPath; name != "" {
		data, err := get(ctx, openStackRoot+path.Clean("/"+name), maxMetadata)
		if err != nil {
			return nil, err
		}
		if len(data) > 0 {
			m.Network = Network{Format: FormatDebian, Data: data}
		}
	}
	return m, nil
}
