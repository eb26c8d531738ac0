package auth

import (
	"fmt"
	"slices"
	"strings"
)

// The names that mean something.
const (
	// RootUser always has RootRole, and must exist for auth to be enabled.
	RootUser = "root"
	// RootRole allows everything. It cannot be changed.
	RootRole = "root"
	// GuestRole is what requests without credentials have. Enabling auth makes
	// it, with full access, if it is missing.
	GuestRole = "guest"
)

// User is a user as the v2 API shows it: without the password.
type User struct {
	Name string `json:"user"`
	// Roles are sorted, unless they are as given at the creation. They need not
	// exist.
	Roles []string `json:"roles"`
}

// UserChange is what is to become of a user.
//
// Without Grant and Revoke the user is made, or gets another password if it
// exists; with Roles it must not exist. With Grant or Revoke it must exist.
type UserChange struct {
	Name     string   `json:"user"`
	Password string   `json:"password"`
	Roles    []string `json:"roles"`
	Grant    []string `json:"grant"`
	Revoke   []string `json:"revoke"`
}

// Role is a set of permissions with a name.
type Role struct {
	Name        string      `json:"role"`
	Permissions Permissions `json:"permissions"`
}

// Permissions are those on keys, the only ones there are.
type Permissions struct {
	KV KeyPatterns `json:"kv"`
}

// KeyPatterns say which keys may be read and which written. A pattern that ends
// in an asterisk matches all keys that begin with the rest; any other matches
// the key that it is.
type KeyPatterns struct {
	Read  []string `json:"read"`
	Write []string `json:"write"`
}

func (p *Permissions) empty() bool {
	return p == nil || len(p.KV.Read) == 0 && len(p.KV.Write) == 0
}

// RoleChange is what is to become of a role: without Grant and Revoke it is
// made, with them it must exist.
type RoleChange struct {
	Role
	Grant  *Permissions `json:"grant,omitempty"`
	Revoke *Permissions `json:"revoke,omitempty"`
}

// Updates reports whether the change is one of a role that exists.
func (c *RoleChange) Updates() bool { return !c.Grant.empty() || !c.Revoke.empty() }

// Contradicts reports whether the change has what only a new role has, and what
// only an old one.
func (c *RoleChange) Contradicts() bool { return c.Updates() && !c.Permissions.empty() }

// Updates reports whether the change is one of a user that exists.
func (c *UserChange) Updates() bool { return len(c.Grant) > 0 || len(c.Revoke) > 0 }

// Contradicts reports whether the change has what only a new user has, and what
// only an old one.
func (c *UserChange) Contradicts() bool { return c.Updates() && len(c.Roles) > 0 }

var rootRole = Role{Name: RootRole, Permissions: everything}

// everything matches each key but the empty one, which is the root without its
// slash.
var everything = Permissions{KeyPatterns{Read: []string{"/*"}, Write: []string{"/*"}}}

// matches reports whether a pattern covers a key.
func matches(pattern, key string) bool {
	if stem, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(key, stem)
	}
	return pattern == key
}

// covers reports whether a pattern covers a key and all below it.
func covers(pattern, key string) bool {
	return strings.HasSuffix(pattern, "*") && matches(pattern, key)
}

// updated returns the permissions after a change. Revoking what is not there
// does nothing.
func (p Permissions) updated(c RoleChange) (Permissions, error) {
	var grant, revoke KeyPatterns
	if c.Grant != nil {
		grant = c.Grant.KV
	}
	if c.Revoke != nil {
		revoke = c.Revoke.KV
	}
	read, err := regrant("read", p.KV.Read, grant.Read, revoke.Read)
	if err != nil {
		return p, err
	}
	write, err := regrant("write", p.KV.Write, grant.Write, revoke.Write)
	if err != nil {
		return p, err
	}
	return Permissions{KeyPatterns{Read: read, Write: write}}, nil
}

func regrant(kind string, have, grant, revoke []string) ([]string, error) {
	set := newSet(have)
	for _, p := range grant {
		if set.has(p) {
			return nil, &Error{Conflict, fmt.Sprintf("Granting duplicate %s permission %s", kind, p)}
		}
		set[p] = struct{}{}
	}
	for _, p := range revoke {
		delete(set, p)
	}
	return set.sorted(), nil
}

type set map[string]struct{}

func newSet(items []string) set {
	s := make(set, len(items))
	for _, it := range items {
		s[it] = struct{}{}
	}
	return s
}

func (s set) has(item string) bool { _, ok := s[item]; return ok }

// sorted never returns nil.
func (s set) sorted() []string {
	items := make([]string, 0, len(s))
	for it := range s {
		items = append(items, it)
	}
	slices.Sort(items)
	return items
}
