package raftstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// identity says whom a data directory belongs to. It is written and synced
// before anything else and never changes: a directory without it holds nothing
// that was promised to anybody.
type identity struct {
	Format    int        `json:"format"`
	ClusterID uint64     `json:"clusterID"`
	MemberID  uint64     `json:"memberID"`
	Initial   membership `json:"initial"` // the cluster at position (1, 1)
}

const (
	identityFormat = 1
	identityFile   = "identity.json"
)

// loadIdentity reads the identity of dir, or draws up one from cfg and stores
// it.
func loadIdentity(cfg *Config) (identity, error) {
	path := filepath.Join(cfg.Dir, identityFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createIdentity(cfg, path)
	}
	if err != nil {
		return identity{}, fmt.Errorf("raftstore: %w", err)
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

func createIdentity(cfg *Config, path string) (identity, error) {
	clusterID, initial, err := bootstrapMembership(cfg.Initial, cfg.Token)
	if err != nil {
		return identity{}, err
	}
	self, ok := initial.named(cfg.Name)
	if !ok {
		return identity{}, fmt.Errorf("raftstore: no member %q in Config.Initial, and %s holds no member", cfg.Name, cfg.Dir)
	}
	id := identity{Format: identityFormat, ClusterID: clusterID, MemberID: self.ID, Initial: initial}
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return identity{}, err
	}
	if err := writeFileSync(path, append(b, '\n')); err != nil {
		return identity{}, fmt.Errorf("raftstore: write identity: %w", err)
	}
	return id, nil
}

// writeFileSync makes a file that is either whole or absent after a crash.
func writeFileSync(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
