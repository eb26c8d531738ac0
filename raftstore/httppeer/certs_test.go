package httppeer_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// authority signs certificates for tests and examples.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

var serial atomic.Int64

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, err
}

// issue makes a certificate for a member on this machine, called name.
func (a *authority) issue(name string, uses ...x509.ExtKeyUsage) (cert, key []byte, err error) {
	if len(uses) == 0 {
		uses = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		DNSNames: []string{name + ".example", "*.peers.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: uses,
	}, a.cert, &k.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

// write puts a certificate, its key and the authority's own certificate into
// dir, as peer.crt, peer.key and ca.crt.
func (a *authority) write(dir, name string, uses ...x509.ExtKeyUsage) error {
	cert, key, err := a.issue(name, uses...)
	if err != nil {
		return err
	}
	for file, content := range map[string][]byte{"peer.crt": cert, "peer.key": key, "ca.crt": a.pem} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func testAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a, err := newAuthority(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// files returns a directory with the files of write.
func (a *authority) files(t testing.TB, name string, uses ...x509.ExtKeyUsage) string {
	t.Helper()
	dir := t.TempDir()
	if err := a.write(dir, name, uses...); err != nil {
		t.Fatal(err)
	}
	return dir
}

// pair returns a certificate in memory.
func (a *authority) pair(t testing.TB, name string, uses ...x509.ExtKeyUsage) tls.Certificate {
	t.Helper()
	cert, key, err := a.issue(name, uses...)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// revoke returns a list, in DER, of the certificates that the authority takes back.
func (a *authority) revoke(t testing.TB, certs ...tls.Certificate) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(serial.Add(1)), NextUpdate: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, c := range certs {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.Leaf.SerialNumber, RevocationTime: time.Unix(1, 0)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// crl is a revocation list in PEM.
func crl(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}
