package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
)

// CopyDir makes a member in to.DataDir, which must hold none, of the one in the
// data directory from, which may be running and then goes on undisturbed. The
// copy is the only member of a new cluster, with to's Name and
// AdvertisePeerURLs; of to nothing else counts. It has all that the original had
// in its state and its log when CopyDir was called, also what was not yet
// acknowledged. On failure nothing is left behind.
//
// The log must be in the data directory.
func CopyDir(ctx context.Context, from string, to Config) error {
	if has, err := Exists(from); err != nil || !has {
		return cmp.Or(err, fmt.Errorf("%s holds no member", from))
	}
	if err := to.fillEmpty(); err != nil {
		return err
	}
	src := Config{DataDir: from}
	for try := 1; ; try++ {
		moved, err := to.copyOnce(ctx, src.memberDir())
		if err == nil {
			return nil
		}
		if cleanup := os.RemoveAll(to.memberDir()); cleanup != nil {
			return errors.Join(err, cleanup)
		}
		if !moved || try == copyTries || ctx.Err() != nil {
			return err
		}
	}
}

// copyTries is how often a copy is begun at the most. To begin anew takes a flush
// in the few milliseconds that a database's files are being opened, or a segment
// of the log that begins or goes away while it is read.
const copyTries = 20

// copyOnce also reports whether the original may have changed in the middle of the
// copy, so that to begin anew makes sense. What looks like damage may be the trace
// of that. Real damage does not go away.
func (c *Config) copyOnce(ctx context.Context, from string) (moved bool, err error) {
	if err := os.MkdirAll(c.memberDir(), 0o700); err != nil {
		return false, err
	}
	if err := copyMember(ctx, from, c.memberDir()); err != nil {
		return errors.Is(err, errMoved) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, raftstore.ErrCorrupt), err
	}
	parts, err := c.parts()
	if err != nil {
		return true, err
	}
	return true, raftstore.Recover(ctx, parts)
}

// Backup writes the state of the member in a data directory, which may be
// running, to w, as one stream that Restore reads: what CopyDir would copy. It
// works on a copy in scratch, a directory without a member, which the caller
// removes. After an error what was written is no backup.
func Backup(ctx context.Context, from, scratch string, w io.Writer) error {
	c := Config{DataDir: scratch}
	if err := CopyDir(ctx, from, c); err != nil {
		return err
	}
	if err := c.fill(); err != nil {
		return err
	}
	parts, err := c.parts()
	if err != nil {
		return err
	}
	parts.Transport = httppeer.New(httppeer.Config{}) // with nobody to talk to
	node, err := raftstore.Open(ctx, parts)
	if err != nil {
		return err
	}
	_, err = node.Backup(ctx, w)
	return errors.Join(err, node.Stop(context.WithoutCancel(ctx)))
}

// Restore makes a member in to.DataDir, which must hold none, of a stream that
// Backup wrote. For to see CopyDir. On failure nothing is left behind.
func Restore(ctx context.Context, r io.Reader, to Config) error {
	if err := to.fillEmpty(); err != nil {
		return err
	}
	err := to.restore(ctx, r)
	if err != nil {
		err = errors.Join(err, os.RemoveAll(to.memberDir()))
	}
	return err
}

func (c *Config) restore(ctx context.Context, r io.Reader) error {
	if err := os.MkdirAll(c.memberDir(), 0o700); err != nil {
		return err
	}
	parts, err := c.parts()
	if err != nil {
		return err
	}
	return raftstore.Restore(ctx, r, parts)
}

// fillEmpty is fill for where no member must be.
func (c *Config) fillEmpty() error {
	if err := c.fill(); err != nil {
		return err
	}
	_, err := os.Stat(c.memberDir())
	if err == nil {
		return fmt.Errorf("%s exists already", c.memberDir())
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// parts opens what a member consists of that is not to run.
func (c *Config) parts() (raftstore.Config, error) {
	log, err := c.openLog()
	if err != nil {
		return raftstore.Config{}, err
	}
	return raftstore.Config{
		Dir: c.memberDir(), Name: c.Name, URLs: c.AdvertisePeerURLs,
		StateMachine: tree.New(tree.Config{Logger: c.Logger}), Log: log, Logger: c.Logger,
	}, nil
}
