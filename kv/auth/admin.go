package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/strakeproject/strake/kv"
)

// Enabled reports whether auth is on.
func (a *Authority) Enabled() bool { return a.current.Load().enabled }

// Enable turns auth on. It takes a user root. Besides errors of kind Conflict it
// returns those of the store.
func (a *Authority) Enable(ctx context.Context) error {
	return a.change(ctx, "enable auth", (*state).switchedOn)
}

// Disable turns auth off. Errors are as those of Enable.
func (a *Authority) Disable(ctx context.Context) error {
	return a.change(ctx, "disable auth", (*state).switchedOff)
}

// Users lists all users by name. The read is linearizable, as are the other
// three.
func (a *Authority) Users(ctx context.Context) ([]User, error) {
	s, err := a.latest(ctx)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	var all []User
	for _, name := range slices.Sorted(maps.Keys(s.users)) {
		u, _ := s.user(name)
		all = append(all, u)
	}
	return all, nil
}

// User returns one user; an error of kind NotFound if there is none.
func (a *Authority) User(ctx context.Context, name string) (User, error) {
	s, err := a.latest(ctx)
	if err != nil {
		return User{}, fmt.Errorf("get user %s: %w", name, err)
	}
	return s.user(name)
}

// Roles lists all roles by name, RootRole among them.
func (a *Authority) Roles(ctx context.Context) ([]Role, error) {
	s, err := a.latest(ctx)
	if err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	all := []Role{rootRole}
	for name, p := range s.roles {
		all = append(all, Role{Name: name, Permissions: p})
	}
	slices.SortFunc(all, func(a, b Role) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Role returns one role; an error of kind NotFound if there is none.
func (a *Authority) Role(ctx context.Context, name string) (Role, error) {
	s, err := a.latest(ctx)
	if err != nil {
		return Role{}, fmt.Errorf("get role %s: %w", name, err)
	}
	return s.role(name)
}

// PutUser makes or changes a user. It reports whether the user was made, other
// than with roles. Besides those of kind Error it returns errors of the store,
// and ErrBusy.
func (a *Authority) PutUser(ctx context.Context, c UserChange) (u User, created bool, err error) {
	var hash string
	if c.Password != "" {
		if hash, err = a.passwords.hash(ctx, c.Password); err != nil {
			return User{}, false, fmt.Errorf("put user %s: %w", c.Name, err)
		}
	}
	err = a.change(ctx, "put user "+c.Name, func(s *state) (next *state, err error) {
		next, u, created, err = s.withUser(c, hash)
		return next, err
	})
	return u, created, err
}

// DeleteUser removes a user.
func (a *Authority) DeleteUser(ctx context.Context, name string) error {
	return a.change(ctx, "delete user "+name, func(s *state) (*state, error) { return s.withoutUser(name) })
}

// PutRole makes or changes a role.
func (a *Authority) PutRole(ctx context.Context, c RoleChange) (r Role, err error) {
	err = a.change(ctx, "put role "+c.Name, func(s *state) (next *state, err error) {
		next, r, err = s.withRole(c)
		return next, err
	})
	return r, err
}

// DeleteRole removes a role.
func (a *Authority) DeleteRole(ctx context.Context, name string) error {
	return a.change(ctx, "delete role "+name, func(s *state) (*state, error) { return s.withoutRole(name) })
}

// latest reads the state as a quorum has it.
func (a *Authority) latest(ctx context.Context) (*state, error) {
	s, err := a.read(ctx, kv.GetOptions{Quorum: true})
	if err != nil {
		return nil, err
	}
	a.adopt(s.snapshot)
	return s.state, nil
}

// change replaces the state by what f makes of it. It does so in one step: when
// somebody else was faster it starts over.
func (a *Authority) change(ctx context.Context, what string, f func(*state) (*state, error)) error {
	for {
		old, err := a.read(ctx, kv.GetOptions{Quorum: true})
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		next, err := f(old.state)
		if err != nil {
			return err
		}
		ev, err := a.store(ctx, old, next)
		switch {
		case err == nil:
			a.adopt(snapshot{next, ev.Index})
			return nil
		case !errors.Is(err, kv.ErrCompareFailed) && !errors.Is(err, kv.ErrKeyExists) && !errors.Is(err, kv.ErrKeyNotFound):
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

func (a *Authority) store(ctx context.Context, old reading, next *state) (kv.Event, error) {
	if !old.exists {
		return a.cfg.Store.Create(ctx, stateKey, next.encode(), kv.CreateOptions{})
	}
	return a.cfg.Store.CompareAndSwap(ctx, stateKey, next.encode(), kv.Condition{PrevIndex: old.index}, kv.UpdateOptions{})
}
