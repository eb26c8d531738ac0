package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Member is a member of the cluster, as it presents itself.
type Member struct {
	ID         string   `json:"id"` // hexadecimal
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
}

// Members lists the members of the cluster in the server's order.
func (c *Client) Members(ctx context.Context) ([]Member, error) {
	var list struct {
		Members []Member `json:"members"`
	}
	if err := c.getJSON(ctx, "/v2/members", &list); err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	return list.Members, nil
}

// Leader returns the member that leads. While none does, it fails with a
// StatusError of status 503.
func (c *Client) Leader(ctx context.Context) (Member, error) {
	var m Member
	if err := c.getJSON(ctx, "/v2/members/leader", &m); err != nil {
		return Member{}, fmt.Errorf("get leader: %w", err)
	}
	return m, nil
}

// Healthy asks the member at one URL, which need not be among the endpoints,
// whether it can serve linearizable reads.
func (c *Client) Healthy(ctx context.Context, endpoint string) (bool, error) {
	urls, err := parseEndpoints([]string{endpoint})
	if err != nil {
		return false, err
	}
	a, _, err := c.attempt(ctx, urls[0], call{method: http.MethodGet, path: "/health"})
	if err != nil {
		return false, fmt.Errorf("get %s/health: %w", urls[0], err)
	}
	// Health is a string in all releases but the first, where it was a bool.
	var h struct {
		Health json.RawMessage `json:"health"`
	}
	if err := json.Unmarshal(a.body, &h); err != nil {
		return false, fmt.Errorf("get %s/health: %w", urls[0], err)
	}
	return string(h.Health) == `"true"` || string(h.Health) == "true", nil
}

// getJSON reads a document into v.
func (c *Client) getJSON(ctx context.Context, path string, v any) error {
	a, err := c.send(ctx, call{method: http.MethodGet, path: path})
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return decodeError(a)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}
