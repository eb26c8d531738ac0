package member

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

// ParseCluster parses a list of members as the original's --initial-cluster has
// it, "n1=url,n1=url2,n2=url". Members come in the order of their first
// mention.
func ParseCluster(list string) ([]raftstore.InitialMember, error) {
	var ms []raftstore.InitialMember
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(list, ",") {
		name, u, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("initial cluster %s: %q does not have the form name=url", list, part)
		}
		if _, err := parseURL(u); err != nil {
			return nil, fmt.Errorf("initial cluster %s: member %s: %w", list, name, err)
		}
		if seen[u] {
			return nil, fmt.Errorf("initial cluster %s has duplicate url", list)
		}
		seen[u] = true
		i := slices.IndexFunc(ms, func(m raftstore.InitialMember) bool { return m.Name == name })
		if i < 0 {
			i = len(ms)
			ms = append(ms, raftstore.InitialMember{Name: name})
		}
		ms[i].URLs = append(ms[i].URLs, u)
	}
	return ms, nil
}

// memberDir is where the member's data is under DataDir.
func (c *Config) memberDir() string { return filepath.Join(c.DataDir, "member") }

// logName is the log's directory in there, unless Config.LogDir names another.
const logName = "log"

// checkBootstrap finds the mistakes that would make a new member one that its
// peers do not expect.
func (c *Config) checkBootstrap(ctx context.Context) error {
	self, err := c.self(ctx)
	if err != nil {
		return err
	}
	return c.checkUnknown(ctx, self)
}

// self returns this member's entry in InitialCluster.
func (c *Config) self(ctx context.Context) (raftstore.InitialMember, error) {
	i := slices.IndexFunc(c.InitialCluster, func(m raftstore.InitialMember) bool { return m.Name == c.Name })
	if i < 0 {
		return raftstore.InitialMember{}, fmt.Errorf("couldn't find local name %q in the initial cluster configuration", c.Name)
	}
	self := c.InitialCluster[i]
	return self, matchURLs(ctx, self, c.AdvertisePeerURLs)
}

// matchURLs checks that a member is listed under the URLs that it advertises.
// Names are as good as the addresses they resolve to.
func matchURLs(ctx context.Context, self raftstore.InitialMember, advertised []string) error {
	listed, err := resolveAll(ctx, self.URLs)
	if err != nil {
		return err
	}
	own, err := resolveAll(ctx, advertised)
	if err != nil {
		return err
	}
	cluster := self.Name + "=" + strings.Join(self.URLs, ","+self.Name+"=")
	for i, u := range listed {
		if !slices.Contains(own, u) {
			return fmt.Errorf("--initial-cluster has %s=%s but missing from --initial-advertise-peer-urls=%s",
				self.Name, self.URLs[i], strings.Join(advertised, ","))
		}
	}
	for i, u := range own {
		if !slices.Contains(listed, u) {
			return fmt.Errorf("--initial-advertise-peer-urls has %s but missing from --initial-cluster=%s",
				advertised[i], cluster)
		}
	}
	return nil
}

// resolveAll replaces the host names in URLs by addresses. Names that do not
// resolve stay.
func resolveAll(ctx context.Context, urls []string) ([]string, error) {
	out := make([]string, len(urls))
	for i, s := range urls {
		u, err := parseURL(s)
		if err != nil {
			return nil, err
		}
		if ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname()); err == nil && len(ips) > 0 {
			slices.SortFunc(ips, func(a, b netip.Addr) int { return a.Unmap().Compare(b.Unmap()) })
			u.Host = net.JoinHostPort(ips[0].Unmap().String(), u.Port())
		}
		out[i] = u.String()
	}
	return out, nil
}

// askTimeout bounds how long a start waits for one peer's answer.
const askTimeout = time.Second

// peerClient returns a client that asks peers. The caller closes its idle
// connections.
func (c *Config) peerClient() *http.Client {
	transport := &http.Transport{DialContext: c.DialPeer}
	if c.PeerTLS != nil {
		transport.TLSClientConfig = c.PeerTLS.Client()
	}
	return &http.Client{Timeout: askTimeout, Transport: transport}
}

// peers returns the members of InitialCluster but this one.
func (c *Config) peers() []raftstore.InitialMember {
	return slices.DeleteFunc(slices.Clone(c.InitialCluster), func(m raftstore.InitialMember) bool { return m.Name == c.Name })
}

// checkUnknown asks the peers whether they have seen this member before. If so,
// its data was lost, and with it promises that a member must not forget: it has
// to be removed and added again.
func (c *Config) checkUnknown(ctx context.Context, self raftstore.InitialMember) error {
	id := InitialID(self.URLs, c.InitialClusterToken)
	client := c.peerClient()
	defer client.CloseIdleConnections()
	for _, m := range c.peers() {
		for _, u := range m.URLs {
			known, err := fetchMembers(ctx, client, u)
			if err != nil {
				c.Logger.Debug("peer does not tell its members", "url", u, "err", err)
				continue
			}
			for _, k := range known {
				if k.Name != "" && (k.ID == id || shareURL(k.PeerURLs, self.URLs)) {
					return bootstrapped(k.ID)
				}
			}
			break
		}
	}
	return ctx.Err()
}

func shareURL(a, b []string) bool {
	return slices.ContainsFunc(a, func(u string) bool { return slices.Contains(b, u) })
}

// bootstrapped is the error of a member that has lost its data.
func bootstrapped(id uint64) error {
	return fmt.Errorf("member %x has already been bootstrapped", id)
}

// InitialID is the id of a member of a new cluster with these peer URLs and this
// token, by etcd's rule. Discovery uses it before there is a cluster.
func InitialID(urls []string, token string) uint64 {
	sum := sha1.Sum([]byte(strings.Join(slices.Sorted(slices.Values(urls)), "") + token))
	return binary.BigEndian.Uint64(sum[:])
}

// maxMembersBody is more than any list of members takes.
const maxMembersBody = 1 << 20

// fetchMembers asks a peer for the members it knows.
func fetchMembers(ctx context.Context, client *http.Client, base string) ([]Info, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+membersPath, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", base, resp.Status)
	}
	var ms []Info
	err = json.NewDecoder(io.LimitReader(resp.Body, maxMembersBody)).Decode(&ms)
	return ms, err
}
