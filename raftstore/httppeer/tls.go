package httppeer

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"sync"
)

// TLSConfig says how members prove to each other who they are. All members of a
// cluster need certificates that serve for both ends of a connection: a member
// dials as often as it is dialled.
type TLSConfig struct {
	// CertFile holds this member's certificate and the intermediate ones after
	// it, KeyFile its private key, both in PEM.
	CertFile, KeyFile string
	// CAFile holds the certificates, in PEM, of those who sign for peers. May be
	// empty only with AllowAnonymous; the system's are then trusted.
	CAFile string

	// Certificate and Roots take the place of the files, for certificates that
	// come from elsewhere. They are called for every handshake; when they fail the
	// latest they gave goes on being used.
	Certificate func() (*tls.Certificate, error)
	Roots       func() (*x509.CertPool, error)

	// Revoked are certificates that count for nothing any more: whoever shows one,
	// be it of an authority in between, is refused, whether it dials or is
	// dialled. Default: none.
	Revoked *Revocations

	// AllowedNames, if there are any, are who may be a peer: its certificate must
	// have one of them as common name, as DNS name (a wildcard certificate
	// matches), as IP address or as URI.
	AllowedNames []string
	// AllowAnonymous lets members in that show no certificate, as etcd does unless
	// it is given --peer-client-cert-auth. Connections are then encrypted, and the
	// peer that is dialled is known, but anybody can pose as a member that dials.
	AllowAnonymous bool
	// Unverified takes whatever certificate is shown, also by the member that is
	// dialled: what travels is hidden from those who listen, not from those who
	// interfere. It is for certificates that members made for themselves, and
	// needs AllowAnonymous.
	Unverified bool
	// ForClients says that those who dial are clients of some API, not members.
	// TLS 1.2 will do then, and the certificate need not serve for dialling.
	ForClients bool

	// Logger receives a line when changed files are taken or cannot be used, and
	// when a peer is refused for its name or what is Revoked. Default: none.
	Logger *slog.Logger
}

// TLS is the identity of a member and what it demands of its peers. It serves
// the listener, the Transport and everything else that talks to peers, and is
// safe for concurrent use.
//
// Files are looked at for each handshake and read again when they have changed.
// What is connected stays so. Files that cannot be used, such as a certificate
// whose key is yet to be written, leave those from before in place.
type TLS struct {
	cfg TLSConfig
	log *slog.Logger

	mu     sync.Mutex
	stamps stamps // of the files when they were read last, usable or not
	cert   *tls.Certificate
	roots  *x509.CertPool
}

// LoadTLS reads certificates and key. It fails if they cannot be used.
func LoadTLS(cfg TLSConfig) (*TLS, error) {
	s := &TLS{cfg: cfg, log: cfg.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("httppeer: %w", err)
	}
	s.stamps = s.files()
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("httppeer: %w", err)
	}
	return s, nil
}

func (c *TLSConfig) check() error {
	switch {
	case c.Certificate == nil && (c.CertFile == "" || c.KeyFile == ""):
		return errors.New("TLS needs a certificate file and a key file")
	case c.Unverified && !c.AllowAnonymous:
		return errors.New("TLS that does not verify certificates cannot demand them")
	case c.Roots == nil && c.CAFile == "" && !c.AllowAnonymous:
		return errors.New("TLS needs a CA file to verify peers with")
	case c.AllowAnonymous && len(c.AllowedNames) > 0:
		return errors.New("TLS with allowed names cannot let anonymous peers in")
	case slices.Contains(c.AllowedNames, ""):
		return errors.New("an allowed name is empty")
	}
	return nil
}

// Server returns the settings for a listener that peers dial. They follow the
// files as these change.
//
// Sessions are not resumed: a CA that is taken out of the file must not be
// trusted any longer by way of an earlier handshake.
func (s *TLS) Server() *tls.Config {
	return &tls.Config{
		MinVersion: s.minVersion(),
		NextProtos: []string{"http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			cert, roots := s.current()
			c := s.common()
			c.Certificates = []tls.Certificate{*cert}
			c.SessionTicketsDisabled = true
			if !s.cfg.AllowAnonymous {
				c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, roots
			}
			return c, nil
		},
	}
}

// minVersion is the oldest version of TLS that is good enough.
func (s *TLS) minVersion() uint16 {
	if s.cfg.ForClients {
		return tls.VersionTLS12
	}
	return tls.VersionTLS13
}

// Client returns the settings to dial peers with as the files are now. Those who
// dial for long, as the Transport does, take new ones for each connection.
func (s *TLS) Client() *tls.Config {
	cert, roots := s.current()
	c := s.common()
	c.RootCAs, c.InsecureSkipVerify = roots, s.cfg.Unverified
	// Shown even to a peer that does not trust who signed it: that makes the
	// error plain, on both sides.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	return c
}

