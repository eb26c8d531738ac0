package httppeer_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
)

func fileConfig(dir string) httppeer.TLSConfig {
	return httppeer.TLSConfig{
		CertFile: filepath.Join(dir, "peer.crt"), KeyFile: filepath.Join(dir, "peer.key"), CAFile: filepath.Join(dir, "ca.crt"),
	}
}

func loadTLS(t testing.TB, cfg httppeer.TLSConfig) *httppeer.TLS {
	t.Helper()
	s, err := httppeer.LoadTLS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newTLSHost serves a member on a listener with its own settings.
func newTLSHost(t testing.TB, id uint64, cfg httppeer.Config) *host {
	t.Helper()
	h := &host{Transport: httppeer.New(cfg), rec: newRecorder()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "https://" + l.Addr().String()
	h.server = &httptest.Server{Listener: tls.NewListener(l, cfg.TLS.Server()), Config: &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}}
	h.server.Start()
	h.server.URL = url
	h.member = raftstore.Member{ID: id, Name: fmt.Sprint(id), PeerURLs: []string{url}, Storage: id << 8}
	t.Cleanup(h.server.Close)
	t.Cleanup(h.Stop)
	return h
}

// logBuffer is a log that tests may look into while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestMembersTalkOverTLS(t *testing.T) {
	ca := testAuthority(t, "ca")
	a := newTLSHost(t, 0xa, httppeer.Config{TLS: loadTLS(t, fileConfig(ca.files(t, "a")))})
	b := newTLSHost(t, 0xb, httppeer.Config{TLS: loadTLS(t, fileConfig(ca.files(t, "b")))})
	a.start(t, b.member)
	b.start(t, a.member)
	sendUntilArrived(t, a, b, raftstore.Message{To: 0xb, Data: []byte("control")})
	sendUntilArrived(t, b, a, raftstore.Message{To: 0xa, Bulk: true, Data: bytes.Repeat([]byte("x"), 5<<20)})
	b.echo()
	outs, err := a.Forward(context.Background(), 0xb, [][]byte{[]byte("cmd")})
	if err != nil || string(outs[0].Result) != "cmd" {
		t.Errorf("forward: %v, %v", outs, err)
	}
	from := t.TempDir()
	writeTree(t, from, snapshotFiles)
	b.rec.dir = t.TempDir()
	if err := a.SendSnapshot(context.Background(), 0xb, []byte("head"), from); err != nil {
		t.Errorf("snapshot: %v", err)
	}
	if got := readTree(t, b.rec.dir); !maps.Equal(got, snapshotFiles) {
		t.Errorf("%d files arrived, want %d", len(got), len(snapshotFiles))
	}
}

func TestUnverifiedMembersTakeAnyCertificate(t *testing.T) {
	open := func(name string) httppeer.Config {
		cfg := fileConfig(testAuthority(t, name).files(t, name))
		cfg.AllowAnonymous, cfg.Unverified = true, true
		return httppeer.Config{TLS: loadTLS(t, cfg)}
	}
	a, b := newTLSHost(t, 0xa, open("a")), newTLSHost(t, 0xb, open("b"))
	a.start(t, b.member)
	b.start(t, a.member)
	sendUntilArrived(t, a, b, raftstore.Message{To: 0xb, Data: []byte("there")})
	sendUntilArrived(t, b, a, raftstore.Message{To: 0xa, Data: []byte("and back")})
}

