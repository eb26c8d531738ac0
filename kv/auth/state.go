package auth

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// state is who there is and what they may do. A state that others see is never
// changed.
type state struct {
	enabled bool
	users   map[string]account
	roles   map[string]Permissions // without RootRole
}

// account is a user as it is stored.
type account struct {
	Hash  string   `json:"hash"` // bcrypt
	Roles []string `json:"roles"`
}

// document is a state as it is stored.
type document struct {
	Version int                    `json:"version"`
	Enabled bool                   `json:"enabled"`
	Users   map[string]account     `json:"users"`
	Roles   map[string]Permissions `json:"roles"`
}

const documentVersion = 1

func (s *state) encode() string {
	b, err := json.Marshal(document{documentVersion, s.enabled, s.users, s.roles})
	if err != nil {
		panic(err) // maps of strings always marshal
	}
	return string(b)
}

func decodeState(b string) (*state, error) {
	var d document
	if err := json.Unmarshal([]byte(b), &d); err != nil {
		return nil, fmt.Errorf("malformed users and roles: %w", err)
	}
	if d.Version != documentVersion {
		return nil, fmt.Errorf("users and roles are of version %d, this program knows version %d", d.Version, documentVersion)
	}
	return &state{enabled: d.Enabled, users: d.Users, roles: d.Roles}, nil
}

// next returns a copy to make changes to.
func (s *state) next() *state {
	n := &state{enabled: s.enabled, users: maps.Clone(s.users), roles: maps.Clone(s.roles)}
	if n.users == nil {
		n.users = make(map[string]account)
	}
	if n.roles == nil {
		n.roles = make(map[string]Permissions)
	}
	return n
}

// account returns a user; root with its role.
func (s *state) account(name string) (account, bool) {
	a, ok := s.users[name]
	if ok && name == RootUser {
		a.Roles = withRoot(a.Roles)
	}
	return a, ok
}

// withRoot adds RootRole to what may have it already.
func withRoot(roles []string) []string {
	if slices.Contains(roles, RootRole) {
		return roles
	}
	return append(slices.Clone(roles), RootRole)
}

func (s *state) user(name string) (User, error) {
	a, ok := s.account(name)
	if !ok {
		return User{}, &Error{NotFound, fmt.Sprintf("User %s does not exist.", name)}
	}
	return User{Name: name, Roles: a.Roles}, nil
}

func (s *state) role(name string) (Role, error) {
	if name == RootRole {
		return rootRole, nil
	}
	p, ok := s.roles[name]
	if !ok {
		return Role{}, &Error{NotFound, fmt.Sprintf("Role %s does not exist.", name)}
	}
	return Role{Name: name, Permissions: p}, nil
}

// withUser applies a change of a user. The hash is that of the new password,
// if there is one.
func (s *state) withUser(c UserChange, hash string) (next *state, u User, created bool, err error) {
	old, exists := s.account(c.Name)
	switch {
	case c.Updates() || exists && len(c.Roles) == 0:
		return s.withUpdatedUser(c, old, exists, hash)
	case hash == "":
		return s, User{}, false, &Error{Invalid, fmt.Sprintf("Cannot create user %s with an empty password", c.Name)}
	case exists:
		return s, User{}, false, &Error{Conflict, fmt.Sprintf("User %s already exists.", c.Name)}
	}
	u = User{Name: c.Name, Roles: c.Roles}
	if u.Name == RootUser {
		u.Roles = withRoot(u.Roles)
	}
	next = s.next()
	next.users[u.Name] = account{Hash: hash, Roles: u.Roles}
	return next, u, len(c.Roles) == 0, nil
}

func (s *state) withUpdatedUser(c UserChange, old account, exists bool, hash string) (*state, User, bool, error) {
	fail := func(kind Kind, format string, args ...any) (*state, User, bool, error) {
		return s, User{}, false, &Error{kind, fmt.Sprintf(format, args...)}
	}
	if !exists {
		return fail(NotFound, "User %s does not exist.", c.Name)
	}
	roles := newSet(old.Roles)
	for _, r := range c.Grant {
		if roles.has(r) {
			return fail(Conflict, "Granting duplicate role %s for user %s", r, c.Name)
		}
		roles[r] = struct{}{}
	}
	for _, r := range c.Revoke {
		if !roles.has(r) {
			return fail(Conflict, "Revoking ungranted role %s for user %s", r, c.Name)
		}
		delete(roles, r)
	}
	changed := account{Hash: old.Hash, Roles: roles.sorted()}
	if hash != "" {
		changed.Hash = hash
	}
	if reflect.DeepEqual(changed, old) { // to which no roles and null are not the same
		return fail(Invalid, "User not updated. Use grant/revoke/password to update the user.")
	}
	next := s.next()
	next.users[c.Name] = changed
	return next, User{Name: c.Name, Roles: changed.Roles}, false, nil
}

func (s *state) withoutUser(name string) (*state, error) {
	if s.enabled && name == RootUser {
		return s, &Error{Forbidden, "Cannot delete root user while auth is enabled."}
	}
	if _, ok := s.users[name]; !ok {
		return s, &Error{NotFound, fmt.Sprintf("User %s does not exist", name)}
	}
	next := s.next()
	delete(next.users, name)
	return next, nil
}

// withRole applies a change of a role.
func (s *state) withRole(c RoleChange) (next *state, r Role, err error) {
	if c.Name == RootRole {
		return s, Role{}, errRootRole
	}
	old, exists := s.roles[c.Name]
	r = c.Role
	if c.Updates() {
		if !exists {
			return s, Role{}, &Error{NotFound, fmt.Sprintf("Role %s does not exist.", c.Name)}
		}
		if r.Permissions, err = old.updated(c); err != nil {
			return s, Role{}, err
		}
		if reflect.DeepEqual(r.Permissions, old) {
			return s, Role{}, &Error{Invalid, "Role not updated. Use grant/revoke to update the role."}
		}
	} else if exists {
		return s, Role{}, &Error{Conflict, fmt.Sprintf("Role %s already exists.", c.Name)}
	}
	next = s.next()
	next.roles[c.Name] = r.Permissions
	return next, r, nil
}

var errRootRole = &Error{Forbidden, "Cannot modify role root: is root role."}

func (s *state) withoutRole(name string) (*state, error) {
	if name == RootRole {
		return s, errRootRole
	}
	if _, ok := s.roles[name]; !ok {
		return s, &Error{NotFound, fmt.Sprintf("Role %s doesn't exist.", name)}
	}
	next := s.next()
	delete(next.roles, name)
	return next, nil
}

func (s *state) switchedOn() (*state, error) {
	if s.enabled {
		return s, &Error{Conflict, "already enabled"}
	}
	if _, ok := s.users[RootUser]; !ok {
		return s, &Error{Conflict, "No root user available, please create one"}
	}
	next := s.next()
	next.enabled = true
	if _, ok := next.roles[GuestRole]; !ok {
		next.roles[GuestRole] = everything
	}
	return next, nil
}

func (s *state) switchedOff() (*state, error) {
	if !s.enabled {
		return s, &Error{Conflict, "already disabled"}
	}
	next := s.next()
	next.enabled = false
	return next, nil
}
