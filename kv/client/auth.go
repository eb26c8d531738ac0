package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// User is a user with the names of its roles, without its password.
type User struct {
	Name  string
	Roles []string
}

// Role is a named set of permissions. A pattern that ends in "*" is a prefix,
// any other one key.
type Role struct {
	Name        string
	Read, Write []string
}

// AuthEnabled reports whether the cluster asks who somebody is.
func (c *Client) AuthEnabled(ctx context.Context) (bool, error) {
	var s struct {
		Enabled bool `json:"enabled"`
	}
	if err := c.getJSON(ctx, enablePath, &s); err != nil {
		return false, fmt.Errorf("ask whether authentication is enabled: %w", err)
	}
	return s.Enabled, nil
}

// EnableAuth makes the cluster ask who somebody is. There must be a user root.
func (c *Client) EnableAuth(ctx context.Context) error {
	if err := c.change(ctx, http.MethodPut, enablePath, nil, nil); err != nil {
		return fmt.Errorf("enable authentication: %w", err)
	}
	return nil
}

// DisableAuth undoes EnableAuth. Users and roles stay.
func (c *Client) DisableAuth(ctx context.Context) error {
	if err := c.change(ctx, http.MethodDelete, enablePath, nil, nil); err != nil {
		return fmt.Errorf("disable authentication: %w", err)
	}
	return nil
}

// Users lists the names of users in the server's order.
func (c *Client) Users(ctx context.Context) ([]string, error) {
	var list struct {
		Users []userJSON `json:"users"`
	}
	if err := c.getJSON(ctx, usersPath, &list); err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	names := make([]string, len(list.Users))
	for i, u := range list.Users {
		names[i] = u.Name
	}
	return names, nil
}

// User returns one user. A server may refuse to show one that was granted a role
// that does not exist.
func (c *Client) User(ctx context.Context, name string) (User, error) {
	var u userJSON
	if err := c.getJSON(ctx, userPath(name), &u); err != nil {
		return User{}, fmt.Errorf("get user %s: %w", name, err)
	}
	return u.user(), nil
}

// PutUser makes a user, or changes the password of one.
func (c *Client) PutUser(ctx context.Context, name, password string) error {
	return c.changeUser(ctx, "put", userChange{User: name, Password: password})
}

// GrantRoles gives a user roles, which need not exist yet.
func (c *Client) GrantRoles(ctx context.Context, name string, roles []string) error {
	return c.changeUser(ctx, "grant roles to", userChange{User: name, Grant: roles})
}

// RevokeRoles takes roles from a user.
func (c *Client) RevokeRoles(ctx context.Context, name string, roles []string) error {
	return c.changeUser(ctx, "revoke roles of", userChange{User: name, Revoke: roles})
}

// RemoveUser removes a user.
func (c *Client) RemoveUser(ctx context.Context, name string) error {
	if err := c.change(ctx, http.MethodDelete, userPath(name), nil, nil); err != nil {
		return fmt.Errorf("remove user %s: %w", name, err)
	}
	return nil
}

// Roles lists the names of roles in the server's order.
func (c *Client) Roles(ctx context.Context) ([]string, error) {
	var list struct {
		Roles []roleJSON `json:"roles"`
	}
	if err := c.getJSON(ctx, rolesPath, &list); err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	names := make([]string, len(list.Roles))
	for i, r := range list.Roles {
		names[i] = r.Name
	}
	return names, nil
}

// Role returns one role.
func (c *Client) Role(ctx context.Context, name string) (Role, error) {
	var r roleJSON
	if err := c.getJSON(ctx, rolePath(name), &r); err != nil {
		return Role{}, fmt.Errorf("get role %s: %w", name, err)
	}
	return Role{Name: r.Name, Read: r.Permissions.KV.Read, Write: r.Permissions.KV.Write}, nil
}

// AddRole makes a role without permissions.
func (c *Client) AddRole(ctx context.Context, name string) error {
	return c.changeRole(ctx, "add", roleChange{Role: name})
}

// GrantPermissions adds the patterns in r to the role of that name.
func (c *Client) GrantPermissions(ctx context.Context, r Role) error {
	return c.changeRole(ctx, "grant permissions to", roleChange{Role: r.Name, Grant: newPermissions(r)})
}

// RevokePermissions takes the patterns in r from the role of that name.
func (c *Client) RevokePermissions(ctx context.Context, r Role) error {
	return c.changeRole(ctx, "revoke permissions of", roleChange{Role: r.Name, Revoke: newPermissions(r)})
}

// RemoveRole removes a role. Users who were granted it keep it in name.
func (c *Client) RemoveRole(ctx context.Context, name string) error {
	if err := c.change(ctx, http.MethodDelete, rolePath(name), nil, nil); err != nil {
		return fmt.Errorf("remove role %s: %w", name, err)
	}
	return nil
}

const (
	enablePath = "/v2/auth/enable"
	usersPath  = "/v2/auth/users"
	rolesPath  = "/v2/auth/roles"
)

func userPath(name string) string { return usersPath + "/" + name }
func rolePath(name string) string { return rolesPath + "/" + name }

func (c *Client) changeUser(ctx context.Context, op string, u userChange) error {
	if err := c.change(ctx, http.MethodPut, userPath(u.User), u, nil); err != nil {
		return fmt.Errorf("%s user %s: %w", op, u.User, err)
	}
	return nil
}

func (c *Client) changeRole(ctx context.Context, op string, r roleChange) error {
	if err := c.change(ctx, http.MethodPut, rolePath(r.Role), r, nil); err != nil {
		return fmt.Errorf("%s role %s: %w", op, r.Role, err)
	}
	return nil
}

type userChange struct {
	User     string   `json:"user"`
	Password string   `json:"password,omitempty"`
	Grant    []string `json:"grant,omitempty"`
	Revoke   []string `json:"revoke,omitempty"`
}

type roleChange struct {
	Role   string       `json:"role"`
	Grant  *permissions `json:"grant,omitempty"`
	Revoke *permissions `json:"revoke,omitempty"`
}

type permissions struct {
	KV struct {
		Read  []string `json:"read"`
		Write []string `json:"write"`
	} `json:"kv"`
}

func newPermissions(r Role) *permissions {
	var p permissions
	p.KV.Read, p.KV.Write = append([]string{}, r.Read...), append([]string{}, r.Write...)
	return &p
}

// userJSON is a user in an answer: an object, or in lists of the first releases
// a name alone. Its roles come as they are or as names.
type userJSON struct {
	Name  string     `json:"user"`
	Roles []roleJSON `json:"roles"`
}

func (u *userJSON) user() User {
	out := User{Name: u.Name}
	for _, r := range u.Roles {
		out.Roles = append(out.Roles, r.Name)
	}
	return out
}

// UnmarshalJSON implements json.Unmarshaler.
func (u *userJSON) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &u.Name)
	}
	type object userJSON
	return json.Unmarshal(b, (*object)(u))
}

// roleJSON is a role in an answer: an object or a name.
type roleJSON struct {
	Name        string      `json:"role"`
	Permissions permissions `json:"permissions"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *roleJSON) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &r.Name)
	}
	type object roleJSON
	return json.Unmarshal(b, (*object)(r))
}
