package auth

import (
	"context"
	"slices"
)

// Credentials are what a request has to say about who sends it.
type Credentials struct {
	// Given says that the request names a user in so many words, as HTTP does in
	// its Authorization header. Such a request is never taken for a guest's.
	Given bool
	// Name and Password are what it says; empty if it could not be read.
	Name, Password string
	// CommonName is that of the verified certificate of the client, if it is to
	// count. It does when nothing else is given.
	CommonName string
}

// Access is what a request is up to.
type Access struct {
	// Key is as it stands in the request, without cleaning: "/a/" is not "/a",
	// and the root may be empty.
	Key       string
	Write     bool
	Recursive bool
}

// CheckKey returns nil if the access is allowed. Errors: ErrDenied; ErrBusy; and
// the context's, if it ends while the password is checked.
func (a *Authority) CheckKey(ctx context.Context, cred Credentials, access Access) error {
	s := a.current.Load().state
	if !s.enabled {
		return nil
	}
	name, ok, err := a.authenticate(ctx, s, cred)
	switch {
	case err != nil:
		return err
	case ok:
		who, _ := s.account(name)
		if s.allows(who.Roles, access) {
			return nil
		}
	case !cred.Given:
		// For guests the original forgets that recursive access is more.
		access.Recursive = false
		if s.allows([]string{GuestRole}, access) {
			return nil
		}
	}
	return ErrDenied
}

// CheckAdmin returns nil if users, roles and members may be changed. Errors are
// those of CheckKey.
func (a *Authority) CheckAdmin(ctx context.Context, cred Credentials) error {
	s := a.current.Load().state
	if !s.enabled {
		return nil
	}
	name, ok, err := a.authenticate(ctx, s, cred)
	if err != nil {
		return err
	}
	if who, _ := s.account(name); ok && slices.Contains(who.Roles, RootRole) {
		return nil
	}
	return ErrDenied
}

// authenticate says which user sends a request; ok is false for none.
func (a *Authority) authenticate(ctx context.Context, s *state, cred Credentials) (name string, ok bool, err error) {
	if !cred.Given {
		_, ok = s.users[cred.CommonName]
		return cred.CommonName, ok && cred.CommonName != "", nil
	}
	who, ok := s.users[cred.Name]
	if !ok || cred.Name == "" {
		return "", false, nil
	}
	ok, err = a.passwords.check(ctx, who.Hash, cred.Password)
	return cred.Name, ok, err
}

// allows reports whether one of the roles allows the access.
func (s *state) allows(roles []string, access Access) bool {
	for _, name := range roles {
		if name == RootRole {
			return true
		}
		patterns := s.roles[name].KV.Read
		if access.Write {
			patterns = s.roles[name].KV.Write
		}
		for _, p := range patterns {
			if access.Recursive && covers(p, access.Key) || !access.Recursive && matches(p, access.Key) {
				return true
			}
		}
	}
	return false
}
