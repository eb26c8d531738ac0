package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strakeproject/strake/kv/member"
	"github.com/strakeproject/strake/raftstore/httppeer"
)

// adopt takes the names of old.
func (f *securityFlags) adopt(old *oldFlags) {
	if old.CAFile != "" {
		f.TrustedCAFile, f.ClientCertAuth = cmp.Or(f.TrustedCAFile, old.CAFile), true
	}
	if old.PeerCAFile != "" {
		f.PeerTrustedCAFile, f.PeerClientCertAuth = cmp.Or(f.PeerTrustedCAFile, old.PeerCAFile), true
	}
}

// clientTLS returns the settings to serve clients with; nil if no URL is https.
// They follow their files.
func (s *settings) clientTLS(log *slog.Logger) (*tls.Config, error) {
	f := &s.Security
	revoked, err := revocations("client-crl-file", f.ClientCRLFile)
	if err != nil {
		return nil, err
	}
	listen := slices.Concat(s.clientListen, s.metricsListen)
	if is, _ := secure(listen); !is {
		if f.CertFile != "" || f.AutoTLS {
			log.Warn("no client URL is https, the certificate for clients is ignored", "listen", listen)
		}
		return nil, nil
	}
	cert, key := f.CertFile, f.KeyFile
	if f.AutoTLS && cert == "" {
		if cert, key, err = member.SelfSigned(filepath.Join(s.member.DataDir, "fixtures", "client"), hosts(listen)...); err != nil {
			return nil, fmt.Errorf("--auto-tls: %w", err)
		}
	}
	if f.ClientCertAllowedHostname != "" && !f.ClientCertAuth {
		return nil, errors.New("--client-cert-allowed-hostname needs --client-cert-auth")
	}
	settings, err := httppeer.LoadTLS(httppeer.TLSConfig{
		CertFile: cert, KeyFile: key, CAFile: f.TrustedCAFile, AllowAnonymous: !f.ClientCertAuth,
		Revoked: revoked, AllowedNames: names(f.ClientCertAllowedHostname), ForClients: true, Logger: log,
	})
	if err != nil {
		return nil, fmt.Errorf("TLS for clients: %w", err)
	}
	return f.withSuites(settings.Server())
}

// withSuites applies --cipher-suites.
func (f *securityFlags) withSuites(c *tls.Config) (*tls.Config, error) {
	if f.CipherSuites == "" {
		return c, nil
	}
	var ids []uint16
	for name := range strings.SplitSeq(f.CipherSuites, ",") {
		all := slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites())
		i := slices.IndexFunc(all, func(s *tls.CipherSuite) bool { return s.Name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("--cipher-suites: unexpected TLS cipher suite %q", name)
		}
		ids = append(ids, all[i].ID)
	}
	current := c.GetConfigForClient // which makes settings anew for each handshake
	c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := current(h)
		if err == nil {
			c.CipherSuites = ids
		}
		return c, err
	}
	return c, nil
}

// revocations reads the file of revocation lists that a flag names; nil if it
// names none.
func revocations(flag, path string) (*httppeer.Revocations, error) {
	if path == "" {
		return nil, nil
	}
	r, err := httppeer.LoadRevocations(path)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return r, nil
}

// peerTLS returns the settings to talk to peers with; nil if their URLs are http.
func (s *settings) peerTLS(log *slog.Logger) (*httppeer.TLS, error) {
	f := &s.Security
	revoked, err := revocations("peer-crl-file", f.PeerCRLFile)
	is, mixed := secure(s.peerListen)
	switch {
	case err != nil:
		return nil, err
	case mixed:
		return nil, errors.New("--listen-peer-urls: peers are served either over http or over https")
	case !is && (f.PeerCertFile != "" || f.PeerAutoTLS):
		log.Warn("no peer URL is https, the certificate for peers is ignored", "listen", s.peerListen)
		return nil, nil
	case !is:
		return nil, nil
	}
	cfg := httppeer.TLSConfig{
		CertFile: f.PeerCertFile, KeyFile: f.PeerKeyFile, CAFile: f.PeerTrustedCAFile, Revoked: revoked,
		AllowAnonymous: !f.PeerClientCertAuth, AllowedNames: names(f.PeerCertAllowedCN, f.PeerCertAllowedHostname), Logger: log,
	}
	if len(cfg.AllowedNames) > 0 && cfg.AllowAnonymous {
		return nil, errors.New("--peer-cert-allowed-cn and --peer-cert-allowed-hostname need --peer-client-cert-auth")
	}
	if f.PeerAutoTLS && cfg.CertFile == "" {
		dir := filepath.Join(s.member.DataDir, "fixtures", "peer")
		if cfg.CertFile, cfg.KeyFile, err = member.SelfSigned(dir, hosts(s.peerListen)...); err != nil {
			return nil, fmt.Errorf("--peer-auto-tls: %w", err)
		}
		cfg.CAFile, cfg.AllowAnonymous, cfg.Unverified = "", true, true
	}
	settings, err := httppeer.LoadTLS(cfg)
	if err != nil {
		return nil, fmt.Errorf("TLS for peers: %w", err)
	}
	return settings, nil
}

// names returns those that are not empty.
func names(all ...string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// hosts returns the hosts of URLs, which have been parsed before.
func hosts(urls []string) []string {
	var all []string
	for _, s := range urls {
		if u, err := url.Parse(s); err == nil && !slices.Contains(all, u.Hostname()) {
			all = append(all, u.Hostname())
		}
	}
	return all
}
