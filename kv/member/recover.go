package member

import (
	"context"
	"fmt"
	"os"

	"github.com/strakeproject/strake/raftstore"
)

// Exists reports whether a data directory holds a member, which then goes on as
// what it is, whatever its Config says of the cluster.
func Exists(dataDir string) (bool, error) {
	c := Config{DataDir: dataDir}
	return raftstore.HasMember(c.memberDir())
}

// standAlone makes what the data directory holds the only member of a new
// cluster.
func (c *Config) standAlone(ctx context.Context) error {
	if !holdsAnything(c.memberDir()) {
		return nil
	}
	parts, err := c.parts()
	if err != nil {
		return err
	}
	if err := raftstore.Recover(ctx, parts); err != nil {
		return fmt.Errorf("force a new cluster: %w", err)
	}
	c.Logger.Warn("this member is now alone in a new cluster, members of the old one must not come back", "name", c.Name)
	return nil
}

// holdsAnything reports whether there is something in a directory.
func holdsAnything(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) > 0
}
