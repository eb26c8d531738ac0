package datasource

import (
	"context"
	"net/http"
)

// GCE is the metadata service of Google Compute Engine, at
// http://metadata.google.internal/ unless another base URL is given. It has no
// ssh keys.
func GCE(c *Client, base string) Source {
	return gce{newService(c, base, "http://metadata.google.internal/", http.Header{"Metadata-Flavor": {"Google"}})}
}

const gceVersion = "computeMetadata/v1/"

type gce struct{ service }

func (gce) Type() string { return "gce-metadata-service" }

func (g gce) Available(ctx context.Context) error { return g.look(ctx, gceVersion) }

func (g gce) UserData(ctx context.Context) ([]byte, error) {
	return g.get(ctx, gceVersion+"instance/attributes/user-data", maxUserData)
}

func (g gce) Metadata(ctx context.Context) (*Metadata, error) {
	const root = gceVersion + "instance/"
	get, m := getter(g.get), &Metadata{}
	var err error
	if err = get.addr(ctx, root+"network-interfaces/0/access-configs/0/external-ip", &m.Addresses, setPublic); err != nil {
		return nil, err
	}
	if err = get.addr(ctx, root+"network-interfaces/0/ip", &m.Addresses, setPrivate); err != nil {
		return nil, err
	}
	if m.Hostname, err = get.word(ctx, root+"hostname"); err != nil {
		return nil, err
	}
	return m, nil
}