func TestPeersHaveToShowTheRightCertificate(t *testing.T) {
	ca, other := testAuthority(t, "ca"), testAuthority(t, "other")
	cfg := fileConfig(ca.files(t, "b"))
	cfg.AllowedNames = []string{"anna", "carl.example", "x.peers.example"}
	b := newTLSHost(t, 0xb, httppeer.Config{TLS: loadTLS(t, cfg)})
	b.start(t)
	strict := cfg
	strict.AllowedNames = []string{"anna"}
	s := newTLSHost(t, 0xb, httppeer.Config{TLS: loadTLS(t, strict)})
	s.start(t)
	clients := strict
	clients.ForClients = true
	old := newTLSHost(t, 0xb, httppeer.Config{TLS: loadTLS(t, clients)})
	old.start(t)
	cfg.AllowedNames, cfg.AllowAnonymous = nil, true
	open := newTLSHost(t, 0xb, httppeer.Config{TLS: loadTLS(t, cfg)})
	open.start(t)

	anna, bert, server := ca.pair(t, "anna"), ca.pair(t, "bert"), ca.pair(t, "anna", x509.ExtKeyUsageServerAuth)
	stranger := other.pair(t, "anna")
	for _, c := range []struct {
		name string
		to   *host
		cert *tls.Certificate
		max  uint16
		want bool
	}{
		{"allowed common name", s, &anna, 0, true},
		{"a name that is not allowed", s, &bert, 0, false},
		{"a wildcard that covers an allowed name", b, &bert, 0, true},
		{"another authority", b, &stranger, 0, false},
		{"a certificate for servers", b, &server, 0, false},
		{"no certificate", b, nil, 0, false},
		{"an old version of TLS", b, &anna, tls.VersionTLS12, false},
		{"an old version of TLS from a client", old, &anna, tls.VersionTLS12, true},
		{"a version that is too old", old, &anna, tls.VersionTLS11, false},
		{"no certificate where none is asked for", open, nil, 0, true},
	} {
		config := &tls.Config{RootCAs: x509.NewCertPool(), MaxVersion: c.max}
		config.RootCAs.AddCert(ca.cert)
		if c.cert != nil {
			config.Certificates = []tls.Certificate{*c.cert}
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		_, err := httppeer.Discover(context.Background(), client, c.to.server.URL)
		client.CloseIdleConnections()
		if got := err == nil; got != c.want {
			t.Errorf("%s: let in %v (%v), want %v", c.name, got, err, c.want)
		}
	}
}

func TestADiallerChecksWhomItReaches(t *testing.T) {
	ca, other := testAuthority(t, "ca"), testAuthority(t, "other")
	for _, c := range []struct {
		name   string
		by     *authority
		dialer httppeer.TLSConfig
		want   string
	}{
		{"another authority", other, fileConfig(ca.files(t, "a")), "certificate signed by unknown authority"},
		{"a name that is not allowed", ca, func() httppeer.TLSConfig {
			cfg := fileConfig(ca.files(t, "a"))
			cfg.AllowedNames = []string{"carl"}
			return cfg
		}(), "has no allowed name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTLSHost(t, 0xb, httppeer.Config{TLS: loadTLS(t, fileConfig(c.by.files(t, "b")))})
			b.start(t)
			log := new(logBuffer)
			a := newTLSHost(t, 0xa, httppeer.Config{TLS: loadTLS(t, c.dialer), Logger: textLog(log)})
			a.start(t, b.member)
			await(t, a.rec.lost, "report")
			if !strings.Contains(log.String(), c.want) {
				t.Errorf("log: %s\nwant %s", log, c.want)
			}
			if _, err := a.Forward(context.Background(), 0xb, [][]byte{nil}); !errors.Is(err, raftstore.ErrDropped) {
				t.Errorf("forward: %v, want ErrDropped", err)
			}
		})
	}
}

