package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
)

// Config says which member to open. Fields at their zero value take the default
// named with them.
type Config struct {
	// Name names the member in InitialCluster. Default "default".
	Name string
	// DataDir is made if missing. Default is Name with ".etcd" appended, in the
	// working directory.
	DataDir string
	// LogDir is where the log is kept. Default: in DataDir. A member that has
	// data needs the same one each time.
	LogDir string

	// PeerListeners are where peers are served; see Listen. The Member owns them
	// from Open on. Without any, the member serves no peers, as befits the only
	// member of its cluster.
	PeerListeners []net.Listener
	// PeerTLS, if set, is required of all peers, whose URLs must then be https.
	// PeerListeners should be made with its settings; see ListenTLS. Default: peers
	// are trusted, and their URLs must be http.
	PeerTLS *httppeer.TLS
	// DialPeer opens connections to peers. Default: a net.Dialer.
	DialPeer func(ctx context.Context, network, addr string) (net.Conn, error)

	// AdvertisePeerURLs are where peers reach this member. Default
	// DefaultPeerURL.
	AdvertisePeerURLs []string
	// InitialCluster lists all members of a new cluster, this one with its
	// AdvertisePeerURLs included; see ParseCluster. Default: this one alone.
	// Ignored when DataDir already holds a member.
	InitialCluster []raftstore.InitialMember
	// InitialClusterToken sets clusters with the same members apart. Default
	// "etcd-cluster". Ignored when DataDir already holds a member.
	InitialClusterToken string
	// Existing says that a member without data joins a cluster that exists, to
	// which Member.AddMember has added it under AdvertisePeerURLs.
	// InitialCluster then lists all members of that cluster, this one included.
	// Ignored when DataDir already holds a member.
	Existing bool
	// ForceNewCluster makes the member in DataDir the only one of a new cluster,
	// with all its data, at AdvertisePeerURLs. It is for when a majority is lost
	// for good; see raftstore.Recover. Ignored when DataDir holds nothing.
	ForceNewCluster bool
	// AdvertiseClientURLs are published to the cluster at each start. Default:
	// none.
	AdvertiseClientURLs []string

	// HeartbeatInterval is the time between a leader's heartbeats. Default 100 ms.
	HeartbeatInterval time.Duration
	// ElectionTimeout is how long a member hears nothing from a leader before it
	// stands for election; up to twice that, drawn at random. Default 1 s.
	ElectionTimeout time.Duration

	// LogRetainBytes is how much of the log stays on disk for members that lag.
	// The state is made durable once twice as much waits for that, which is what
	// a start has to apply again at most. Default 64 MiB.
	LogRetainBytes int64
	// LogCapBytes is how much of the log a leader keeps for a reachable member
	// that lags further. What lags more gets a copy of the whole state. Default
	// 1 GiB.
	LogCapBytes int64

	// Version is that of the server, which peers are told. Default "3.4.0", whose
	// v2 API this is.
	Version string

	// Logger receives one line per event an operator acts on. Default: none.
	Logger *slog.Logger
}

// Defaults of the original.
const (
	DefaultName      = "default"
	DefaultPeerURL   = "http://localhost:2380"
	DefaultClientURL = "http://localhost:2379"
	DefaultToken     = "etcd-cluster"
	DefaultHeartbeat = 100 * time.Millisecond
	DefaultElection  = time.Second
)

const (
	defaultLogRetain = 64 << 20
	defaultLogCap    = 1 << 30
	defaultVersion   = "3.4.0"
)

// maxElection is what the original still takes for an election timeout.
const maxElection = 50 * time.Second

func (c *Config) fill() error {
	c.Name = cmp.Or(c.Name, DefaultName)
	c.DataDir = cmp.Or(c.DataDir, c.Name+".etcd")
	c.InitialClusterToken = cmp.Or(c.InitialClusterToken, DefaultToken)
	c.HeartbeatInterval = cmp.Or(c.HeartbeatInterval, DefaultHeartbeat)
	c.ElectionTimeout = cmp.Or(c.ElectionTimeout, DefaultElection)
	c.LogDir = cmp.Or(c.LogDir, filepath.Join(c.memberDir(), logName))
	c.LogRetainBytes = cmp.Or(c.LogRetainBytes, defaultLogRetain)
	c.LogCapBytes = max(cmp.Or(c.LogCapBytes, defaultLogCap), c.LogRetainBytes)
	c.Version = cmp.Or(c.Version, defaultVersion)
	if len(c.AdvertisePeerURLs) == 0 {
		c.AdvertisePeerURLs = []string{DefaultPeerURL}
	}
	if len(c.InitialCluster) == 0 {
		c.InitialCluster = []raftstore.InitialMember{{Name: c.Name, URLs: c.AdvertisePeerURLs}}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	hb, el := c.HeartbeatInterval, c.ElectionTimeout
	switch {
	case hb < time.Millisecond:
		return fmt.Errorf("--heartbeat-interval must be >0 (set to %dms)", hb.Milliseconds())
	case el < 5*hb:
		return fmt.Errorf("--election-timeout[%dms] should be at least as 5 times as --heartbeat-interval[%dms]",
			el.Milliseconds(), hb.Milliseconds())
	case el > maxElection:
		return fmt.Errorf("--election-timeout[%dms] is too long, and should be set less than %dms",
			el.Milliseconds(), maxElection.Milliseconds())
	case len(c.PeerListeners) == 0 && len(c.InitialCluster) > 1:
		return errors.New("a member of a larger cluster needs listeners for its peers")
	}
	return nil
}

// requestTimeout is the original's: time for two elections and 5 s for the rest.
func (c *Config) requestTimeout() time.Duration { return 5*time.Second + 2*c.ElectionTimeout }
