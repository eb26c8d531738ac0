package main

import (
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/strakeproject/strake/kv/member"
)

// flags are all flags that mean something here; for the others see ignored.go.
// A list is separated by commas, a duration is a number of milliseconds.
type flags struct {
	Member     memberFlags     `embed:"" group:"member"`
	Clustering clusteringFlags `embed:"" group:"clustering"`
	Proxying   proxyFlags      `embed:"" group:"proxy"`
	Security   securityFlags   `embed:"" group:"security"`
	Logging    loggingFlags    `embed:"" group:"logging"`
	Unsafe     unsafeFlags     `embed:"" group:"unsafe"`
	Old        oldFlags        `embed:"" group:"old"`

	ConfigFile string `placeholder:"FILE" help:"YAML file with flags for keys, also in sections client-transport-security and peer-transport-security."`
	Version    bool   `env:"-" help:"Print the version and exit."`
}

type memberFlags struct {
	Name              string `default:"default" help:"Name of this member, as in --initial-cluster."`
	DataDir           string `placeholder:"DIR" help:"Data directory; default NAME.etcd."`
	WALDir            string `placeholder:"DIR" name:"wal-dir" help:"Directory of the log; default in the data directory. Must stay the same."`
	SnapshotCount     uint32 `placeholder:"N" env:"ETCD_SNAPSHOT_COUNT,ETCD_SNAPSHOTCOUNT" help:"How many changes the log keeps for members that lag, by 1 KiB each; default 65536."`
	HeartbeatInterval uint   `default:"100" help:"Time between a leader's heartbeats."`
	ElectionTimeout   uint   `default:"1000" help:"Time without a heartbeat before an election; at least 5 heartbeats."`
	ListenPeerURLs    string `name:"listen-peer-urls" default:"${peerURLs}" help:"URLs to serve peers on: IP addresses or localhost."`
	ListenClientURLs  string `placeholder:"URLS" name:"listen-client-urls" help:"URLs to serve clients on; default ${clientURLs}."`
	MaxRequestBytes   int64  `default:"10485760" help:"Bytes that the body of a request may have."`
	CORS              string `placeholder:"ORIGINS" name:"cors" help:"Origins that browsers may ask from, or * for all; default none."`
}

type clusteringFlags struct {
	InitialAdvertisePeerURLs string `placeholder:"URLS" name:"initial-advertise-peer-urls" help:"URLs that peers reach this member under; default ${peerURLs}."`
	InitialCluster           string `placeholder:"MEMBERS" help:"All members of a new cluster, as n1=url,n2=url; default this one alone. This flag and the others on bootstrap count only while there is no data."`
	InitialClusterState      string `default:"new" enum:"new,existing" help:"Whether a member without data makes or joins a cluster: new or existing."`
	InitialClusterToken      string `default:"etcd-cluster" help:"Sets clusters with the same members apart."`
	AdvertiseClientURLs      string `placeholder:"URLS" name:"advertise-client-urls" help:"URLs that clients reach this member under; default ${clientURLs}."`
	Discovery                string `placeholder:"URL" help:"URL of a token that says how large the new cluster is, and gathers its members."`
	DiscoveryFallback        string `default:"proxy" enum:"proxy,exit" help:"What to do when the token's cluster is full: proxy or exit."`
	DiscoveryProxy           string `placeholder:"URL" help:"HTTP proxy to reach the discovery service through."`
	DiscoverySRV             string `placeholder:"DOMAIN" name:"discovery-srv" help:"Domain whose records _etcd-server-ssl._tcp and _etcd-server._tcp name the members."`
	DiscoverySRVName         string `placeholder:"NAME" name:"discovery-srv-name" help:"What follows etcd-server-ssl and etcd-server in the names of those records, after a dash."`
	StrictReconfigCheck      bool   `default:"true" help:"Refuse changes of members that would lose the quorum; they are refused in any case."`
}

type proxyFlags struct {
	Proxy                string `default:"off" enum:"off,on,readonly" help:"Be no member but pass requests on to the members: off, on or readonly."`
	ProxyFailureWait     uint   `default:"5000" help:"Time that a member rests which could not be reached."`
	ProxyRefreshInterval uint   `default:"30000" help:"Time between two looks for members."`
	ProxyDialTimeout     uint   `default:"1000" help:"Time to open a connection to a member in."`
	ProxyWriteTimeout    uint   `default:"5000" help:"Time for a write to a member."`
	ProxyReadTimeout     uint   `default:"0" help:"Time that a member may be silent; 0 for ever, as watches want."`
}

