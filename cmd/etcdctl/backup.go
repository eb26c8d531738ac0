package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/strakeproject/strake/kv/member"
)

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
		return a.onFiles(member.CopyDir(ctx, c.DataDir, member.Config{DataDir: c.BackupDir}), "backup of "+c.DataDir+" is in "+c.BackupDir)
	}
	return a.onFiles(backupToFile(ctx, c.DataDir, c.BackupFile), "backup of "+c.DataDir+" is in "+c.BackupFile)
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
	to, err := newMember(c.DataDir, c.Name, c.InitialAdvertisePeerURLs)
	if err != nil {
		return plainFailure(err.Error())
	}
	if c.BackupDir != "" {
		return a.onFiles(member.CopyDir(ctx, c.BackupDir, to), c.BackupDir+" is restored to "+c.DataDir)
	}
	return a.onFiles(a.restoreFile(ctx, c.BackupFile, to), c.BackupFile+" is restored to "+c.DataDir)
}

// onFiles reports how work on files went.
func (a *app) onFiles(err error, done string) error {
	if err != nil {
		return plainFailure(err.Error())
	}
	fmt.Fprintln(a.stderr, done)
	return nil
}

// newMember is what a restored member will be. The original's defaults stand for
// what is not given.
func newMember(dataDir, name, urls string) (member.Config, error) {
	parsed, err := member.ParseURLs(cmp.Or(urls, member.DefaultPeerURL))
	return member.Config{DataDir: dataDir, Name: name, AdvertisePeerURLs: parsed}, err
}

// backupToFile writes the data of a member as one stream. It works on a copy,
// beside the file if there is one.
func backupToFile(ctx context.Context, dataDir, file string) (err error) {
	beside := ""
	if file != "-" {
		beside = filepath.Dir(file)
	}
	tmp, err := os.MkdirTemp(beside, ".etcdctl-backup-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	out := os.Stdout
	if file != "-" {
		// Under its name once it is whole.
		if out, err = os.Create(filepath.Join(tmp, "backup")); err != nil {
			return err
		}
		defer out.Close()
	}
	w := bufio.NewWriterSize(out, 1<<20)
	if err := errors.Join(member.Backup(ctx, dataDir, tmp, w), w.Flush()); err != nil || file == "-" {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return os.Rename(out.Name(), file)
}

// restoreFile makes a data directory of a stream.
func (a *app) restoreFile(ctx context.Context, file string, to member.Config) error {
	in := io.Reader(a.stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		in = bufio.NewReaderSize(f, 1<<20)
	}
	if err := member.Restore(ctx, in, to); err != nil {
		return fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "raftstore: "))
	}
	return nil
}
