package main

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strakeproject/strake/kv"
)

// secureURLs makes URLs https.
func secureURLs(urls []string) []string {
	out := slices.Clone(urls)
	for i, u := range out {
		out[i] = strings.Replace(u, "http:", "https:", 1)
	}
	return out
}

// members lists members n0, n1 and so on, as --initial-cluster wants it.
func members(urls []string) string {
	var list []string
	for i, u := range urls {
		list = append(list, name(i)+"="+u)
	}
	return strings.Join(list, ",")
}

func name(i int) string { return "n" + string(rune('0'+i)) }

func TestThreeMembersTalkOverTLSAndKnowTheirClients(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "member", loopback())
	clientCert, clientKey := ca.issue(t, "clients", "127.0.0.1")
	peers := secureURLs(freeURLs(t, 3))
	settings := ca.client(t, "user")
	servers := startAll(t, 3, settings, func(i int) []string {
		return slices.Concat(anyPort("https"), quick(), []string{
			"--name", name(i), "--data-dir", t.TempDir(), "--initial-cluster", members(peers),
			"--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i],
			"--peer-cert-file", cert, "--peer-key-file", key, "--peer-trusted-ca-file", ca.file(), "--peer-client-cert-auth",
			"--peer-cert-allowed-cn=member",
			"--cert-file", clientCert, "--key-file", clientKey, "--ca-file", ca.file(),
		})
	})
	for _, s := range servers {
		if _, err := s.Set(t.Context(), "/a", "1", kv.SetOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := handshake(servers[0].url, ca.client(t, "")); err == nil {
		t.Error("a client without a certificate is served")
	}
	if err := handshake(servers[0].url, newAuthority(t).client(t, "user")); err == nil {
		t.Error("a client that trusts somebody else is served")
	}
	if resp, err := http.Get(strings.Replace(servers[0].url, "https", "http", 1)); err == nil {
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			t.Error("plain HTTP is served")
		}
	}

	// A renewed certificate is shown from the next connection on; the old ones go on.
	before := leaf(t, servers[0].url, settings)
	ca.issue(t, "clients", "127.0.0.1")
	if after := leaf(t, servers[0].url, settings); after == before {
		t.Error("the certificate that was replaced is still shown")
	}
	if _, err := servers[0].Get(t.Context(), "/a", kv.GetOptions{Quorum: true}); err != nil {
		t.Errorf("a client from before: %v", err)
	}
	for _, s := range servers {
		s.terminate(t)
	}
}

// handshake connects to a URL and asks for something, since the server refuses a
// client only after that.
func handshake(url string, settings *tls.Config) error {
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: settings}}
	defer c.CloseIdleConnections()
	resp, err := c.Get(url + "/version")
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// leaf returns the serial number of the certificate that is shown at a URL.
func leaf(t *testing.T, url string, settings *tls.Config) string {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), settings)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func TestMembersMakeCertificatesOfTheirOwn(t *testing.T) {
	peers := secureURLs(freeURLs(t, 2))
	dirs := []string{t.TempDir(), t.TempDir()}
	servers := startAll(t, 2, &tls.Config{InsecureSkipVerify: true}, func(i int) []string {
		return slices.Concat(anyPort("https"), quick(), []string{
			"--name", name(i), "--data-dir", dirs[i], "--initial-cluster", members(peers),
			"--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i], "--peer-auto-tls", "--auto-tls",
			"--cipher-suites", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
		})
	})
	if _, err := servers[0].Set(t.Context(), "/a", "1", kv.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dirs[0], "fixtures", "client", "cert.pem"), filepath.Join(dirs[0], "fixtures", "client", "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := leaf(t, servers[0].url, &tls.Config{InsecureSkipVerify: true}), pair.Leaf.SerialNumber.String(); got != want {
		t.Errorf("shown is certificate %s, want %s", got, want)
	}
	if !pair.Leaf.IPAddresses[0].Equal(net.IPv4(127, 0, 0, 1)) {
		t.Errorf("the certificate is for %v", pair.Leaf.IPAddresses)
	}
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
	old.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
	if err := handshake(servers[0].url, old); err == nil {
		t.Error("a cipher suite that is not listed is taken")
	}
	old.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	if err := handshake(servers[0].url, old); err != nil {
		t.Errorf("the listed cipher suite: %v", err)
	}
	for _, s := range servers {
		s.terminate(t)
	}
}

func TestACertificateThatWasRevokedIsRefused(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "member", "127.0.0.1")
	good, bad := ca.client(t, "good"), ca.client(t, "bad")
	s := launch(t, nil, good, slices.Concat(anyPort("https"), quick(), []string{
		"--data-dir", t.TempDir(), "--listen-peer-urls=http://127.0.0.1:0",
		"--cert-file", cert, "--key-file", key, "--trusted-ca-file", ca.file(), "--client-cert-auth",
		"--client-crl-file", ca.revoke(t),
	})...).await(t)
	defer s.terminate(t)
	for _, settings := range []*tls.Config{good, bad} {
		if err := handshake(s.url, settings); err != nil {
			t.Errorf("before anything is revoked: %v", err)
		}
	}
	ca.revoke(t, bad.Certificates[0].Leaf)
	if err := handshake(s.url, bad); err == nil {
		t.Error("a certificate that was revoked is taken")
	}
	if err := handshake(s.url, good); err != nil {
		t.Errorf("another one was revoked: %v", err)
	}
	ca.revoke(t)
	if err := handshake(s.url, bad); err != nil {
		t.Errorf("it is not revoked any more: %v", err)
	}
}

func TestAProxyRefusesAMemberWhoseCertificateWasRevoked(t *testing.T) {
	ca := newAuthority(t)
	pair, err := tls.LoadX509KeyPair(ca.issue(t, "member", "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	lists := ca.revoke(t)
	for name, proxied := range map[string]func(*settings) (dialled *tls.Config, err error){
		"client URL": func(s *settings) (*tls.Config, error) {
			s.Security = securityFlags{TrustedCAFile: ca.file(), ClientCRLFile: lists}
			cfg, err := s.proxyConfig(t.Context(), slog.New(slog.DiscardHandler))
			return cfg.TLS, err
		},
		"peer URL": func(s *settings) (*tls.Config, error) {
			s.Security = securityFlags{PeerTrustedCAFile: ca.file(), PeerCRLFile: lists}
			cfg, err := s.proxyConfig(t.Context(), slog.New(slog.DiscardHandler))
			return cfg.PeerTLS, err
		},
	} {
		s, err := parse(t, "--proxy=on", "--data-dir", t.TempDir()).settle()
		if err != nil {
			t.Fatal(err)
		}
		dialled, err := proxied(s)
		if err != nil {
			t.Fatal(err)
		}
		member := httptest.NewUnstartedServer(http.NotFoundHandler())
		member.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		member.StartTLS()
		if err := handshake(member.URL, dialled); err != nil {
			t.Errorf("%s, nothing is revoked: %v", name, err)
		}
		ca.revoke(t, pair.Leaf)
		if err := handshake(member.URL, dialled); err == nil || !strings.Contains(err.Error(), "was revoked") {
			t.Errorf("%s: got error %v, want that it was revoked", name, err)
		}
		ca.revoke(t)
		member.Close()
	}
}
