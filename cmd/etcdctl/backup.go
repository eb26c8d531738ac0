package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/strakeproject/strake/kv/member"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
	"github.com/strakeproject/strake/raftstore/pebblelog"
)

// memberDir is where a data directory holds the member.
const memberDir = "member"

type backupCmd struct {
	DataDir      string `help:"data directory of a member, which may be running"`
	BackupDir    string `help:"where to put the copy: a data directory that etcd starts with, as the only member of a new cluster"`
	BackupFile   string `help:"where to put the copy instead: one file with checksums, - for stdout; see restore"`
	WALDir       string `name:"wal-dir" hidden:""`
	BackupWALDir string `name:"backup-wal-dir" hidden:""`
	WithV3       bool   `name:"with-v3" hidden:""`
}

// Help is what kong shows below the flags' summary.
func (c *backupCmd) Help() string {
	return `A backup holds the keys, users and roles of a member, with all that is in its log: also what was not yet acknowledged when the copy was made. Members of the old cluster are not in it. Of a member that lags it holds what that one has.

  etcdctl backup --data-dir /var/lib/etcd --backup-dir /backup/etcd
  etcdctl backup --data-dir /var/lib/etcd --backup-file - | gzip > etcd.gz`
}

func (c *backupCmd) Run(a *app) error {
	switch {
	case c.DataDir == "":
		return plainFailure("Please name the data directory with --data-dir")
	case (c.BackupDir == "") == (c.BackupFile == ""):
		return plainFailure("Please say where the backup goes, with either --backup-dir or --backup-file")
	case c.WALDir != "" || c.BackupWALDir != "":
		return plainFailure("--wal-dir and --backup-wal-dir: the log is a part of the data directory here")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if c.BackupDir != "" {
		return a.onFiles(newIdentity("", "").duplicate(ctx, c.DataDir, c.BackupDir), "backup of "+c.DataDir+" is in "+c.BackupDir)
	}
	return a.onFiles(a.backupToFile(ctx, c.DataDir, c.BackupFile), "backup of "+c.DataDir+" is in "+c.BackupFile)
}

type restoreCmd struct {
	BackupDir                string `help:"a copy that backup made with --backup-dir, or any data directory"`
	BackupFile               string `help:"a copy that backup made with --backup-file; - for stdin"`
	DataDir                  string `help:"where to put the member, which must hold none"`
	Name                     string `help:"name of the member; default default"`
	InitialAdvertisePeerURLs string `name:"initial-advertise-peer-urls" help:"where other members will reach it, separated by commas; default http://localhost:2380"`
}

// Help is what kong shows below the flags' summary.
func (c *restoreCmd) Help() string {
	return `The new member is alone in a new cluster; start it with the same name and URLs, and add others with member add. Indexes go on from those of the backup: what changed after it is forgotten, and so watchers have to begin anew.

  etcdctl restore --backup-dir /backup/etcd --data-dir /var/lib/etcd --name n1 --initial-advertise-peer-urls http://10.0.0.1:2380`
}

func (c *restoreCmd) Run(a *app) error {
	switch {
	case c.DataDir == "":
		return plainFailure("Please name the data directory with --data-dir")
	case (c.BackupDir == "") == (c.BackupFile == ""):
		return plainFailure("Please name the backup, with either --backup-dir or --backup-file")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	self := newIdentity(c.Name, c.InitialAdvertisePeerURLs)
	if c.BackupDir != "" {
		return a.onFiles(self.duplicate(ctx, c.BackupDir, c.DataDir), c.BackupDir+" is restored to "+c.DataDir)
	}
	return a.onFiles(a.restoreFile(ctx, self, c.BackupFile, c.DataDir), c.BackupFile+" is restored to "+c.DataDir)
}

// onFiles reports how work on files went.
func (a *app) onFiles(err error, done string) error {
	if err != nil {
		return plainFailure(err.Error())
	}
	fmt.Fprintln(a.stderr, done)
	return nil
}

// identity is who a restored member will be.
type identity struct{ name, urls string }

// newIdentity takes the original's defaults for what is not given.
func newIdentity(name, urls string) identity {
	return identity{cmp.Or(name, member.DefaultName), cmp.Or(urls, member.DefaultPeerURL)}
}

// duplicate makes the data directory `to` of the one in `from`, for the only
// member of a new cluster. On failure it leaves nothing behind.
func (id identity) duplicate(ctx context.Context, from, to string) error {
	src, dst := filepath.Join(from, memberDir), filepath.Join(to, memberDir)
	if has, err := raftstore.HasMember(src); err != nil || !has {
		return cmp.Or(err, fmt.Errorf("%s holds no member", from))
	}
	if err := mustNotExist(dst); err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := id.tryDuplicate(ctx, src, dst)
		if err == nil {
			return nil
		}
		if cleanup := os.RemoveAll(dst); cleanup != nil {
			return errors.Join(err, cleanup)
		}
		// What looks like damage may be the trace of a change in the middle of a
		// copy. Real damage does not go away.
		if try == copyTries || ctx.Err() != nil || errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
}

func (id identity) tryDuplicate(ctx context.Context, src, dst string) error {
	if err := os.MkdirAll(dst, 0o700); err != nil {
		return err
	}
	if err := copyMember(ctx, src, dst); err != nil {
		return err
	}
	cfg, err := id.parts(dst)
	if err != nil {
		return err
	}
	return raftstore.Recover(ctx, cfg)
}

// parts opens what a member in dir consists of.
func (id identity) parts(dir string) (raftstore.Config, error) {
	urls, err := member.ParseURLs(id.urls)
	if err != nil {
		return raftstore.Config{}, err
	}
	log, err := pebblelog.Open(filepath.Join(dir, "log"), pebblelog.Options{})
	if err != nil {
		return raftstore.Config{}, err
	}
	return raftstore.Config{Dir: dir, Name: id.name, URLs: urls, Log: log, StateMachine: tree.New(tree.Config{})}, nil
}

func mustNotExist(dir string) error {
	_, err := os.Stat(dir)
	if err == nil {
		return fmt.Errorf("%s exists already", dir)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// backupToFile writes the data of a member as one stream. It works on a copy,
// beside the file if there is one.
func (a *app) backupToFile(ctx context.Context, dataDir, file string) (err error) {
	beside := ""
	if file != "-" {
		beside = filepath.Dir(file)
	}
	tmp, err := os.MkdirTemp(beside, ".etcdctl-backup-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	self := newIdentity("", "")
	if err := self.duplicate(ctx, dataDir, tmp); err != nil {
		return err
	}
	out := os.Stdout
	if file != "-" {
		// Under its name once it is whole.
		if out, err = os.Create(filepath.Join(tmp, "backup")); err != nil {
			return err
		}
		defer out.Close()
	}
	w := bufio.NewWriterSize(out, 1<<20)
	if err := errors.Join(self.stream(ctx, filepath.Join(tmp, memberDir), w), w.Flush()); err != nil || file == "-" {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return os.Rename(out.Name(), file)
}

// stream writes the member in dir, which is alone in its cluster, to w.
func (id identity) stream(ctx context.Context, dir string, w io.Writer) error {
	cfg, err := id.parts(dir)
	if err != nil {
		return err
	}
	cfg.Transport = httppeer.New(httppeer.Config{}) // with nobody to talk to
	node, err := raftstore.Open(ctx, cfg)
	if err != nil {
		return err
	}
	_, err = node.Backup(ctx, w)
	return errors.Join(err, node.Stop(context.WithoutCancel(ctx)))
}

// restoreFile makes a data directory of a stream.
func (a *app) restoreFile(ctx context.Context, id identity, file, dataDir string) (err error) {
	in := io.Reader(a.stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		in = bufio.NewReaderSize(f, 1<<20)
	}
	dir := filepath.Join(dataDir, memberDir)
	if err := mustNotExist(dir); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", file, errors.Join(err, os.RemoveAll(dir)))
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	cfg, err := id.parts(dir)
	if err != nil {
		return err
	}
	if err := raftstore.Restore(ctx, in, cfg); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "raftstore: "))
	}
	return nil
}