func TestPlainAndTLSDoNotMix(t *testing.T) {
	ca := testAuthority(t, "ca")
	secure := func() httppeer.Config {
		return httppeer.Config{TLS: loadTLS(t, fileConfig(ca.files(t, "m")))}
	}
	// A member whose owner has forgotten to give it a listener with TLS.
	forgetful := &host{Transport: httppeer.New(secure()), rec: newRecorder()}
	forgetful.server = httptest.NewServer(forgetful)
	t.Cleanup(forgetful.server.Close)
	t.Cleanup(forgetful.Stop)
	forgetful.member = raftstore.Member{ID: 0xb, PeerURLs: []string{forgetful.server.URL}, Storage: 1}
	forgetful.start(t)
	plain := newHost(t, 0xb)
	plain.start(t)
	safe := newTLSHost(t, 0xb, secure())
	safe.start(t)

	for _, c := range []struct {
		name string
		cfg  httppeer.Config
		url  string
		want string
	}{
		{"plain URL, member with TLS", secure(), plain.server.URL, "plain http, and this member talks to its peers over TLS only"},
		{"https URL, member without", httppeer.Config{}, safe.server.URL, "is https, and this member has no certificates"},
		{"https URL of a plain peer", secure(), "https" + strings.TrimPrefix(plain.server.URL, "http"), "does not talk TLS"},
		{"plain URL of a peer with TLS", httppeer.Config{}, "http" + strings.TrimPrefix(safe.server.URL, "https"), "400 Bad Request"},
		{"plain listener of a peer with TLS", httppeer.Config{}, forgetful.server.URL, "this member talks to its peers over TLS only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := new(logBuffer)
			c.cfg.Logger = textLog(log)
			a := httppeer.New(c.cfg)
			defer a.Stop()
			rec := newRecorder()
			a.SetPeer(raftstore.Member{ID: 0xb, PeerURLs: []string{c.url}})
			if err := a.Start(raftstore.Member{ID: 0xa, Storage: 1}, clusterID, rec); err != nil {
				t.Fatal(err)
			}
			await(t, rec.lost, "report")
			if !strings.Contains(log.String(), c.want) {
				t.Errorf("log: %s\nwant %s", log, c.want)
			}
			if _, err := a.Forward(context.Background(), 0xb, [][]byte{nil}); !errors.Is(err, raftstore.ErrDropped) {
				t.Errorf("forward: %v, want ErrDropped", err)
			}
		})
	}
}

