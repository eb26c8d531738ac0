package cloudconfig

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// The files of update-ssh-keys: sets of keys, and the file made of all sets.
const (
	keyDir  = ".ssh/authorized_keys.d"
	keyFile = ".ssh/authorized_keys"
	oldKeys = "old_authorized_keys" // the set of what stood in keyFile before there were sets
)

// errKeySetDisabled tells of a set that is an empty file: so update-ssh-keys
// marks those that nobody is to add again.
var errKeySetDisabled = errors.New("the set of keys is disabled")

// keyFiles returns the files of a home directory that have to be written so that
// a set holds the keys, or is gone if there are none, and keyFile is made of all
// sets. A nil content removes the file.
func keyFiles(home view, set string, keys []string) (map[string]*string, error) {
	sets, err := keySets(home)
	if err != nil {
		return nil, err
	}
	changes := make(map[string]*string)
	now, err := home.readSmall(keyFile)
	if err != nil {
		return nil, err
	}
	if len(sets) == 0 && now != "" {
		sets[oldKeys] = now
		changes[path.Join(keyDir, oldKeys)] = &now
	}
	was, there := sets[set]
	if there && was == "" && len(keys) > 0 {
		return nil, errKeySetDisabled
	}
	text := strings.Join(keys, "\n") + "\n"
	switch {
	case len(keys) > 0 && was != text:
		changes[path.Join(keyDir, set)] = &text
		sets[set] = text
	case len(keys) == 0 && there && was != "":
		changes[path.Join(keyDir, set)] = nil
		delete(sets, set)
	}
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		if sets[name] != "" {
			all.WriteString(strings.TrimSuffix(sets[name], "\n") + "\n")
		}
	}
	if whole := all.String(); whole != now {
		changes[keyFile] = &whole
	}
	return changes, nil
}

// keySets reads the sets in a home directory.
func keySets(home view) (map[string]string, error) {
	sets := make(map[string]string)
	at, err := home.resolve(keyDir, true)
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(home.root, at)
	if errors.Is(err, fs.ErrNotExist) || isNotDirectory(err) {
		return sets, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		text, err := home.readSmall(path.Join("/", at, e.Name()))
		if err != nil {
			return nil, err
		}
		sets[e.Name()] = text
	}
	return sets, nil
}
