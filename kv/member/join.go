package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
)

// A place is what a new member has in a cluster that exists.
type place struct {
	cluster raftstore.Cluster
	urls    []string // of this member, as the cluster knows them
}

// findPlace asks the peers for their cluster and looks for this member in it.
// One peer that knows of it is enough: others may lag.
func (c *Config) findPlace(ctx context.Context) (place, error) {
	self, err := c.self(ctx)
	if err != nil {
		return place{}, err
	}
	client := c.peerClient()
	defer client.CloseIdleConnections()
	var refused error
	var silent []error
	for _, m := range c.peers() {
		cluster, err := httppeer.Discover(ctx, client, m.URLs...)
		if err != nil {
			silent = append(silent, err)
			continue
		}
		p, err := c.placeIn(ctx, cluster, self)
		if err == nil {
			return p, nil
		}
		if refused == nil {
			refused = err
		}
	}
	if refused != nil {
		return place{}, refused
	}
	silent = append(silent, ctx.Err())
	return place{}, fmt.Errorf("cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs: %w",
		errors.Join(silent...))
}

// placeIn holds the initial cluster against the one that exists. Members match
// by their peer URLs, since a new one has no id and no name there yet.
func (c *Config) placeIn(ctx context.Context, cluster raftstore.Cluster, self raftstore.InitialMember) (place, error) {
	refuse := func(format string, args ...any) (place, error) {
		return place{}, fmt.Errorf("error validating peerURLs %s: %w", describe(cluster), fmt.Errorf(format, args...))
	}
	if len(cluster.Members) != len(c.InitialCluster) {
		return refuse("member count is unequal")
	}
	listed := make(map[string]raftstore.InitialMember)
	for _, m := range c.InitialCluster {
		key, err := urlKey(ctx, m.URLs)
		if err != nil {
			return place{}, err
		}
		listed[key] = m
	}
	var p place
	for _, m := range cluster.Members {
		key, err := urlKey(ctx, m.PeerURLs)
		if err != nil {
			return place{}, err
		}
		match, ok := listed[key]
		switch {
		case !ok:
			return refuse("PeerURLs: no match found for existing member (%x, %v)", m.ID, m.PeerURLs)
		case match.Name != self.Name:
		case m.Storage != 0:
			return place{}, bootstrapped(m.ID)
		default:
			p = place{cluster, m.PeerURLs}
		}
		delete(listed, key)
	}
	if p.urls == nil {
		return refuse("PeerURLs: no match found for %s=%s", self.Name, strings.Join(self.URLs, ","))
	}
	return p, nil
}

// urlKey is the same for URLs that mean the same.
func urlKey(ctx context.Context, urls []string) (string, error) {
	resolved, err := resolveAll(ctx, urls)
	slices.Sort(resolved)
	return strings.Join(resolved, ","), err
}

// describe prints a cluster for a message.
func describe(c raftstore.Cluster) string {
	var ms []string
	for _, m := range c.Members {
		ms = append(ms, fmt.Sprintf("{ID:%x PeerURLs:%v}", m.ID, m.PeerURLs))
	}
	return fmt.Sprintf("{ClusterID:%x Members:[%s]}", c.ID, strings.Join(ms, " "))
}
