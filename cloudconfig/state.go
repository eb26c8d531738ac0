package cloudconfig

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
)

// state is what earlier runs of Apply have made on a machine, see the package
// comment. As JSON, readable by root alone:
//
//	{
//	  "version": 1,
//	  "files": {"/etc/motd": {"sha256": "9f86...", "made": true, "owner": "core"}},
//	  "links": {"/etc/systemd/system/a.service": "/dev/null"},
//	  "users": {"toor": {"disabled": false}},
//	  "keys": {"toor": ["coreos-cloudinit"]},
//	  "enabled": {"a.service": "/etc"},
//	  "done": {"restart a.service": "0b7e..."}
//	}
//
// An entry says that a run has made the thing, or was about to: it is written
// before and corrected after. What is not in here is never removed.
type state struct {
	Version int `json:"version"`
	// Files by path: what their contents were.
	Files map[string]fileState `json:"files,omitempty"`
	// Links by path: where they lead.
	Links map[string]string `json:"links,omitempty"`
	// Users that a run has created.
	Users map[string]userState `json:"users,omitempty"`
	// Keys by user: the sets of keys that a run has authorized.
	Keys map[string][]string `json:"keys,omitempty"`
	// Enabled units, and whether below /etc or /run.
	Enabled map[string]string `json:"enabled,omitempty"`
	// Done are the commands carried out that would disturb a unit each time:
	// "restart a.service", and the boot id of the kernel then.
	Done map[string]string `json:"done,omitempty"`
}

type fileState struct {
	SHA256 string `json:"sha256"`
	// Made is false if a file was there before the first run wrote this one: it
	// stays when the configuration no longer names it.
	Made  bool   `json:"made"`
	Owner string `json:"owner,omitempty"` // as the configuration wrote it
}

type userState struct {
	// Disabled is true since the configuration no longer names the user.
	Disabled bool `json:"disabled"`
}

const stateVersion = 1

// readState reads the state file; none is an empty state.
func readState(v view, name string) (*state, error) {
	s := &state{}
	text, err := v.read(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		if err := json.Unmarshal(text, s); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if s.Version != stateVersion {
			return nil, fmt.Errorf("%s: version %d is not %d, which this program writes", name, s.Version, stateVersion)
		}
	}
	s.Version = stateVersion
	return s.clone(), nil
}

// clone copies the state; all its maps are there then.
func (s *state) clone() *state {
	c := &state{
		Version: s.Version,
		Files:   make(map[string]fileState), Links: make(map[string]string), Users: make(map[string]userState),
		Keys: make(map[string][]string), Enabled: make(map[string]string), Done: make(map[string]string),
	}
	maps.Copy(c.Files, s.Files)
	maps.Copy(c.Links, s.Links)
	maps.Copy(c.Users, s.Users)
	for user, sets := range s.Keys {
		c.Keys[user] = slices.Clone(sets)
	}
	maps.Copy(c.Enabled, s.Enabled)
	maps.Copy(c.Done, s.Done)
	return c
}

// text is what the state file holds.
func (s *state) text() string {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("cloudconfig: state is not JSON: " + err.Error()) // it is maps of strings
	}
	return string(text) + "\n"
}

// addKeys notes that a user has a set of keys.
func (s *state) addKeys(user, set string) {
	if !slices.Contains(s.Keys[user], set) {
		s.Keys[user] = slices.Sorted(slices.Values(append(slices.Clone(s.Keys[user]), set)))
	}
}

func (s *state) removeKeys(user, set string) {
	s.Keys[user] = slices.DeleteFunc(slices.Clone(s.Keys[user]), func(other string) bool { return other == set })
	if len(s.Keys[user]) == 0 {
		delete(s.Keys, user)
	}
}

func stateFile(workspace, name string) string {
	return path.Join(workspace, "state", strings.TrimLeft(url.PathEscape(name), ".")+".json")
}

// hashNumber is a number of ten digits that goes with the content.
func hashNumber(content string) uint64 {
	sum := sha256.Sum256([]byte(content))
	return 1e9 + binary.BigEndian.Uint64(sum[:])%9e9
}

func hashOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}