// leafOf returns the common name of the certificate that is served at url.
func leafOf(t *testing.T, url string, s *httppeer.TLS) string {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), s.Client())
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestChangedFilesAreUsedForNewConnections(t *testing.T) {
	old, next := testAuthority(t, "old"), testAuthority(t, "next")
	dirA, dirB := old.files(t, "a1"), old.files(t, "b1")
	log := new(logBuffer)
	cfg := fileConfig(dirB)
	cfg.Logger = textLog(log)
	tlsA, tlsB := loadTLS(t, fileConfig(dirA)), loadTLS(t, cfg)
	a, b := newTLSHost(t, 0xa, httppeer.Config{TLS: tlsA}), newTLSHost(t, 0xb, httppeer.Config{TLS: tlsB})
	b.start(t)
	a.start(t, b.member)
	sendUntilArrived(t, a, b, raftstore.Message{To: 0xb, Data: []byte("1")})

	// The key of the new certificate is not there yet.
	cert, key, err := old.issue("b2")
	if err != nil {
		t.Fatal(err)
	}
	writeTree(t, dirB, map[string]string{"peer.crt": string(cert)})
	for range 2 {
		if got := leafOf(t, b.server.URL, tlsA); got != "b1" {
			t.Errorf("with half of the new files b is %s, want b1", got)
		}
	}
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("the log tells %d times of a state of the files: %s", n, log)
	}
	writeTree(t, dirB, map[string]string{"peer.key": string(key)})
	if got := leafOf(t, b.server.URL, tlsA); got != "b2" {
		t.Errorf("with new files b is %s, want b2", got)
	}

	// A CA comes and the old one goes.
	writeTree(t, dirA, map[string]string{"ca.crt": string(old.pem) + string(next.pem)})
	if err := next.write(dirB, "b3"); err != nil {
		t.Fatal(err)
	}
	if got := leafOf(t, b.server.URL, tlsA); got != "b3" {
		t.Errorf("after the change of authority b is %s, want b3", got)
	}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(b.server.URL, "https://"), tlsA.Client())
	if err == nil {
		// That the other side refuses shows when it is read from.
		_, err = io.ReadAll(conn)
		conn.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("a certificate by the old CA: %v, want a refusal", err)
	}
	if err := os.Remove(filepath.Join(dirB, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	if got := leafOf(t, b.server.URL, tlsA); got != "b3" {
		t.Errorf("with a file missing b is %s, want b3", got)
	}

	// All the while the stream stood.
	sendUntilArrived(t, a, b, raftstore.Message{To: 0xb, Data: []byte("2")})
	if s := a.stats(t); s.Reconnects != 0 || s.Streams != 2 {
		t.Errorf("after it all: %+v", s)
	}
}

func TestCertificatesMayComeFromElsewhere(t *testing.T) {
	ca := testAuthority(t, "ca")
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	var mu sync.Mutex
	cert, err := ca.pair(t, "one"), error(nil)
	s := loadTLS(t, httppeer.TLSConfig{
		Certificate: func() (*tls.Certificate, error) {
			mu.Lock()
			defer mu.Unlock()
			return &cert, err
		},
		Roots: func() (*x509.CertPool, error) { return roots, nil },
	})
	h := newTLSHost(t, 0xa, httppeer.Config{TLS: s})
	if got := leafOf(t, h.server.URL, s); got != "one" {
		t.Errorf("served is %s, want one", got)
	}
	two := ca.pair(t, "two")
	mu.Lock()
	cert = two
	mu.Unlock()
	if got := leafOf(t, h.server.URL, s); got != "two" {
		t.Errorf("served is %s, want two", got)
	}
	mu.Lock()
	err = errors.New("the agent is down")
	mu.Unlock()
	if got := leafOf(t, h.server.URL, s); got != "two" {
		t.Errorf("served is %s, want two, which was the latest", got)
	}
}

func TestWrongTLSSettingsAreToldAtOnce(t *testing.T) {
	ca := testAuthority(t, "ca")
	dir := ca.files(t, "a")
	writeTree(t, dir, map[string]string{"empty": "", "other.key": func() string {
		_, key, err := ca.issue("x")
		if err != nil {
			t.Fatal(err)
		}
		return string(key)
	}()})
	good := fileConfig(dir)
	for _, c := range []struct {
		change func(c *httppeer.TLSConfig)
		want   string
	}{
		{func(c *httppeer.TLSConfig) { c.KeyFile = "" }, "TLS needs a certificate file and a key file"},
		{func(c *httppeer.TLSConfig) { c.CAFile = "" }, "TLS needs a CA file"},
		{func(c *httppeer.TLSConfig) { c.CertFile = "/none" }, "certificate /none with key " + good.KeyFile + ": open /none: no such file"},
		{func(c *httppeer.TLSConfig) { c.KeyFile = filepath.Join(dir, "other.key") }, "private key does not match public key"},
		{func(c *httppeer.TLSConfig) { c.CAFile = filepath.Join(dir, "empty") }, "empty: no certificate in it"},
		{func(c *httppeer.TLSConfig) { c.CAFile = "/none" }, "CA file: open /none"},
		{func(c *httppeer.TLSConfig) { c.AllowedNames = []string{"a", ""} }, "an allowed name is empty"},
		{func(c *httppeer.TLSConfig) { c.AllowedNames, c.AllowAnonymous = []string{"a"}, true }, "cannot let anonymous peers in"},
		{func(c *httppeer.TLSConfig) { c.Unverified = true }, "cannot demand them"},
	} {
		cfg := good
		c.change(&cfg)
		if _, err := httppeer.LoadTLS(cfg); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("LoadTLS(%+v) = %v, want %s", cfg, err, c.want)
		}
	}
	log := new(logBuffer)
	cfg := fileConfig(ca.files(t, "a", x509.ExtKeyUsageServerAuth))
	cfg.Logger = textLog(log)
	if loadTLS(t, cfg); !strings.Contains(log.String(), "will refuse this member") || !strings.Contains(log.String(), "incompatible key usage") {
		t.Errorf("a certificate for servers only: log says %q", log)
	}
}
