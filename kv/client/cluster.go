package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/strakeproject/strake/kv"
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
	if err := c.getJSON(ctx, membersPath, &list); err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	return list.Members, nil
}

// Leader returns the member that leads. While none does, it fails with a
// StatusError of status 503.
func (c *Client) Leader(ctx context.Context) (Member, error) {
	var m Member
	if err := c.getJSON(ctx, membersPath+"/leader", &m); err != nil {
		return Member{}, fmt.Errorf("get leader: %w", err)
	}
	return m, nil
}

// AddMember makes room for one more member, which is then to be started under
// these URLs. It returns the member as the cluster knows it, with an id and
// without a name.
//
// Here as in all that changes members, users and roles a refusal is a
// *StatusError, and an error that matches kv.ErrOutcomeUnknown says that the
// change may have happened.
func (c *Client) AddMember(ctx context.Context, peerURLs []string) (Member, error) {
	var m Member
	err := c.change(ctx, http.MethodPost, membersPath, peersJSON{peerURLs}, &m)
	if err != nil {
		return Member{}, fmt.Errorf("add member: %w", err)
	}
	return m, nil
}

// RemoveMember takes a member out of the cluster for good.
func (c *Client) RemoveMember(ctx context.Context, id string) error {
	if err := c.change(ctx, http.MethodDelete, membersPath+"/"+id, nil, nil); err != nil {
		return fmt.Errorf("remove member %s: %w", id, err)
	}
	return nil
}

// UpdateMember changes the peer URLs of a member.
func (c *Client) UpdateMember(ctx context.Context, id string, peerURLs []string) error {
	if err := c.change(ctx, http.MethodPut, membersPath+"/"+id, peersJSON{peerURLs}, nil); err != nil {
		return fmt.Errorf("update member %s: %w", id, err)
	}
	return nil
}

const membersPath = "/v2/members"

type peersJSON struct {
	PeerURLs []string `json:"peerURLs"`
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

// change sends a document, if there is one, and reads the answer into out, if
// one is wanted.
func (c *Client) change(ctx context.Context, method, path string, in, out any) error {
	cl := call{method: method, path: path}
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		cl.json = b
	}
	a, err := c.send(ctx, cl)
	switch {
	case err != nil:
		return err
	case a.status >= 500:
		return fmt.Errorf("%w: %w", kv.ErrOutcomeUnknown, decodeError(a))
	case a.status >= 300:
		return decodeError(a)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return fmt.Errorf("%w: decode %s: %w", kv.ErrOutcomeUnknown, path, err)
	}
	return nil
}