func (s *TLS) common() *tls.Config {
	return &tls.Config{
		MinVersion:       s.minVersion(),
		NextProtos:       []string{"http/1.1"},
		VerifyConnection: s.checkPeer,
	}
}

// checkPeer verifies what is demanded of a certificate besides who signed it.
func (s *TLS) checkPeer(c tls.ConnectionState) error {
	if err := s.checkName(c); err != nil {
		return err
	}
	if s.cfg.Revoked == nil {
		return nil
	}
	err := s.cfg.Revoked.Check(c)
	if err != nil {
		s.log.Warn("httppeer: refused", "err", err)
		err = fmt.Errorf("httppeer: %w", err)
	}
	return err
}

// checkName verifies that the certificate of a peer carries an allowed name.
func (s *TLS) checkName(c tls.ConnectionState) error {
	if len(s.cfg.AllowedNames) == 0 {
		return nil
	}
	if len(c.PeerCertificates) == 0 {
		return errors.New("httppeer: peer shows no certificate")
	}
	leaf := c.PeerCertificates[0]
	for _, name := range s.cfg.AllowedNames {
		if carries(leaf, name) {
			return nil
		}
	}
	s.log.Warn("httppeer: certificate has no allowed name", "cn", leaf.Subject.CommonName, "dns", leaf.DNSNames, "ip", leaf.IPAddresses)
	return fmt.Errorf("httppeer: certificate of %q has no allowed name", leaf.Subject.CommonName)
}

func carries(leaf *x509.Certificate, name string) bool {
	return leaf.Subject.CommonName == name || leaf.VerifyHostname(name) == nil ||
		slices.ContainsFunc(leaf.URIs, func(u *url.URL) bool { return u.String() == name })
}

// checkRequest verifies what the listener should have: it is somebody else's.
func (s *TLS) checkRequest(c *tls.ConnectionState) error {
	switch {
	case c == nil:
		return errors.New("this member talks to its peers over TLS only")
	case s.cfg.AllowAnonymous:
		return nil
	case len(c.VerifiedChains) == 0:
		return errors.New("this member takes peers with a verified certificate only")
	}
	return s.checkPeer(*c)
}

// current returns certificate and roots to use for a handshake that begins now.
func (s *TLS) current() (*tls.Certificate, *x509.CertPool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.files()
	changed := !now.same(s.stamps)
	if changed || s.cfg.Certificate != nil || s.cfg.Roots != nil {
		s.stamps = now
		err := s.load()
		switch {
		case err != nil:
			s.log.Warn("httppeer: certificates cannot be used, those from before stay", "err", err)
		case changed:
			s.log.Info("httppeer: new certificates taken", "cert", s.cfg.CertFile, "ca", s.cfg.CAFile)
		}
	}
	return s.cert, s.roots
}

// load reads everything, and changes something only if all of it is good. It is
// called with mu held, or before anybody else has s.
func (s *TLS) load() error {
	cert, err := s.loadCertificate()
	if err != nil {
		return err
	}
	roots, err := s.loadRoots()
	if err != nil {
		return err
	}
	s.warn(cert, roots)
	s.cert, s.roots = cert, roots
	return nil
}

func (s *TLS) loadCertificate() (*tls.Certificate, error) {
	if s.cfg.Certificate != nil {
		return s.cfg.Certificate()
	}
	cert, err := tls.LoadX509KeyPair(s.cfg.CertFile, s.cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", s.cfg.CertFile, s.cfg.KeyFile, err)
	}
	return &cert, nil
}

func (s *TLS) loadRoots() (*x509.CertPool, error) {
	if s.cfg.Roots != nil {
		return s.cfg.Roots()
	}
	if s.cfg.CAFile == "" {
		return nil, nil // which stands for the system's
	}
	b, err := os.ReadFile(s.cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("CA file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("CA file %s: no certificate in it", s.cfg.CAFile)
	}
	return roots, nil
}

// warn tells of a certificate that peers set up like this member would refuse.
// It is no error: a clock may yet be set, and CAs be exchanged one by one.
func (s *TLS) warn(cert *tls.Certificate, roots *x509.CertPool) {
	if s.cfg.AllowAnonymous || s.cfg.ForClients || cert.Leaf == nil || s.cfg.Certificate != nil {
		return
	}
	between := x509.NewCertPool()
	for _, der := range cert.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	_, err := cert.Leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		s.log.Warn("httppeer: peers that trust the same CAs will refuse this member", "cert", s.cfg.CertFile, "ca", s.cfg.CAFile, "err", err)
	}
}

// files returns the stamps of the files in use.
func (s *TLS) files() stamps { return stampsOf(s.cfg.CertFile, s.cfg.KeyFile, s.cfg.CAFile) }
