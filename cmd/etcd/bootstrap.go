package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/strakeproject/strake/kv/discovery"
	"github.com/strakeproject/strake/kv/member"
)

// bootstrap finds out who belongs to the new cluster of a member without data.
func (s *settings) bootstrap(ctx context.Context, log *slog.Logger) error {
	c := &s.Clustering
	there, err := member.Exists(s.member.DataDir)
	if err != nil {
		return err
	}
	if there {
		if c.Discovery != "" || c.DiscoverySRV != "" {
			log.Warn("discovery is ignored, since this member has data already", "dataDir", s.member.DataDir)
		}
		return nil
	}
	var list string
	switch {
	case c.Discovery != "":
		list, err = s.discover(ctx, log)
		s.member.InitialClusterToken = c.Discovery
	case c.DiscoverySRV != "":
		list, err = s.srv(log).Cluster(ctx, s.member.Name, s.member.AdvertisePeerURLs)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	log.Info("discovery has found the cluster", "members", list)
	s.member.InitialCluster, err = member.ParseCluster(list)
	return err
}

func (s *settings) srv(log *slog.Logger) discovery.SRV {
	return discovery.SRV{
		Domain: s.Clustering.DiscoverySRV, Service: s.Clustering.DiscoverySRVName, Resolver: s.resolver, Logger: log,
	}
}

// dialToken returns the token of --discovery.
func (s *settings) dialToken(log *slog.Logger) (*discovery.Token, error) {
	return discovery.Dial(s.Clustering.Discovery, discovery.DialOptions{Proxy: s.Clustering.DiscoveryProxy, Logger: log})
}

// discover joins the cluster of --discovery. A file in the data directory tells a
// start that comes after a failed one that the member may have registered.
func (s *settings) discover(ctx context.Context, log *slog.Logger) (list string, err error) {
	token, err := s.dialToken(log)
	if err != nil {
		return "", err
	}
	defer token.Close()
	note := filepath.Join(s.member.DataDir, "discovery")
	noted, err := os.ReadFile(note)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	self := discovery.Self{
		ID:       member.InitialID(s.member.AdvertisePeerURLs, s.Clustering.Discovery),
		Name:     s.member.Name,
		PeerURLs: s.member.AdvertisePeerURLs,
		Resume:   string(noted) == s.Clustering.Discovery,
	}
	if err := os.MkdirAll(s.member.DataDir, 0o700); err != nil {
		return "", err
	}
	if err := os.WriteFile(note, []byte(s.Clustering.Discovery), 0o600); err != nil {
		return "", err
	}
	list, err = token.Join(ctx, self)
	if refused(err) && !self.Resume {
		_ = os.Remove(note) // there was no registration, so that nothing is lost with it
	}
	return list, err
}

// refused reports whether a member was turned away before it could register.
func refused(err error) bool {
	for _, e := range []error{
		discovery.ErrFull, discovery.ErrDuplicateID, discovery.ErrSizeNotFound, discovery.ErrBadSize, discovery.ErrBadEndpoint,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// proxiedPeers returns the peer URLs of the members that a proxy is for.
func (s *settings) proxiedPeers(ctx context.Context, log *slog.Logger) ([]string, error) {
	c := &s.Clustering
	list := c.InitialCluster
	switch {
	case c.Discovery != "":
		token, err := s.dialToken(log)
		if err != nil {
			return nil, err
		}
		defer token.Close()
		if list, err = token.Wait(ctx); err != nil {
			return nil, err
		}
	case c.DiscoverySRV != "":
		var err error
		if list, err = s.srv(log).Cluster(ctx, s.member.Name, nil); err != nil {
			return nil, err
		}
	case list == "":
		return member.ParseURLs(defaultPeerURLs)
	}
	members, err := member.ParseCluster(list)
	if err != nil {
		return nil, err
	}
	var urls []string
	for _, m := range members {
		urls = append(urls, m.URLs...)
	}
	return urls, nil
}

// isProxy decides what this is to be. What the data directory holds wins.
func (s *settings) isProxy() (bool, error) {
	isMember, isProxy := holdsAnything(filepath.Join(s.member.DataDir, "member")), holdsAnything(s.proxyDir())
	if isMember && isProxy {
		return false, fmt.Errorf("invalid datadir %s: both member and proxy directories exist", s.member.DataDir)
	}
	return isProxy || !isMember && s.Proxying.Proxy != "off", nil
}

// holdsAnything reports whether there is something in a directory.
func holdsAnything(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) > 0
}
