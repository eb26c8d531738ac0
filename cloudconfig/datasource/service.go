package datasource

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/strakeproject/strake/cloudconfig"
)

// service is a metadata service of a platform, which answers at an address that
// means something on that platform only.
type service struct {
	client *Client
	base   string // ends with a slash
	header http.Header
}

// newService makes a service at a base URL, or the platform's own.
func newService(c *Client, base, own string, header http.Header) service {
	if base == "" {
		base = own
	}
	return service{client: c, base: strings.TrimSuffix(base, "/") + "/", header: header}
}

func (s service) request(path string, limit int64) request {
	return request{url: s.base + path, header: s.header, limit: limit, direct: true}
}

// look asks once for a document that is there whenever the service is.
func (s service) look(ctx context.Context, path string) error {
	_, err := s.client.once(ctx, s.request(path, maxMetadata))
	return err
}

// getter gets a document of a service; nothing, if there is no such document.
type getter func(ctx context.Context, path string, limit int64) ([]byte, error)

// get is a getter.
func (s service) get(ctx context.Context, path string, limit int64) ([]byte, error) {
	return present(s.client.get(ctx, s.request(path, limit)))
}

// present turns what is not found into nothing.
func present(data []byte, err error) ([]byte, error) {
	if notFound(err) {
		return nil, nil
	}
	return data, err
}

// word gets a document of one line, up to the first blank.
func (get getter) word(ctx context.Context, path string) (string, error) {
	data, err := get(ctx, path, maxMetadata)
	if err != nil {
		return "", err
	}
	word, _, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
	return word, nil
}

// addr gets a document that is an address, and puts it in its place.
func (get getter) addr(ctx context.Context, path string, a *cloudconfig.Addresses, set setter) error {
	data, err := get(ctx, path, maxMetadata)
	if err != nil {
		return err
	}
	addr, err := parseAddr(path, string(data))
	if err != nil {
		return err
	}
	set(a, addr)
	return nil
}

// decodeJSON reads a document of meta-data; one that is empty says nothing.
func decodeJSON(name string, data []byte, to any) error {
	if len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// setter is setPublic or setPrivate.
type setter func(a *cloudconfig.Addresses, addr netip.Addr)

// setPublic puts an address in the place that its family has; none changes
// nothing.
func setPublic(a *cloudconfig.Addresses, addr netip.Addr) {
	switch {
	case addr.Is4():
		a.PublicIPv4 = addr
	case addr.Is6():
		a.PublicIPv6 = addr
	}
}

// setPrivate is setPublic for a private address.
func setPrivate(a *cloudconfig.Addresses, addr netip.Addr) {
	switch {
	case addr.Is4():
		a.PrivateIPv4 = addr
	case addr.Is6():
		a.PrivateIPv6 = addr
	}
}
