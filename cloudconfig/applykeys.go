package cloudconfig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// keys makes a user's set of ssh keys what a step says. All of it happens within
// the user's home directory, so that links which the user makes cannot lead to
// the files of others.
func (a *applier) keys(ctx context.Context, s Step) (string, error) {
	keys := s.Keys
	if s.KeysFrom != "" {
		var err error
		if keys, err = a.fetchKeys(ctx, s.KeysFrom); err != nil {
			return "", fmt.Errorf("import keys from %s: %w", s.KeysFrom, err)
		}
	}
	users, err := a.accounts()
	if err != nil {
		return "", err
	}
	gone := len(keys) == 0 // and with the home directory they are
	user := users.users[s.Target]
	switch {
	case user == nil && gone:
		return "the user is gone", nil
	case user == nil:
		return "", fmt.Errorf("there is no user %q", s.Target)
	}
	home, err := a.openHome(user)
	switch {
	case errors.Is(err, fs.ErrNotExist) && gone:
		return "the home directory is gone", nil
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("the home directory %s does not exist", user.home)
	case err != nil:
		return "", err
	}
	defer home.Close()
	changes, err := keyFiles(view{home.FS()}, s.KeySet, keys)
	if errors.Is(err, errKeySetDisabled) {
		return err.Error(), nil
	}
	if err != nil {
		return "", err
	}
	if len(changes) == 0 {
		return "nothing changes", nil
	}
	return "", a.writeKeys(tree{home}, changes, user)
}

// openHome opens a user's home directory, which must be there.
func (a *applier) openHome(user *account) (*os.Root, error) {
	at, err := view{a.tree.root.FS()}.resolve(user.home, true)
	if err != nil {
		return nil, err
	}
	return a.tree.root.OpenRoot(at)
}

// writeKeys changes the files of a home directory. They and their directories
// belong to the user alone.
func (a *applier) writeKeys(home tree, changes map[string]*string, user *account) error {
	uid, gid := -1, -1
	if os.Geteuid() == 0 { // else they are the user's already, or cannot be
		uid, gid = user.uid, user.gid
	}
	for _, dir := range []string{path.Dir(keyFile), keyDir} {
		if err := home.privateDir(dir, uid, gid); err != nil {
			return err
		}
	}
	// The file made of the sets comes last: "authorized_keys" sorts before
	// what is below "authorized_keys.d/".
	names := slices.Sorted(maps.Keys(changes))
	slices.Reverse(names)
	for _, name := range names {
		if changes[name] == nil {
			if err := home.remove(name); err != nil {
				return err
			}
			continue
		}
		if err := home.write(File{Path: name, Content: *changes[name], Mode: 0o600}, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

// privateDir makes a directory for one user, unless it is there.
func (t tree) privateDir(name string, uid, gid int) error {
	at, err := view{t.root.FS()}.resolve(name, true)
	if err != nil {
		return err
	}
	if err := t.root.Mkdir(at, 0o700); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	if uid < 0 {
		return nil
	}
	return t.root.Lchown(at, uid, gid)
}

// fetchKeys gets a list of keys: JSON objects with a member key.
func (a *applier) fetchKeys(ctx context.Context, url string) ([]string, error) {
	if a.Fetch == nil {
		return nil, errors.New("there is nothing to fetch with")
	}
	body, err := a.Fetch(ctx, url)
	if err != nil {
		return nil, err
	}
	var list []struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	var keys []string
	for _, item := range list {
		for line := range strings.Lines(item.Key) {
			if line = strings.TrimSpace(line); line != "" {
				keys = append(keys, line)
			}
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no key")
	}
	return keys, nil
}
