package datasource

import (
	"context"
	"fmt"
)

// URL is user-data at an HTTP or HTTPS address. There is no meta-data. A server
// that says that it has no such document is not asked again.
func URL(c *Client, url string) Source { return remote{c, url} }

type remote struct {
	client *Client
	url    string
}

func (u remote) Type() string { return "url" }

func (u remote) Available(ctx context.Context) error {
	_, err := u.client.once(ctx, u.request())
	if err != nil && final(err) {
		return fmt.Errorf("%w: %w", ErrNever, err)
	}
	return err
}

func (u remote) UserData(ctx context.Context) ([]byte, error) {
	return u.client.get(ctx, u.request())
}

func (u remote) Metadata(context.Context) (*Metadata, error) { return &Metadata{}, nil }

func (u remote) request() request { return request{url: u.url, limit: maxUserData} }
