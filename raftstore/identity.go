package raftstore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
)

// identity says whom a data directory belongs to. It is written and synced
// before anything else and never changes: a directory without it holds nothing
// that was promised to anybody.
type identity struct {
	Format    int    `json:"format"`
	ClusterID uint64 `json:"clusterID"`
	// Self is this member as it began. Self.Storage, random, belongs to this
	// directory alone.
	Self Member `json:"self"`
	// Initial is the cluster at position (1, 1), where every log begins.
	Initial membership `json:"initial"`
	// Seeds are members that a joining member knows besides.
	Seeds []Member `json:"seeds,omitempty"`
}

const (
	identityFormat = 1
	identityFile   = "identity.json"
)

// Cluster is what a new member has to know about the cluster that it joins. Any
// member tells it; see Node.Cluster.
type Cluster struct {
	ID uint64
	// Initial are the members the cluster began with, Members those it has now.
	Initial, Members []Member
}

// loadIdentity reads the identity of dir, or draws up one from cfg and stores
// it.
func loadIdentity(cfg *Config) (identity, error) {
	path := filepath.Join(cfg.Dir, identityFile)
	b, err := readSealed(cfg.FS, path)
	if errors.Is(err, fs.ErrNotExist) {
		return firstIdentity(cfg)
	}
	if err != nil {
		return identity{}, fmt.Errorf("raftstore: read identity: %w", err)
	}
	var id identity
	if err := json.Unmarshal(b, &id); err != nil {
		return identity{}, fmt.Errorf("%w: %s: %v", ErrCorrupt, path, err)
	}
	if id.Format != identityFormat {
		return identity{}, fmt.Errorf("%w: %s has format %d, this program knows %d", ErrMismatch, path, id.Format, identityFormat)
	}
	return id, nil
}

// firstIdentity bases the log, and then makes the identity: where there is an
// identity there is a log, or it was lost, and what it promised with it.
func firstIdentity(cfg *Config) (identity, error) {
	st, err := cfg.Log.State()
	if err != nil {
		return identity{}, fmt.Errorf("raftstore: open log: %w", err)
	}
	if st.Last > 1 || st.Base.Index > 1 {
		return identity{}, fmt.Errorf("%w: the log ends at index %d, but %s is missing", ErrCorrupt, st.Last, identityFile)
	}
	if st.Base.Index == 0 {
		g := LogGroup{Base: &LogPosition{Index: 1, Term: 1}, Hard: &HardState{Term: 1, Commit: 1}}
		if err := cfg.Log.Append(g, true); err != nil {
			return identity{}, fmt.Errorf("raftstore: bootstrap log: %w", err)
		}
	}
	return createIdentity(cfg)
}

func createIdentity(cfg *Config) (identity, error) {
	id := identity{Format: identityFormat}
	var err error
	if cfg.Join != nil {
		err = id.join(cfg)
	} else {
		err = id.bootstrap(cfg)
	}
	if err != nil {
		return identity{}, err
	}
	if id.Self.Storage, err = cfg.randomID(); err != nil {
		return identity{}, err
	}
	return id, id.store(cfg)
}

func (id *identity) store(cfg *Config) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	if err := writeSealed(cfg.FS, filepath.Join(cfg.Dir, identityFile), b); err != nil {
		return fmt.Errorf("raftstore: write identity: %w", err)
	}
	return nil
}

// bootstrap makes the identity of a member of a new cluster.
func (id *identity) bootstrap(cfg *Config) (err error) {
	if id.ClusterID, id.Initial, err = bootstrapMembership(cfg.Initial, cfg.Token); err != nil {
		return err
	}
	self, ok := id.Initial.named(cfg.Name)
	if !ok {
		return fmt.Errorf("raftstore: no member %q in Config.Initial, and %s holds no member", cfg.Name, cfg.Dir)
	}
	id.Self = self
	return nil
}

// join makes the identity of the member that was added to cfg.Join under one of
// cfg.URLs.
func (id *identity) join(cfg *Config) error {
	id.ClusterID = cfg.Join.ID
	id.Initial = membership{Members: cfg.Join.Initial}
	id.Seeds = cfg.Join.Members
	for _, m := range cfg.Join.Members {
		for _, u := range cfg.URLs {
			if slices.Contains(m.PeerURLs, u) {
				id.Self = m
				if m.Storage != 0 {
					return fmt.Errorf("%w: member %x", ErrOtherStorage, m.ID)
				}
				return nil
			}
		}
	}
	return fmt.Errorf("%w: cluster %x has no member with a URL of %q: add it first", ErrUnknownMember, cfg.Join.ID, cfg.URLs)
}

// randomID returns a random number that is not 0.
func (c *Config) randomID() (uint64, error) {
	var b [8]byte
	for {
		if _, err := io.ReadFull(c.Rand, b[:]); err != nil {
			return 0, fmt.Errorf("raftstore: %w", err)
		}
		if id := binary.BigEndian.Uint64(b[:]); id != 0 {
			return id, nil
		}
	}
}
