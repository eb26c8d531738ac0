package raftstore

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A backup is a tar stream:
//
//	backup.json     what it is of, first
//	state/...       the files of a checkpoint of the state machine
//	checksums.json  CRC-32C of each of those, last; without it the stream is cut
const (
	backupHead  = "backup.json"
	backupState = "state/"
	backupSums  = "checksums.json"

	backupFormat = 1
)

// backupInfo is the content of backup.json.
type backupInfo struct {
	Format    int       `json:"format"`
	ClusterID uint64    `json:"clusterID"`
	Index     uint64    `json:"index"`
	Term      uint64    `json:"term"`
	Taken     time.Time `json:"taken"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Backup writes the state as of one position to w, in a form that Restore reads,
// and returns the position. The cluster goes on meanwhile; backups of one member
// come one after the other. It needs a Snapshotter. After an error, one of w
// included, what was written is no backup, and Restore says so.
func (n *Node) Backup(ctx context.Context, w io.Writer) (Position, error) {
	if n.snapshotter == nil {
		return Position{}, errors.New("raftstore: backup: the state machine is no Snapshotter")
	}
	dir := filepath.Join(n.cfg.Dir, outgoingName+"backup")
	n.backing.Lock()
	defer n.backing.Unlock()
	if err := n.cfg.FS.RemoveAll(dir); err != nil {
		return Position{}, fmt.Errorf("raftstore: backup: %w", err)
	}
	defer n.cfg.FS.RemoveAll(dir)
	pos, err := n.snapshotter.Checkpoint(ctx, dir)
	if err != nil {
		return Position{}, fmt.Errorf("raftstore: backup: checkpoint: %w", err)
	}
	info := backupInfo{Format: backupFormat, ClusterID: n.clusterID, Index: pos.Index, Term: pos.Term, Taken: n.cfg.Now()}
	if err := writeBackup(ctx, w, info, dir); err != nil {
		return Position{}, fmt.Errorf("raftstore: backup: %w", err)
	}
	return pos, nil
}

func writeBackup(ctx context.Context, w io.Writer, info backupInfo, dir string) error {
	tw := tar.NewWriter(w)
	if err := addJSON(tw, backupHead, info); err != nil {
		return err
	}
	sums := make(map[string]uint32)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		sums[name], err = addFile(tw, backupState+name, path)
		return err
	})
	if err == nil {
		err = addJSON(tw, backupSums, sums)
	}
	return errors.Join(err, tw.Close())
}

func addJSON(tw *tar.Writer, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(b))}); err != nil {
		return err
	}
	_, err = tw.Write(b)
	return err
}

func addFile(tw *tar.Writer, name, path string) (crc uint32, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: st.Size()}); err != nil {
		return 0, err
	}
	h := crc32.New(castagnoli)
	_, err = io.Copy(io.MultiWriter(tw, h), f)
	return h.Sum32(), err
}

// Restore makes cfg.Dir, which must hold no member, the only member of a new
// cluster whose state is that of a backup. It starts nothing: Open does. Of cfg
// it needs what Recover needs, and it closes StateMachine and Log likewise. On
// error it removes what it has made.
func Restore(ctx context.Context, r io.Reader, cfg Config) error {
	if err := restore(ctx, r, &cfg); err != nil {
		return fmt.Errorf("raftstore: restore: %w", errors.Join(err, closeParts(&cfg)))
	}
	return Recover(ctx, cfg)
}

func restore(ctx context.Context, r io.Reader, cfg *Config) error {
	if has, err := HasMember(cfg.Dir); err != nil || has {
		return errors.Join(err, fmt.Errorf("%s holds a member already", cfg.Dir))
	}
	state := filepath.Join(cfg.Dir, firstState)
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(state, 0o700); err != nil {
		return err
	}
	if err := readBackup(ctx, r, state); err != nil {
		return errors.Join(err, os.RemoveAll(state))
	}
	return nil
}

// readBackup unpacks the state of a backup into dir and checks it.
func readBackup(ctx context.Context, r io.Reader, dir string) error {
	tr := tar.NewReader(r)
	var info backupInfo
	if err := nextJSON(tr, backupHead, &info); err != nil {
		return err
	}
	if info.Format != backupFormat {
		return fmt.Errorf("backup has format %d, this program knows %d", info.Format, backupFormat)
	}
	got := make(map[string]uint32)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if err != nil {
			return fmt.Errorf("backup is cut: %w", err)
		}
		if h.Name == backupSums {
			return checkSums(tr, got)
		}
		name, ok := strings.CutPrefix(h.Name, backupState)
		if !ok || !fs.ValidPath(name) || h.Typeflag != tar.TypeReg {
			return fmt.Errorf("backup holds an unexpected %q", h.Name)
		}
		if got[name], err = extract(tr, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
}

func nextJSON(tr *tar.Reader, name string, v any) error {
	h, err := tr.Next()
	if err != nil {
		return fmt.Errorf("not a backup: %w", err)
	}
	if h.Name != name {
		return fmt.Errorf("not a backup: it begins with %q", h.Name)
	}
	return json.NewDecoder(tr).Decode(v)
}

func checkSums(r io.Reader, got map[string]uint32) error {
	var want map[string]uint32
	if err := json.NewDecoder(r).Decode(&want); err != nil {
		return fmt.Errorf("backup's checksums: %w", err)
	}
	for name, crc := range want {
		if sum, ok := got[name]; !ok || sum != crc {
			return fmt.Errorf("backup is damaged: %s", name)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("backup is damaged: %d files, want %d", len(got), len(want))
	}
	return nil
}

func extract(r io.Reader, path string) (crc uint32, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h := crc32.New(castagnoli)
	if _, err := io.Copy(io.MultiWriter(f, h), r); err != nil {
		return 0, err
	}
	return h.Sum32(), f.Sync()
}