type securityFlags struct {
	CertFile                  string `placeholder:"FILE" help:"Certificate for https client URLs. Changed files are used from the next connection on."`
	KeyFile                   string `placeholder:"FILE" help:"Its key."`
	ClientCertAuth            bool   `help:"Demand a certificate of clients; its common name is the user of a request that names none."`
	TrustedCAFile             string `placeholder:"FILE" name:"trusted-ca-file" help:"Who has to have signed those certificates; default the system's authorities."`
	ClientCertAllowedHostname string `placeholder:"NAME" help:"Name that a client's certificate must have."`
	AutoTLS                   bool   `name:"auto-tls" help:"Serve https client URLs with a certificate of this member's own making."`
	CipherSuites              string `placeholder:"SUITES" help:"Cipher suites for clients that talk TLS 1.2; default Go's choice."`
	PeerCertFile              string `placeholder:"FILE" help:"Certificate for https peer URLs, to serve and to dial with."`
	PeerKeyFile               string `placeholder:"FILE" help:"Its key."`
	PeerClientCertAuth        bool   `help:"Demand a certificate of peers."`
	PeerTrustedCAFile         string `placeholder:"FILE" name:"peer-trusted-ca-file" help:"Who has to have signed the certificates of peers."`
	PeerCertAllowedCN         string `placeholder:"NAME" name:"peer-cert-allowed-cn" help:"Name that a peer's certificate must have."`
	PeerCertAllowedHostname   string `placeholder:"NAME" help:"Likewise."`
	PeerAutoTLS               bool   `name:"peer-auto-tls" help:"Talk to peers over TLS with certificates of their own making, which nobody verifies."`
	ClientCRLFile             string `placeholder:"FILE" name:"client-crl-file" help:"Lists of certificates that were revoked, which clients must not show, nor members to a proxy. A changed file is used from the next connection on."`
	PeerCRLFile               string `placeholder:"FILE" name:"peer-crl-file" help:"Likewise for peers, whoever dials."`
}

type loggingFlags struct {
	LogLevel          string `default:"info" enum:"debug,info,warn,error,dpanic,panic,fatal" help:"What to log at least: debug, info, warn or error."`
	Debug             bool   `help:"The same as --log-level=debug."`
	LogOutputs        string `default:"default" help:"Where to log to: stderr, stdout or files."`
	Logger            string `default:"capnslog" enum:"capnslog,zap" help:"How to log: capnslog for text, zap for JSON."`
	EnablePprof       bool   `help:"Serve profiles under /debug/pprof/ to clients."`
	ListenMetricsURLs string `placeholder:"URLS" name:"listen-metrics-urls" help:"URLs to serve /metrics and /health on besides."`
}

type unsafeFlags struct {
	ForceNewCluster bool `help:"Make this member, with its data, the only one of a new cluster. For when the majority is lost for good."`
}

// oldFlags are of the time before 2.0, when there was one host:port each.
type oldFlags struct {
	Addr         string `placeholder:"HOST:PORT" help:"host:port for --advertise-client-urls."`
	BindAddr     string `placeholder:"HOST:PORT" help:"host:port for --listen-client-urls; default that of --addr."`
	PeerAddr     string `placeholder:"HOST:PORT" help:"host:port for --initial-advertise-peer-urls."`
	PeerBindAddr string `placeholder:"HOST:PORT" help:"host:port for --listen-peer-urls; default that of --peer-addr."`
	CAFile       string `placeholder:"FILE" name:"ca-file" help:"--trusted-ca-file with --client-cert-auth."`
	PeerCAFile   string `placeholder:"FILE" name:"peer-ca-file" help:"--peer-trusted-ca-file with --peer-client-cert-auth."`
}

const description = `A member of a replicated key-value store with the etcd v2 API, or a proxy to one.

Every flag --a-b has a variable ETCD_A_B and may stand in the file of --config-file. A flag wins over a variable,
and that over the file; an empty variable counts for nothing. Times are in milliseconds, lists have commas.

The exit status is 0 after SIGTERM or SIGINT and when the member was removed from its cluster, 2 for a bad flag
and 1 for everything else.`

func newParser(f *flags, file *resolver, opts ...kong.Option) *kong.Kong {
	return kong.Must(f, append(opts, kong.Name("etcd"), kong.DefaultEnvars("ETCD"), kong.Description(description), kong.Resolvers(file),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 120}),
		kong.ExplicitGroups([]kong.Group{
			{Key: "member", Title: "Member"},
			{Key: "clustering", Title: "Clustering"},
			{Key: "proxy", Title: "Proxy"},
			{Key: "security", Title: "Security"},
			{Key: "logging", Title: "Logging and monitoring"},
			{Key: "unsafe", Title: "Unsafe"},
			{Key: "old", Title: "Names of old"},
		}),
		kong.Vars{"peerURLs": defaultPeerURLs, "clientURLs": defaultClientURLs})...)
}

const (
	defaultPeerURLs   = member.DefaultPeerURL + ",http://localhost:7001"
	defaultClientURLs = member.DefaultClientURL + ",http://localhost:4001"
)

// environment returns the variables that are for this program. An empty one is
// the same as none, which lets unit files mention them all.
func environment(environ []string) map[string]string {
	own := make(map[string]string)
	for _, v := range environ {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "ETCD_") && value != "" {
			own[name] = value
		}
	}
	return own
}

// dropEmptyVariables keeps the parser from seeing them.
func dropEmptyVariables() {
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); value == "" && strings.HasPrefix(name, "ETCD_") {
			_ = os.Unsetenv(name) // fails for malformed names alone
		}
	}
}

// unknownVariables returns the variables that look as if they were meant for this
// program and are not, in order.
func unknownVariables(app *kong.Application, env map[string]string) []string {
	var unknown []string
	for name := range env {
		if !slices.ContainsFunc(app.Flags, func(f *kong.Flag) bool { return slices.Contains(f.Envs, name) }) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}
