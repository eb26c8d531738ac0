package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
)

// certify makes a certificate that signs itself, good for clients and for
// servers on this machine, and returns its files.
func certify(t *testing.T, name string) client.TLSFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return client.TLSFiles{CertFile: write("cert.pem", "CERTIFICATE", cert), KeyFile: write("key.pem", "PRIVATE KEY", keyDER)}
}

func TestBothSidesShowTheirCertificates(t *testing.T) {
	server, alice := certify(t, "server"), certify(t, "alice")
	pair, err := tls.LoadX509KeyPair(server.CertFile, server.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"action":"get","node":{"key":"/who","value":%q}}`, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()

	files := alice
	files.CAFile = server.CertFile
	ask := func(f client.TLSFiles) (string, error) {
		cfg, err := f.Config()
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.New(client.Config{Endpoints: []string{srv.URL}, TLS: cfg})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ev, err := c.Get(t.Context(), "/who", kv.GetOptions{})
		return ev.Node.Value, err
	}
	if got, err := ask(files); got != "alice" || err != nil {
		t.Errorf("with both certificates: got %q, %v; want alice", got, err)
	}
	if _, err := ask(alice); err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("with an authority that is not known: got %v", err)
	}
	if _, err := ask(client.TLSFiles{CAFile: server.CertFile}); err == nil {
		t.Error("without a certificate of its own: no error")
	}
}

func TestFilesThatAreNoCertificatesAreNamed(t *testing.T) {
	good := certify(t, "a")
	none := filepath.Join(t.TempDir(), "none.pem")
	for _, f := range []client.TLSFiles{
		{CAFile: none},
		{CAFile: good.KeyFile},
		{CertFile: good.CertFile},
		{KeyFile: good.KeyFile},
		{CertFile: none, KeyFile: good.KeyFile},
		{CertFile: good.CertFile, KeyFile: good.CertFile},
	} {
		_, err := f.Config()
		if err == nil || !strings.Contains(err.Error(), ".pem") {
			t.Errorf("%+v: got %v, want an error that names a file", f, err)
		}
	}
}
