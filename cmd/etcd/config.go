package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/strakeproject/strake/kv/member"
)

// bytesPerChange turns a number of changes into a size of the log, for
// --snapshot-count.
const bytesPerChange = 1 << 10

// settings is what the flags come to.
type settings struct {
	member                   member.Config // without listeners
	peerListen, clientListen []string
}

func (f *flags) settings() (s settings, err error) {
	if f.ListenClientURLs != "" && f.AdvertiseClientURLs == "" {
		return s, errors.New("--advertise-client-urls is required when --listen-client-urls is set explicitly")
	}
	parse := func(flag, value string) []string {
		urls, e := member.ParseURLs(value)
		if e != nil && err == nil {
			err = fmt.Errorf("--%s: %w", flag, e)
		}
		return urls
	}
	s.peerListen = parse("listen-peer-urls", f.ListenPeerURLs)
	s.clientListen = parse("listen-client-urls", cmp.Or(f.ListenClientURLs, member.DefaultClientURL))
	s.member = member.Config{
		Name:                f.Name,
		DataDir:             f.DataDir,
		AdvertisePeerURLs:   parse("initial-advertise-peer-urls", f.InitialAdvertisePeerURLs),
		AdvertiseClientURLs: parse("advertise-client-urls", cmp.Or(f.AdvertiseClientURLs, member.DefaultClientURL)),
		InitialClusterToken: f.InitialClusterToken,
		Existing:            f.InitialClusterState == "existing",
		HeartbeatInterval:   time.Duration(f.HeartbeatInterval) * time.Millisecond,
		ElectionTimeout:     time.Duration(f.ElectionTimeout) * time.Millisecond,
		LogRetainBytes:      int64(f.SnapshotCount) * bytesPerChange,
		Version:             version,
	}
	if f.InitialCluster != "" && err == nil {
		s.member.InitialCluster, err = member.ParseCluster(f.InitialCluster)
	}
	return s, err
}

// dropEmptyVariables makes an empty variable the same as none, which lets unit
// files mention them all.
func dropEmptyVariables() {
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); value == "" && strings.HasPrefix(name, "ETCD_") {
			_ = os.Unsetenv(name) // fails for malformed names alone
		}
	}
}

// unknownVariables returns the variables of the environment that look as if
// they were meant for this program and are not.
func unknownVariables(app *kong.Application, environ []string) []string {
	var known, unknown []string
	for _, f := range app.Flags {
		known = append(known, f.Envs...)
	}
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "ETCD_") && !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}
